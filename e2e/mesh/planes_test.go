package mesh

import (
	"bytes"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/e2e/wan"
)

// TestPlanes has signaling apart from media, and kills it: the media of a call goes on, and its clients take their sessions up
// again at another node.
func TestPlanes(t *testing.T) {
	w := newWorldOf(t, wan.Topology{Sites: []wan.SiteConfig{{Name: "one", Hosts: 3}}}, []string{"one"}, 3, "signaling", "signaling", "media")
	first, second, media := w.nodes[0], w.nodes[1], w.nodes[2]
	for _, n := range w.nodes { // whatever they lack
		for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/nodes", "/api/v1/rooms", "/api/v1/streams"} {
			if _, err := n.get(path); err != nil {
				t.Errorf("%s: %v", n.name, err)
			}
		}
	}
	const room = 12
	publisher, viewer := first.open(t), first.open(t)
	ask(t, publisher, caller.VideoRoom, caller.M{"request": "create", "room": room})
	p, err := publisher.Publish(within(t), room)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	s, err := viewer.Subscribe(within(t), room, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	all := []*watched{{from: first, at: first, sub: s}}
	for _, kind := range []string{"audio", "video"} {
		if _, err := s.Track(within(t), kind); err != nil {
			t.Fatal(err)
		}
	}
	flow(t, all, 100)
	restart(all)
	before := lost(all)
	first.kill()
	flow(t, all, 100)
	began := time.Now()
	for _, c := range []*caller.Client{publisher, viewer} {
		if err := c.ClaimAt(within(t), "ws://"+second.address+":8188/"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("both sessions were claimed in %v", time.Since(began))
	flow(t, all, 100)
	t.Logf("the longest gap was %v, %d packets were lost", gap(all), lost(all)-before)
	if n := lost(all) - before; n > 0 {
		t.Errorf("%d packets were lost", n)
	}
	// The handles are the clients' as before.
	if _, err := p.Handle.Message(within(t), caller.M{"request": "configure", "display": "back"}, nil); err != nil {
		t.Errorf("publisher: %v", err)
	}
	if _, err := s.Handle.Message(within(t), caller.M{"request": "pause"}, nil); err != nil {
		t.Errorf("subscriber: %v", err)
	}
	m := ask(t, second.open(t), caller.VideoRoom, caller.M{"request": "listparticipants", "room": room})
	list, _ := m["participants"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["display"] != "back" || list[0].(map[string]any)["publisher"] != true {
		t.Errorf("participants: %v", list)
	}
	// Media that nobody speaks for any more ends.
	second.kill()
	await(t, func() string { return "the media node keeps the peers of the dead" }, func() bool {
		b, err := media.get("/api/v1/status")
		return err == nil && bytes.Contains(b, []byte(`"peers":0,`))
	})
}
