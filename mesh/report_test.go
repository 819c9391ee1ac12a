package mesh

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/mesh/room"
	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// TestPace wants rates over the time since somebody last asked, the same for who asks soon after, and none made up where a link
// is new or began again.
func TestPace(t *testing.T) {
	now := time.Now()
	p := pace{}
	steps := []struct {
		after   time.Duration
		amounts map[link.NodeID]amount
		want    map[link.NodeID]amount
	}{
		{0, map[link.NodeID]amount{"a": {1e6, 2e6}}, map[link.NodeID]amount{}},
		{10 * time.Second, map[link.NodeID]amount{"a": {2e6, 2e6}, "b": {5, 5}}, map[link.NodeID]amount{"a": {800_000, 0}}},
		{time.Second / 2, map[link.NodeID]amount{"a": {9e6, 9e6}, "b": {6, 6}}, map[link.NodeID]amount{"a": {800_000, 0}}},
		{time.Second / 2, map[link.NodeID]amount{"a": {1e6, 2e6}, "b": {5, 1005}}, map[link.NodeID]amount{"b": {0, 8000}}},
	}
	for i, s := range steps {
		now = now.Add(s.after)
		if d := cmp.Diff(s.want, p.rates(now, s.amounts), cmp.AllowUnexported(amount{})); d != "" {
			t.Errorf("step %d: %s", i, d)
		}
	}
}

// TestBounded leaves out of a report what would make it too long, and says so.
func TestBounded(t *testing.T) {
	counts := make([]RoomCount, 1<<16)
	for i := range counts {
		counts[i] = RoomCount{Room: strings.Repeat("r", 100), Publishers: math.MaxUint64, Subscribers: math.MaxUint64}
	}
	c := bounded(counts)
	if n := len(wire.Marshal(&Report{Counts: c})); !c.More || len(c.Rooms) == 0 || n > link.MaxCall {
		t.Errorf("%d of %d rooms, more: %v, %d bytes", len(c.Rooms), len(counts), c.More, n)
	}
	if c := bounded(counts[:1000]); c.More || len(c.Rooms) != 1000 {
		t.Errorf("%d rooms, more: %v", len(c.Rooms), c.More)
	}
}

// TestReports asks two nodes for what they know: of themselves, and of a room that is on both.
func TestReports(t *testing.T) {
	a := newNode(t, "127.0.8.41", "here", true)
	b := newNode(t, "127.0.8.42", "here", true, invite(t, a))
	await(t, "both are known", func() bool { return len(a.Nodes()) == 2 && len(b.Nodes()) == 2 })
	ids := []link.NodeID{a.self, b.self, "nobody"}
	var reports map[link.NodeID]Report
	await(t, "each has told of its link to the other", func() bool {
		reports = a.Reports(t.Context(), ids, ReportQuery{})
		return len(reports[a.self].Links) == 1 && len(reports[b.self].Links) == 1
	})
	if len(reports) != 2 || reports[a.self].Links[0].Peer != string(b.self) || reports[b.self].Links[0].Peer != string(a.self) {
		t.Errorf("%+v", reports)
	}

	if err := a.Rooms().Create(t.Context(), "r", []byte("{}"), false); err != nil {
		t.Fatal(err)
	}
	var open []*Room
	for _, m := range []*Mesh{a, b} {
		var r *Room
		await(t, "the room is open", func() bool {
			var err error
			r, err = m.Open(t.Context(), "r", room.Watcher{})
			return err == nil
		})
		defer r.Close()
		open = append(open, r)
	}
	open[1].Put("7", []byte("x"))
	await(t, "a knows where the participant is", func() bool {
		session, media := a.Homes("r", "7")
		return session == b.self && media == b.self
	})
	if session, media := a.Homes("r", "8"); session != "" || media != "" {
		t.Errorf("a participant that is not there is at %q, its media at %q", session, media)
	}
	if got := a.Reports(t.Context(), ids[:2], ReportQuery{Room: "r"}); len(got) != 2 || len(got[b.self].Links)+len(got[b.self].Ways) != 0 {
		t.Errorf("of a room without streams: %+v", got)
	}
	for name, q := range map[string]ReportQuery{"of a room": {Room: "r"}, "of all": {Rooms: true}} {
		for id, r := range a.Reports(t.Context(), ids[:2], q) {
			if r.Counts == nil || len(r.Counts.Rooms) != 0 || r.Counts.More {
				t.Errorf("counts %s, at %s where nobody uses any: %+v", name, id, r.Counts)
			}
		}
	}
	if r := a.Reports(t.Context(), ids[:1], ReportQuery{})[a.self]; r.Counts != nil {
		t.Errorf("counts that nobody asked for: %+v", r.Counts)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if got := a.Reports(over, ids[1:2], ReportQuery{}); len(got) != 0 {
		t.Errorf("for who does not wait: %+v", got)
	}
}
