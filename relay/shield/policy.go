package shield

const (
	// A loss is averaged over so many packets; the shorter memory sees a path turn bad, the longer one knows what it is like.
	shortMemory, longMemory = 600, 6000

	// priorLoss is assumed at the start, less and less until priorSpan packets were seen. QUIC's window opens only once, at the
	// start, and what is lost then for want of parity closes it.
	priorLoss, priorSpan = 0.02, 4000

	// maxParity is the most parity per symbol that is ever sent.
	maxParity = 0.35
	// burstParity is what bursts may ask for where their share of packets alone would not. Repeats come on top.
	burstParity = 0.133
	// minLoss is the loss below which parity is scaled down to nothing.
	minLoss = 0.0005
)

// losses is what the sender knows about the loss that its parity is for: that which comes without delay. Loss along with delay is
// congestion, and more packets are no answer to it.
type losses struct {
	packets     float64 // seen in all, up to longMemory
	short, long float64 // share of packets lost
	runs        float64 // share of packets that begin a run of lost ones
	late        float64 // share of packets that parity did not repair, whatever the cause
	counted     float64 // packets behind late, up to longMemory
}

// add notes that of so many packets some were lost, in so many runs.
func (l *losses) add(packets, lost, runs float64) {
	if packets <= 0 {
		return
	}
	l.packets = min(l.packets+packets, longMemory)
	a := min(packets/min(l.packets, shortMemory), 1)
	l.short += a * (lost/packets - l.short)
	a = min(packets/l.packets, 1)
	l.long += a * (lost/packets - l.long)
	l.runs += a * (runs/packets - l.runs)
}

// missed notes that of so many packets parity did not repair some.
func (l *losses) missed(packets, missed float64) {
	if packets <= 0 {
		return
	}
	l.counted = min(l.counted+packets, longMemory)
	l.late += min(packets/l.counted, 1) * (missed/packets - l.late)
}

// share is the loss that counts.
func (l *losses) share() float64 {
	prior := priorLoss * max(1-l.packets/priorSpan, 0)
	return max(l.long, min(l.short, 2*l.long+0.005), prior)
}

// burst is the mean length of a run of lost packets, at least 1.
func (l *losses) burst() float64 {
	if l.runs <= 0 {
		return 1
	}
	return max(l.long/l.runs, 1)
}

// parity returns the parity per symbol that the loss asks for.
func (l *losses) parity() float64 {
	p := l.share()
	if p < minLoss/10 {
		return 0
	}
	base := min(p/minLoss, 1) * 0.035
	r := base + 2.2*p
	if b := l.burst(); b > 1.3 {
		r = min(r+0.025*(b-1)*min(p/0.005, 1), max(burstParity, r))
	}
	return min(r, maxParity)
}
