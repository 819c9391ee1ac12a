package echotest

import (
	"reflect"
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
)

// TestSnapshot restores an echo and wants it to be the one that it was.
func TestSnapshot(t *testing.T) {
	var before, after *echo
	hold := &holder{made: func(e *echo) { before = e }}
	s, _ := janustest.NewServer(t, nil, hold)
	janustest.Open(t, s, Package)
	before.settings = settings{
		audio: false, video: true, bitrate: 7, substream: 1, temporal: 1, spatialSVC: 1, temporalSVC: 1, fallback: time.Second, delay: playoutDelay{2, 3},
	}
	before.e2ee, before.slowLinks = true, 4
	b, err := before.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	i, err := Plugin{}.Restore(t.Context(), before.handle, b)
	if err != nil {
		t.Fatal(err)
	}
	after = i.(*echo)
	if !reflect.DeepEqual(before.settings, after.settings) || !after.e2ee || after.slowLinks != 4 || after.Query() == nil {
		t.Errorf("%s became %+v", b, after)
	}
	// Of a PeerConnection that is gone meanwhile, the lines are, too.
	before.lines = []line{{mid: "0", kind: plane.Audio}}
	with := []byte(`{"peer":"gone","lines":[{"mid":"0"}]}`)
	if i, err = (Plugin{}).Restore(t.Context(), before.handle, with); err != nil || len(i.(*echo).lines) != 0 {
		t.Errorf("lines of a peer that is gone: %v", err)
	}
	if _, err := (Plugin{}).Restore(t.Context(), before.handle, []byte("{")); err == nil {
		t.Error("rubbish was restored")
	}
}

// holder tells of the instances it makes.
type holder struct {
	Plugin
	made func(e *echo)
}

func (p *holder) Attach(h *janus.Handle) (janus.Instance, error) {
	i, err := p.Plugin.Attach(h)
	p.made(i.(*echo))
	return i, err
}
