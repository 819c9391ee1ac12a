package wan

import "math/rand/v2"

// lossModel decides which packets vanish. With bursts it is the Gilbert-Elliott chain in its simple form: everything is lost in
// the bad state and nothing in the good one, so the mean rate and the mean burst determine both probabilities of changing.
type lossModel struct {
	random *rand.Rand
	burst  bool

	loss float64 // of independent losses
	fall float64 // good to bad, per packet
	rise float64 // bad to good, per packet
	bad  bool
}

// set takes the mean loss and the mean burst of c, which is valid. The present state stays: a burst under way goes on.
func (l *lossModel) set(c Conditions) {
	l.loss = c.Loss
	l.burst = c.Burst >= 1 && c.Loss < 1
	if !l.burst {
		l.bad = false
		return
	}
	// In the long run the share of time in the bad state is fall/(fall+rise), and a stay there lasts 1/rise packets.
	l.rise = 1 / c.Burst
	l.fall = l.rise * c.Loss / (1 - c.Loss)
}

// next reports whether the next packet is lost. It takes exactly one random number, whatever the conditions, so the fate of a
// later packet does not depend on when conditions changed before it.
func (l *lossModel) next() bool {
	r := l.random.Float64()
	switch {
	case !l.burst:
		return r < l.loss
	case l.bad:
		l.bad = r >= l.rise
	default:
		l.bad = r < l.fall
	}
	return l.bad
}
