package quality

import (
	"time"

	"cardea/relay/codec"
)

const (
	// rating is R of a call without delay and loss, everything else at the defaults of ITU-T G.107.
	rating = 93.2
	// device is the delay of packets of 20 ms, codec and sound cards, beside network and jitter buffer.
	device = 40 * time.Millisecond
	// leastHeard is how many packets must have been sent to judge what was heard.
	leastHeard = 25
)

// bpl is how robust a codec is against lost packets (packet-loss robustness factor of ITU-T G.113 appendix I): for G.711 with
// concealment there, for Opus with in-band FEC, which has no value of the ITU's, that of the best there; RED repeats
// what was lost.
func bpl(f codec.Format) float64 {
	switch f {
	case codec.RED:
		return 50
	case codec.Opus:
		return 34
	default:
		return 25.1
	}
}

// MOS returns the mean opinion score, 1 to 4.5, that the E-model gives sound of which a share of packets is lost (0 to 1).
// The package's documentation has the formula.
func MOS(f codec.Format, loss float64, rtt, jitter time.Duration) float64 {
	d := float64(rtt/2+2*jitter+device) / float64(time.Millisecond)
	delayed := 0.024 * d
	if d > 177.3 {
		delayed += 0.11 * (d - 177.3)
	}
	lost := 100 * min(max(loss, 0), 1)
	r := min(max(rating-delayed-95*lost/(lost+bpl(f)), 0), 100)
	return min(max(1+0.035*r+7e-6*r*(r-60)*(100-r), 1), 4.5)
}

// Losses counts packets from the totals of receiver reports. The zero value is ready to use.
type Losses struct {
	expected, lost         int64 // totals
	takenExpected, takenOf int64 // totals at the last Take
	started                bool
}

// Total tells of totals: packets that should have come, and those that did not. The first only sets where counting begins.
func (l *Losses) Total(expected, lost int64) {
	if !l.started || expected < l.expected { // a client may begin anew
		l.started, l.takenExpected, l.takenOf = true, expected, lost
	}
	l.expected, l.lost = expected, lost
}

// Take returns the packets that should have come since the last call, and the share of them that did not, 0 to 1.
func (l *Losses) Take() (packets int, share float64) {
	n, lost := l.expected-l.takenExpected, l.lost-l.takenOf
	l.takenExpected, l.takenOf = l.expected, l.lost
	if n <= 0 {
		return 0, 0
	}
	return int(n), min(max(float64(lost)/float64(n), 0), 1)
}

// Heard returns the score of what a number of packets carried, 0 when they are too few to tell.
func Heard(f codec.Format, packets int, loss float64, rtt, jitter time.Duration) float64 {
	if packets < leastHeard {
		return 0
	}
	return MOS(f, loss, rtt, jitter)
}
