package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
)

// call is a room with somebody at every node, and what these send to each other.
type call struct {
	w        *world
	room     int
	at       map[*node]*attendee
	watching []*watched
}

// attendee is a participant beside a node who says nothing and notices everything.
type attendee struct {
	client *caller.Client
	handle *caller.Handle
	id     json.Number
	events []caller.M
}

// watched is one subscription.
type watched struct {
	from, at *node
	feed     json.Number
	sub      *caller.Subscriber
	client   *caller.Client
}

// published is a publisher beside a node.
type published struct {
	*caller.Publisher
	client *caller.Client
	at     *node
}

// options of the rooms of calls.
var options = caller.M{"publishers": 100, "notify_joining": true}

// newCall makes a room through the first node, and has a client join it at each.
func (w *world) newCall(t *testing.T, room int) *call {
	t.Helper()
	ask(t, w.nodes[0].open(t), caller.VideoRoom, merge(caller.M{"request": "create", "room": room}, options))
	return w.callIn(t, room)
}

// callIn has a client join a room at each node.
func (w *world) callIn(t *testing.T, room int) *call {
	t.Helper()
	c := &call{w: w, room: room, at: make(map[*node]*attendee)}
	for _, n := range w.nodes {
		c.attend(t, n)
	}
	return c
}

// merge adds the members of an object to another, and returns that.
func merge(a, b caller.M) caller.M {
	maps.Copy(a, b)
	return a
}

// ask sends a plugin a message, by a handle of its own, and returns what it answers.
func ask(t *testing.T, c *caller.Client, plugin string, body caller.M) caller.M {
	t.Helper()
	answer, err := try(within(t), c, plugin, body)
	if err != nil {
		t.Fatalf("%v: %v", body, err)
	}
	return answer
}

// try is [ask] for what may be refused.
func try(ctx context.Context, c *caller.Client, plugin string, body caller.M) (caller.M, error) {
	h, err := c.Attach(ctx, plugin)
	if err != nil {
		return nil, err
	}
	m, err := h.Message(ctx, body, nil)
	return caller.Data(m), errors.Join(err, h.Detach(ctx))
}

// attend has a client join at a node, in place of the one that was there.
func (c *call) attend(t *testing.T, n *node) *attendee {
	t.Helper()
	a := &attendee{client: n.open(t)}
	var err error
	if a.handle, err = a.client.Attach(within(t), caller.VideoRoom); err != nil {
		t.Fatalf("%s: %v", n.name, err)
	}
	m, err := a.handle.Message(within(t), caller.M{"request": "join", "ptype": "publisher", "room": c.room}, nil)
	if err != nil {
		t.Fatalf("join at %s: %v", n.name, err)
	}
	a.id, _ = caller.Data(m)["id"].(json.Number)
	c.at[n] = a
	return a
}

// publish has a client beside a node send audio and video into the room.
func (c *call) publish(t *testing.T, n *node) published {
	t.Helper()
	client := n.open(t)
	p, err := client.Publish(within(t), c.room)
	if err != nil {
		t.Fatalf("publish at %s: %v", n.name, err)
	}
	t.Cleanup(p.Close)
	return published{p, client, n}
}

// watch has clients beside nodes, one for each mention, watch a publisher, and waits until they see it.
func (c *call) watch(t *testing.T, p published, at ...*node) {
	t.Helper()
	begun := make([]*watched, len(at))
	faults := make([]error, len(at))
	var wait sync.WaitGroup
	for i, n := range at {
		client := n.open(t)
		wait.Go(func() {
			begun[i], faults[i] = c.subscribe(within(t), client, p, n)
		})
	}
	wait.Wait()
	if err := errors.Join(faults...); err != nil {
		t.Fatal(err)
	}
	for _, x := range begun {
		t.Cleanup(x.sub.Close)
	}
	c.watching = append(c.watching, begun...)
}

// subscribe watches a publisher. It tries again while the news that somebody publishes is on its way.
func (c *call) subscribe(ctx context.Context, client *caller.Client, p published, at *node) (*watched, error) {
	var sub *caller.Subscriber
	var err error
	for {
		if sub, err = client.Subscribe(ctx, c.room, p.ID); err == nil {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%s cannot be watched from %s: %w", p.at.name, at.name, err)
		}
	}
	for _, kind := range kinds {
		if _, err := sub.Track(ctx, kind); err != nil {
			sub.Close()
			return nil, fmt.Errorf("%s watched from %s: %w", p.at.name, at.name, err)
		}
	}
	return &watched{p.at, at, p.ID, sub, client}, nil
}

// kinds is what publishers send.
var kinds = []string{"audio", "video"}

// tracks calls f with each track of what is watched, and what to call it.
func tracks(all []*watched, f func(x *watched, name string, track *caller.Track)) {
	for _, x := range all {
		for _, kind := range kinds {
			f(x, fmt.Sprintf("%s > %s %s", x.from.name, x.at.name, kind), x.sub.Received(kind))
		}
	}
}

// among returns what is watched between the nodes that are wanted.
func (c *call) among(wanted func(from, at *node) bool) (some []*watched) {
	for _, x := range c.watching {
		if wanted(x.from, x.at) {
			some = append(some, x)
		}
	}
	return some
}

// forget ends what is watched from a node or at it, when that is gone.
func (c *call) forget(n *node) {
	for _, x := range c.among(func(from, at *node) bool { return from == n || at == n }) {
		x.sub.Close()
	}
	c.watching = c.among(func(from, at *node) bool { return from != n && at != n })
	delete(c.at, n)
}

// restart has all that is watched measured anew.
func restart(all []*watched) {
	tracks(all, func(_ *watched, _ string, track *caller.Track) { track.Restart() })
}

// flow waits until so many more packets have come of all that is watched.
func flow(t *testing.T, all []*watched, packets uint64) {
	t.Helper()
	want := make(map[*caller.Track]uint64)
	tracks(all, func(_ *watched, _ string, track *caller.Track) { want[track] = track.Figures().Received + packets })
	var lacking []string
	await(t, func() string { return "nothing more comes: " + strings.Join(lacking, ", ") }, func() bool {
		lacking = nil
		tracks(all, func(_ *watched, name string, track *caller.Track) {
			if track.Figures().Received < want[track] {
				lacking = append(lacking, name)
			}
		})
		return len(lacking) == 0
	})
}

// gap returns the longest time in which nothing came, of all that is watched, since it was measured anew.
func gap(all []*watched) (longest time.Duration) {
	tracks(all, func(_ *watched, _ string, track *caller.Track) { longest = max(longest, track.Figures().Gap) })
	return longest
}

// lost returns how many packets never came, of all that is watched.
func lost(all []*watched) (sum uint64) {
	tracks(all, func(_ *watched, _ string, track *caller.Track) { sum += track.Figures().Lost })
	return sum
}

// noticed returns all that an attendee was told so far.
func (a *attendee) noticed() []caller.M {
	for {
		select {
		case m := <-a.handle.Events():
			a.events = append(a.events, caller.Data(m))
		default:
			return a.events
		}
	}
}

// count returns how often an attendee was told something of a participant: "kicked", "leaving", "unpublished", or
// "publishers" for one that began.
func (a *attendee) count(what string, id json.Number) (n int) {
	for _, m := range a.noticed() {
		list, _ := m[what].([]any)
		if m[what] == id || slices.ContainsFunc(list, func(p any) bool { o, _ := p.(caller.M); return o["id"] == id }) {
			n++
		}
	}
	return n
}

// list returns the ids of a room's participants as a node tells them, or why it does not.
func (c *call) list(ctx context.Context, n *node) []string {
	answer, err := try(ctx, c.at[n].client, caller.VideoRoom, caller.M{"request": "listparticipants", "room": c.room})
	if err != nil {
		return []string{err.Error()}
	}
	ids := []string{}
	list, _ := answer["participants"].([]any)
	for _, p := range list {
		o, _ := p.(caller.M)
		ids = append(ids, fmt.Sprint(o["id"]))
	}
	slices.Sort(ids)
	return ids
}

// agree waits until each of the nodes lists exactly those who attend at some nodes, and the others, and returns how long
// that took.
func (c *call) agree(t *testing.T, nodes, attending []*node, others ...json.Number) time.Duration {
	t.Helper()
	began := time.Now()
	want := []string{}
	for _, n := range attending {
		want = append(want, c.at[n].id.String())
	}
	for _, id := range others {
		want = append(want, id.String())
	}
	slices.Sort(want)
	for _, n := range nodes {
		var got []string
		await(t, func() string { return fmt.Sprintf("%s lists %v, not %v", n.name, got, want) }, func() bool {
			got = c.list(within(t), n)
			return slices.Equal(got, want)
		})
	}
	return time.Since(began)
}

// except returns the nodes that are none of some.
func (w *world) except(some ...*node) (rest []*node) {
	for _, n := range w.nodes {
		if !slices.Contains(some, n) {
			rest = append(rest, n)
		}
	}
	return rest
}
