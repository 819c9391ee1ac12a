package janus

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/sdp"

	"github.com/google/go-cmp/cmp"
)

// TestKeptConnection wants a PeerConnection to come back with everything that a renegotiation needs.
func TestKeptConnection(t *testing.T) {
	for _, pending := range [][]sdp.Media{nil, {}, {{Mid: "1", Kind: plane.Video, SSRC: 4}}} {
		c := &connection{
			id: "p", local: plane.Transport{Ufrag: "l", Candidates: []plane.Candidate{{Port: 1}}}, remote: plane.Transport{Ufrag: "r"},
			setup: plane.Passive, version: 3, generation: 2, settled: []sdp.Media{{Mid: "0", Kind: plane.Audio, RTX: 9}}, pending: pending,
			origin: 1 << 52, described: 5, e2ee: true, trickle: true, name: "n", opened: time.Unix(7, 0).UTC(), started: time.Unix(8, 0).UTC(),
			gathered: 3, told: "r", connected: true, // follow from the others
		}
		c.upAt.Store(77)
		b, err := json.Marshal(c.kept())
		if err != nil {
			t.Fatal(err)
		}
		var k keptConnection
		if err := json.Unmarshal(b, &k); err != nil {
			t.Fatal(err)
		}
		got := k.connection()
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%s became %+v", b, got)
		}
		// What is not kept is named here, so that a new field is thought of.
		v := reflect.ValueOf(c).Elem()
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			forgotten := []string{"clientText", "flushed", "known", "path", "failed", "over", "sample"} // good for events and the Admin API only
			if v.Field(i).IsZero() && !slices.Contains(forgotten, name) && (name != "pending" || pending != nil) {
				t.Errorf("the test leaves out %s", name)
			}
		}
	}
}

func TestAssemble(t *testing.T) {
	part := func(version uint64, session uint64, handles ...string) plane.Kept {
		s := snapshot{Session: keptSession{ID: session, Timeout: time.Duration(version)}}
		for i, text := range handles {
			if text != "" {
				s.Handles = append(s.Handles, keptHandle{ID: uint64(i + 1), State: []byte(text)})
			}
		}
		b, _ := json.Marshal(s)
		return plane.Kept{Peer: plane.PeerID(fmt.Sprint(version)), Version: version, Snapshot: b}
	}
	for name, tt := range map[string]struct {
		kept    []plane.Kept
		handles map[uint64]string
		version uint64
	}{
		"newest":      {[]plane.Kept{part(2, 1, "old", "", "loose"), part(5, 1, "", "two"), part(4, 1, "new")}, map[uint64]string{1: "new", 2: "two", 3: "loose"}, 5},
		"other order": {[]plane.Kept{part(4, 1, "new"), part(2, 1, "old")}, map[uint64]string{1: "new"}, 4},
		"a fault":     {[]plane.Kept{part(4, 1, "new"), {Peer: "x", Version: 9, Snapshot: []byte("{")}}, map[uint64]string{1: "new"}, 4},
		"another's":   {[]plane.Kept{part(4, 2, "new")}, nil, 0},
		"nothing":     {nil, nil, 0},
		"no handles":  {[]plane.Kept{part(4, 1)}, nil, 0},
	} {
		whole, version, err := assemble(1, tt.kept)
		var got map[uint64]string
		for _, h := range whole.Handles {
			if got == nil {
				got = map[uint64]string{}
			}
			got[h.ID] = string(h.State)
		}
		if !cmp.Equal(got, tt.handles) || version != tt.version || (err == nil) != (tt.handles != nil) {
			t.Errorf("%s: %v, version %d, %v", name, got, version, err)
		}
		if err == nil && whole.Session.Timeout != time.Duration(version) {
			t.Errorf("%s: the session is that of version %d", name, whole.Session.Timeout)
		}
	}
}

// FuzzAssemble reads what a media node of another version, or one gone wrong, may have kept.
func FuzzAssemble(f *testing.F) {
	f.Add([]byte(`{"session":{"id":1},"handles":[{"id":2,"plugin":"p","state":"AA==","peer":{"id":"x","settled":[{}],"offered":true}}]}`))
	f.Add([]byte(`{"session":{"id":1},"handles":[{"id":0}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, _, err := assemble(1, []plane.Kept{{Peer: "x", Version: 1, Snapshot: b}})
		if err != nil {
			return
		}
		for _, h := range whole.Handles {
			if h.Peer == nil {
				continue
			}
			c := h.Peer.connection()
			if c.pending == nil && h.Peer.Offered {
				t.Error("an offer was lost")
			}
			(&peer{}).restore(h.Peer)
		}
	})
}
