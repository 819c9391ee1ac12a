package echotest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"cardea/signaling/janus"
)

// Error codes of the plugin. Janus has two more for messages that are missing or no objects, which the core refuses.
const (
	codeInvalidElement = 413
	codeInvalidSDP     = 414
)

// fault is a refused request: what the client is told.
type fault struct {
	code int
	text string
}

// params in the order in which Janus checks them.
var params = []janus.Param{
	{Name: "audio", Type: janus.Bool},
	{Name: "video", Type: janus.Bool},
	{Name: "bitrate", Type: janus.PosInt},
	{Name: "record", Type: janus.Bool},
	{Name: "filename", Type: janus.String},
	{Name: "substream", Type: janus.PosInt},
	{Name: "temporal", Type: janus.PosInt},
	{Name: "fallback", Type: janus.PosInt},
	{Name: "svc", Type: janus.Bool},
	{Name: "spatial_layer", Type: janus.PosInt},
	{Name: "temporal_layer", Type: janus.PosInt},
	{Name: "audiocodec", Type: janus.String},
	{Name: "videocodec", Type: janus.String},
	{Name: "videoprofile", Type: janus.String},
	{Name: "opusred", Type: janus.Bool},
	{Name: "min_delay", Type: janus.Int},
	{Name: "max_delay", Type: janus.Int},
}

// meaningful are the parameters of which a message without an offer needs one: audiocodec, filename and svc do nothing
// by themselves.
var meaningful = []string{
	"audio", "video", "videocodec", "videoprofile", "opusred", "bitrate", "substream", "temporal",
	"fallback", "spatial_layer", "temporal_layer", "record", "min_delay", "max_delay",
}

// check tells what is wrong with a request, nil for nothing.
func check(body janus.Object) *fault {
	if err := body.Check(params...); err != nil {
		if p, ok := errors.AsType[*janus.ParamError](err); ok {
			return &fault{codeInvalidElement, p.Text}
		}
		return &fault{codeInvalidElement, err.Error()}
	}
	for _, name := range [...]string{"substream", "temporal", "spatial_layer", "temporal_layer"} {
		if body.Has(name) && layer(body, name) > 2 {
			return &fault{codeInvalidElement, fmt.Sprintf("Invalid value (%s should be 0, 1 or 2)", name)}
		}
	}
	return nil
}

// idle tells whether a request asks for nothing.
func idle(body janus.Object) bool {
	return !slices.ContainsFunc(meaningful, body.Has)
}

// layer reads a layer; what is beyond any layer comes out as the largest number.
func layer(body janus.Object, name string) int8 {
	n, ok := body.Uint(name)
	if !ok || n > math.MaxInt8 {
		return math.MaxInt8
	}
	return int8(n)
}

// microseconds reads a time; absurd ones come out as an hour.
func microseconds(body janus.Object, name string) time.Duration {
	n, ok := body.Uint(name)
	if !ok || n > uint64(time.Hour/time.Microsecond) {
		return time.Hour
	}
	return time.Duration(n) * time.Microsecond
}

// bits reads a bitrate, bits/s.
func bits(body janus.Object, name string) uint32 {
	n, ok := body.Uint(name)
	if !ok || n > math.MaxUint32 {
		return math.MaxUint32
	}
	return uint32(n)
}

// playoutDelay is what min_delay and max_delay left set, in steps of 10 ms; negative for off.
type playoutDelay struct{ min, max int64 }

var noDelay = playoutDelay{-1, -1}

// maxDelay is the largest playout delay that its extension can carry, in steps of 10 ms.
const maxDelay = 4095

// set applies a request: a negative value switches the delay off, and the two bounds pull each other along.
func (d *playoutDelay) set(body janus.Object) {
	if n, ok := body.Int("min_delay"); ok {
		if n < 0 {
			*d = noDelay
		} else {
			d.min = min(n, maxDelay)
			d.max = max(d.max, d.min)
		}
	}
	if n, ok := body.Int("max_delay"); ok {
		if n < 0 {
			*d = noDelay
		} else {
			d.max = min(n, maxDelay)
			d.min = min(d.min, d.max)
		}
	}
}
