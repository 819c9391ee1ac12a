package synth

import "time"

const (
	// BurstInterval is how often libwebrtc's pacer wakes up: what is due within it leaves back to back.
	BurstInterval = 5 * time.Millisecond
	// paceFactor is how much faster than the encoder's bitrate libwebrtc's pacer sends.
	paceFactor = 2.5
)

// Pacer says when packets may leave: at 2.5 times the bitrate, in bursts every 5 ms. The packets themselves are queued
// elsewhere. The zero Pacer is not usable. Not safe for concurrent use.
type Pacer struct {
	perByte float64 // ns that a byte takes at the pace
	wake    int64   // the next burst, not before
	end     int64   // until when this burst may run ahead
	clock   float64 // when the last packet's last byte would be sent at an even pace
}

// NewPacer makes a pacer for a sender of the given bitrate, bit/s.
func NewPacer(bitrate int) *Pacer {
	return &Pacer{perByte: 8 * float64(time.Second) / (paceFactor * float64(bitrate))}
}

// Begin tells whether a burst may begin at now; [Pacer.Take] then says how far it goes.
func (p *Pacer) Begin(now int64) bool {
	if now < p.wake {
		return false
	}
	p.end = now + int64(BurstInterval)
	p.clock = max(p.clock, float64(now))
	p.wake = p.end
	return true
}

// Take tells whether a packet of n bytes still belongs to the burst, and books it if so.
func (p *Pacer) Take(n int) bool {
	if p.clock >= float64(p.end) {
		return false
	}
	p.clock += float64(n) * p.perByte
	return true
}
