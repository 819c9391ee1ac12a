package bwe

// meterBits is the logarithm of a meter's step in ns: 67 ms. Eight steps, about half a second, hold several frames of
// any video and are short enough to see a link drop.
const (
	meterBits  = 26
	meterSteps = 8
)

// meter measures a rate over the last half second of a clock, which may be the client's and so jump.
type meter struct {
	bytes [meterSteps]int64
	step  int64 // the newest, number of steps since the clock's zero
	first int64 // time of the first byte
	last  int64 // time of the latest
	begun bool
}

// add counts n bytes at time t; times may go back a little.
func (m *meter) add(t int64, n int32) {
	step := t >> meterBits
	if !m.begun || step < m.step-10*meterSteps {
		*m = meter{step: step, first: t, last: t, begun: true}
	}
	for ; m.step < step; m.step++ {
		if step-m.step > 2*meterSteps { // a jump: all is out of date
			*m = meter{step: step, first: t, last: t, begun: true}
			break
		}
		m.bytes[(m.step+1)&(meterSteps-1)] = 0
	}
	if m.step-step < meterSteps {
		m.bytes[step&(meterSteps-1)] += int64(n)
		m.last = max(m.last, t)
	}
}

// rate returns bits/s, 0 while not known.
func (m *meter) rate() float64 {
	const step = 1 << meterBits
	from := max((m.step-meterSteps+1)*step, m.first)
	if !m.begun || m.last-from < 2*step {
		return 0
	}
	total := int64(0)
	for _, n := range m.bytes {
		total += n
	}
	return float64(total) * 8e9 / float64(m.last-from)
}
