package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/e2e/wan"
)

// within gives a step its time.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// oneWay is what the oceans of [wan.Regions] take, one way.
func (w *world) oneWay(a, b *node) time.Duration {
	if a.site == b.site {
		return 0
	}
	return w.network.Conditions(a.site.Name(), b.site.Name()).Delay
}

// create makes a room through a client.
func create(t *testing.T, c *caller.Client, room int) {
	t.Helper()
	h, err := c.Attach(within(t), caller.VideoRoom)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Message(within(t), caller.M{"request": "create", "room": room, "publishers": 100, "notify_joining": true}, nil); err != nil {
		t.Fatal(err)
	}
}

// listed returns the ids of a room's participants as a node tells them.
func listed(t *testing.T, n *node, c *caller.Client, room int) []string {
	t.Helper()
	h, err := c.Attach(within(t), caller.VideoRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Detach(within(t)) }()
	m, err := h.Message(within(t), caller.M{"request": "listparticipants", "room": room}, nil)
	if err != nil {
		if refused := (*caller.RefusedError)(nil); errors.As(err, &refused) {
			return []string{refused.Error()}
		}
		t.Fatalf("%s: %v", n.name, err)
	}
	ids := []string{}
	list, _ := caller.Data(m)["participants"].([]any)
	for _, p := range list {
		o, _ := p.(map[string]any)
		ids = append(ids, fmt.Sprint(o["id"]))
	}
	slices.Sort(ids)
	return ids
}

// agree waits until every running node lists the participants.
func (w *world) agree(t *testing.T, clients map[*node]*caller.Client, room int, want ...json.Number) {
	t.Helper()
	ids := []string{}
	for _, id := range want {
		ids = append(ids, id.String())
	}
	slices.Sort(ids)
	for _, n := range slices.SortedFunc(maps.Keys(clients), func(a, b *node) int { return slices.Index(w.nodes, a) - slices.Index(w.nodes, b) }) {
		if !n.running() {
			continue
		}
		var got []string
		await(t, func() string { return fmt.Sprintf("%s lists %v, not %v", n.name, got, ids) }, func() bool {
			got = listed(t, n, clients[n], room)
			return slices.Equal(got, ids)
		})
	}
}

// watched is one subscription and where it goes.
type watched struct {
	from, at *node
	sub      *caller.Subscriber
}

// subscribe watches a publisher from a node.
func subscribe(t *testing.T, from, at *node, c *caller.Client, room int, feed json.Number) watched {
	t.Helper()
	var sub *caller.Subscriber
	var err error
	await(t, func() string { return fmt.Sprintf("%s cannot be watched from %s: %v", from.name, at.name, err) }, func() bool {
		sub, err = c.Subscribe(within(t), room, feed) // the news that somebody publishes takes its time
		return err == nil
	})
	for _, kind := range []string{"audio", "video"} {
		if _, err := sub.Track(within(t), kind); err != nil {
			t.Fatalf("%s from %s: %v", at.name, from.name, err)
		}
	}
	t.Cleanup(sub.Close)
	return watched{from, at, sub}
}

// TestRegions has a room span three regions of three nodes.
func TestRegions(t *testing.T) {
	w := newWorld(t, wan.Regions(), 3)
	clients := make(map[*node]*caller.Client)
	for _, n := range w.nodes {
		clients[n] = n.open(t)
	}
	const room = 4711
	create(t, clients[w.nodes[0]], room)
	var feeds []json.Number
	var publishers []*caller.Publisher
	sources := []*node{w.in("eu")[0], w.in("us")[0], w.in("ap")[0]}
	for _, n := range sources {
		p, err := clients[n].Publish(within(t), room)
		if err != nil {
			t.Fatalf("publish at %s: %v", n.name, err)
		}
		t.Cleanup(p.Close)
		publishers, feeds = append(publishers, p), append(feeds, p.ID)
	}
	w.agree(t, clients, room, feeds...)

	// Everybody hears everybody.
	var all []watched
	for i, from := range sources {
		for _, at := range w.nodes {
			all = append(all, subscribe(t, from, at, clients[at], room, feeds[i]))
		}
	}
	time.Sleep(3 * time.Second) // links have found their sizes and rates
	t.Run("delay and loss", func(t *testing.T) { w.steady(t, all) })
	t.Run("one crossing", func(t *testing.T) { w.crossings(t) })
	_ = publishers
}

// steady wants what comes to be whole, and to come as fast as the ocean lets it.
func (w *world) steady(t *testing.T, all []watched) {
	lost := make(map[*caller.Track]uint64)
	for _, x := range all {
		for _, kind := range []string{"audio", "video"} {
			track := x.sub.Received(kind)
			track.Restart()
			lost[track] = track.Figures().Lost
		}
	}
	time.Sleep(5 * time.Second)
	for _, x := range all {
		for _, kind := range []string{"audio", "video"} {
			track := x.sub.Received(kind)
			f := track.Figures()
			t.Logf("%s > %s %s: %d packets, %d lost, %v median, %v p95 (the way takes %v), longest gap %v", x.from.name, x.at.name, kind, f.Received,
				f.Lost-lost[track], f.Median, f.P95, w.oneWay(x.from, x.at), f.Gap)
			if f.Lost > lost[track] {
				t.Errorf("%s > %s: %d packets of %s lost", x.from.name, x.at.name, f.Lost-lost[track], kind)
			}
			if late := f.Median - w.oneWay(x.from, x.at); late > 20*time.Millisecond {
				t.Errorf("%s > %s: %s takes %v longer than the way", x.from.name, x.at.name, kind, late)
			}
		}
	}
}

// publisherRate is what a [caller.Publisher] sends, bytes a second of RTP, padding and probes aside.
const publisherRate = 25*3*(900+12) + 50*(80+12)

// crossings wants each stream to cross each ocean once.
func (w *world) crossings(t *testing.T) {
	const seconds = 5
	regions := []string{"eu", "us", "ap"}
	before := make(map[[2]string]wan.Stats)
	for _, a := range regions {
		for _, b := range regions {
			if a != b {
				before[[2]string{a, b}] = w.network.Stats(a, b)
			}
		}
	}
	time.Sleep(seconds * time.Second)
	for pair, was := range before {
		got := w.network.Stats(pair[0], pair[1]).Sub(was)
		copies := float64(got.Bytes) / seconds / publisherRate
		t.Logf("%s > %s: %d bytes/s in %d packets/s, %.2f of what one publisher sends", pair[0], pair[1], got.Bytes/seconds, got.Packets/seconds, copies)
		if copies > 1.7 {
			t.Errorf("%s > %s carries %.2f of a publisher's rate: more than one copy", pair[0], pair[1], copies)
		}
	}
}
