package pull

import (
	"time"

	"cardea/relay/stream"
)

const (
	// lessTime is how long a layer that nobody wants any more goes on: who switches back soon finds it, and a subscriber that
	// wavers does not make the whole route waver.
	lessTime = int64(2 * time.Second)
	// keyframeTime is the least time between two requests for a keyframe of one layer.
	keyframeTime = int64(500 * time.Millisecond)
)

// demand is what is asked of the parent of one stream: layers, and keyframes of them.
type demand struct {
	layers uint8 // asked for
	wanted [stream.MaxLayers]int64
	asked  [stream.MaxLayers]int64 // when keyframes were
}

// never is a time before all others.
const never = -int64(time.Hour)

// begin starts anew with a stream, of which the given layers are on their way.
func (d *demand) begin(layers uint8, now int64) {
	for i := range d.wanted {
		d.wanted[i], d.asked[i] = never, never
	}
	d.update(layers, now)
}

// update takes which layers are wanted now.
func (d *demand) update(layers uint8, now int64) {
	d.layers = 0
	for i := range d.wanted {
		if layers&(1<<i) != 0 {
			d.wanted[i] = now
		}
		if now-d.wanted[i] < lessTime {
			d.layers |= 1 << i
		}
	}
}

// keyframes returns of the layers that somebody waits for a keyframe of those that may be asked for now. A keyframe of a layer
// that does not flow would not come.
func (d *demand) keyframes(layers uint8, rtt time.Duration, now int64) uint8 {
	var out uint8
	for i := range d.asked {
		if layers&d.layers&(1<<i) != 0 && now-d.asked[i] >= max(keyframeTime, int64(rtt)) {
			d.asked[i] = now
			out |= 1 << i
		}
	}
	return out
}
