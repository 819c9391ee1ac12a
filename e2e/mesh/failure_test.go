package mesh

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
)

// What the product promises, and what a busy machine may take.
const (
	// ghostTime: nobody of a killed node is listed after 5 s.
	ghostTime, ghostLimit = 5 * time.Second, 10 * time.Second
	// moveTime: streams take another way within a second.
	moveTime, moveLimit = time.Second, 4 * time.Second
	// mergeTime: two halves are one room again 5 s after the ocean between them is there again.
	mergeTime, mergeLimit = 5 * time.Second, 10 * time.Second
)

// promised logs how long something took, and fails if that was beyond the limit.
func promised(t *testing.T, what string, took, promise, limit time.Duration) {
	t.Helper()
	t.Logf("%s: %v (promised: %v)", what, took.Round(time.Millisecond), promise)
	if took > limit {
		t.Errorf("%s: %v, promised are %v", what, took, promise)
	}
}

// testKills kills a room's keeper, a node that passes a stream on, and the node of a publisher. Each comes back.
func (w *world) testKills(t *testing.T) {
	us, eu := w.in("us")[0], w.in("eu")[0]
	c := w.callIn(t, w.roomKeptBeside(t, eu.open(t), 600, eu, us))
	staying, going := c.publish(t, eu), c.publish(t, us)
	others := []json.Number{staying.ID, going.ID}
	c.watch(t, staying, w.nodes...)
	c.watch(t, going, w.nodes...)
	flow(t, c.watching, 100)

	keeper := eu.keeper(t, c.room)
	t.Logf("%s is the keeper", keeper.name)
	c.kill(t, keeper, others...)
	c.back(t, keeper, staying, going)

	relay, behind := w.relay(t, staying, keeper, us)
	t.Logf("%s passes on what %s publishes, to %s among others", relay.name, eu.name, behind.name)
	c.kill(t, relay, others...)
	c.back(t, relay, staying, going)

	t.Logf("%s is the node of a publisher", us.name)
	c.kill(t, us, staying.ID)
	for _, n := range w.except(us) {
		if times := c.at[n].count("leaving", going.ID); times != 1 {
			t.Errorf("%s is told %d times that the publisher is gone", n.name, times)
		}
	}
	c.back(t, us, staying)
}

// roomKeptBeside makes rooms through a client until there is one whose keeper is none of the nodes, and returns that. The
// first has the number room.
func (w *world) roomKeptBeside(t *testing.T, c *caller.Client, room int, nodes ...*node) int {
	t.Helper()
	for ; ; room++ {
		ask(t, c, caller.VideoRoom, merge(caller.M{"request": "create", "room": room}, options))
		if !slices.Contains(nodes, nodes[0].keeper(t, room)) {
			return room
		}
	}
}

// relay returns a node that passes on what a publisher sends, and one that gets it from there. Some nodes it shall not be,
// if there is a choice.
func (w *world) relay(t *testing.T, p published, spared ...*node) (relay, behind *node) {
	t.Helper()
	await(t, func() string { return "no node gets the stream by way of another" }, func() bool {
		for _, n := range w.except(p.at) {
			path := n.path(t, p.ID)
			if len(path) > 2 && path[0] == p.at && (relay == nil || slices.Contains(spared, relay)) {
				relay, behind = path[len(path)-2], n
			}
		}
		return relay != nil
	})
	return relay, behind
}

// kill kills a node. Whoever is left shall see no more of it than a gap: nobody of it is listed any more soon, the
// room is there at every node, and takes more participants.
func (c *call) kill(t *testing.T, n *node, others ...json.Number) {
	t.Helper()
	restart(c.watching)
	alive := c.w.except(n)
	died := time.Now()
	n.kill()
	c.agree(t, alive, alive, others...)
	promised(t, "  nobody of it is listed anywhere after", time.Since(died), ghostTime, ghostLimit)

	rest := c.among(func(from, at *node) bool { return from != n && at != n })
	flow(t, rest, 100)
	sets := map[string][]*watched{}
	for _, x := range rest {
		name := "elsewhere"
		if x.at.site == n.site {
			name = "in its region"
		}
		name = fmt.Sprintf("  %s, watchers of %s", name, x.from.name)
		sets[name] = append(sets[name], x)
	}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		promised(t, name+": longest gap", gap(sets[name]), moveTime, moveLimit)
	}
	for _, at := range alive {
		client := at.open(t)
		h, err := client.Attach(within(t), caller.VideoRoom)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Message(within(t), caller.M{"request": "join", "ptype": "publisher", "room": c.room}, nil); err != nil {
			t.Errorf("nobody can join at %s: %v", at.name, err)
		}
		if err := h.Detach(within(t)); err != nil {
			t.Errorf("leave at %s: %v", at.name, err)
		}
	}
	c.forget(n)
}

// back starts a node that was killed. It serves again: who comes there is in the room, and sees the publishers.
func (c *call) back(t *testing.T, n *node, publishers ...published) {
	t.Helper()
	began := time.Now()
	c.w.whole(t)
	t.Logf("  it is back and known to all after %v", time.Since(began).Round(time.Millisecond))
	c.attend(t, n)
	var ids []json.Number
	for _, p := range publishers {
		ids = append(ids, p.ID)
	}
	c.agree(t, c.w.nodes, c.w.nodes, ids...)
	for _, p := range publishers {
		c.watch(t, p, n)
	}
	flow(t, c.watching, 50)
}

// testPartition cuts a region off for a while. Both sides go on; when the ocean is there again they are one room, with the
// same participants everywhere, and each of them once.
func (w *world) testPartition(t *testing.T) {
	const cut = "ap"
	inside, outside := w.in(cut), w.except(w.in(cut)...)
	c := w.newCall(t, 700)
	near, far := c.publish(t, outside[0]), c.publish(t, inside[0])
	for _, p := range []published{near, far} {
		c.watch(t, p, w.nodes...)
	}
	flow(t, c.watching, 100)
	for _, n := range w.nodes { // before the partition each is told of each once
		for _, p := range []published{near, far} {
			await(t, func() string { return n.name + " is not told of a publisher" }, func() bool { return c.at[n].count("publishers", p.ID) == 1 })
		}
	}
	together := func(from, at *node) bool { return (from.site.Name() == cut) == (at.site.Name() == cut) }
	going := c.among(together)

	restart(going)
	if err := w.network.Partition(cut); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.agree(t, outside, outside, near.ID)
	c.agree(t, inside, inside, far.ID)
	t.Logf("each side is by itself after %v", time.Since(began).Round(time.Millisecond))
	// On both sides somebody comes.
	late := []published{c.publish(t, outside[5]), c.publish(t, inside[2])}
	c.agree(t, outside, outside, near.ID, late[0].ID)
	c.agree(t, inside, inside, far.ID, late[1].ID)
	c.watch(t, late[0], outside[1])
	c.watch(t, late[1], inside[1])
	time.Sleep(time.Until(began.Add(when(10*time.Second, 30*time.Second))))
	flow(t, going, 50)
	promised(t, "among those of one side: longest gap", gap(going), moveTime, moveLimit)

	w.network.Heal()
	healed := time.Now()
	c.agree(t, w.nodes, w.nodes, near.ID, far.ID, late[0].ID, late[1].ID)
	promised(t, "one room again after", time.Since(healed), mergeTime, mergeLimit)
	for _, n := range w.nodes {
		for _, p := range append([]published{near, far}, late...) {
			want := 1
			if slices.Contains([]published{near, far}, p) && !together(p.at, n) {
				want = 2 // it went and came again
			}
			var got int
			await(t, func() string {
				return fmt.Sprintf("%s is told %d times, not %d, of %s's publisher", n.name, got, want, p.at.name)
			}, func() bool {
				got = c.at[n].count("publishers", p.ID)
				return got >= want
			})
			if got > want {
				t.Errorf("%s is told %d times, not %d, of %s's publisher", n.name, got, want, p.at.name)
			}
		}
	}
	c.watching = c.among(together)
	c.watch(t, near, inside...)
	c.watch(t, far, outside...)
	t.Logf("everybody hears everybody again %v after the ocean is there again", time.Since(healed).Round(time.Millisecond))
	flow(t, c.watching, 50)
	w.meet(t, len(w.nodes))
}
