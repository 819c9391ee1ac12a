package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/e2e/wan"
	"cardea/node/console"
)

// drainWithin is how long the node that is drained has.
const drainWithin = 10 * time.Second

// testDrain drains the node that keeps a room, under a call in it: who can move does so while nobody loses a packet of anybody, the
// session of who cannot is claimed at another node while its media stays, and that is hung up at the deadline. Who has nothing to
// do with the node does not notice.
func (w *world) testDrain(t *testing.T) {
	c := w.newCall(t, 1200)
	n := w.nodes[1].keeper(t, c.room)
	rest := w.except(n)
	far := rest[0]
	for _, o := range rest {
		if o.site != n.site {
			far = o
		}
	}
	var near *node // where those go who were at n
	for _, o := range w.in(n.site.Name()) {
		if o != n {
			near = o
		}
	}
	steady, mover, plain := c.publish(t, far), c.publish(t, n), c.publish(t, n)
	c.watch(t, steady, rest...)
	c.watch(t, mover, far, near)
	c.watch(t, plain, far)
	of := func(p published) []*watched {
		return c.among(func(from, _ *node) bool { return from == p.at })
	}
	elsewhere := of(steady)
	flow(t, c.watching, 50)
	restart(c.watching)
	before := lost(c.watching)

	told := make(chan error, 1)
	go func() { told <- n.toldToMove(within(t), mover.client) }()
	began := time.Now()
	text := far.run(t, "drain", "--config", far.file, "--deadline", drainWithin.String(), n.name)
	t.Logf("cardea drain: %s", strings.TrimSpace(text))
	await(t, func() string { return n.name + " is ready as ever" }, func() bool { _, err := n.get("/readyz"); return err != nil })
	if _, err := n.dial(within(t)); err == nil {
		t.Errorf("%s takes new clients", n.name)
	}
	await(t, func() string { return n.name + " still keeps the room" }, func() bool {
		id := far.keeps(c.room)
		return id != "" && id != n.id(t)
	})
	t.Logf("after %v another node keeps the room", time.Since(began).Round(time.Millisecond))

	// Make before break.
	if err := <-told; err != nil {
		t.Fatalf("%s tells nobody to move: %v", n.name, err)
	}
	t.Logf("after %v the client was told to move", time.Since(began).Round(time.Millisecond))
	moved := c.publish(t, near)
	c.watch(t, moved, far, near)
	flow(t, c.watching, 10)
	t.Logf("the longest gap until the client had moved is %v", gap(c.watching).Round(time.Millisecond))
	mover.Close()
	if err := mover.client.Destroy(within(t)); err != nil {
		t.Error(err)
	}

	// Signaling moves, media stays.
	select {
	case <-plain.client.Closed():
	case <-time.After(drainWithin):
		t.Fatalf("%s does not close connections", n.name)
	}
	closed := time.Since(began)
	if err := plain.client.ClaimAt(within(t), "ws://"+near.address+":8188/"); err != nil {
		t.Fatal(err)
	}
	t.Logf("after %v a connection was closed, and its session claimed %v later", closed.Round(time.Millisecond), (time.Since(began) - closed).Round(time.Millisecond))
	if _, err := plain.Handle.Message(within(t), caller.M{"request": "configure", "display": "moved"}, nil); err != nil {
		t.Errorf("after the claim: %v", err)
	}
	if !strings.Contains(n.tail(500), "session yielded") {
		t.Error("the session went on at the node that drains")
	}
	stayed := c.among(func(from, _ *node) bool { return from == n })[2:]
	flow(t, stayed, 10)
	if n := lost(c.watching) - before; n > 0 {
		t.Errorf("%d packets were lost on the way", n)
	}

	// The end.
	deadline := time.Until(began.Add(drainWithin + 8*time.Second))
	for hungUp := false; !hungUp; {
		select {
		case e := <-plain.Handle.Events():
			if hungUp = e["janus"] == "hangup"; hungUp {
				t.Logf("after %v the rest was hung up: %v", time.Since(began).Round(time.Millisecond), e["reason"])
			}
		case <-time.After(deadline):
			t.Fatal("nobody was hung up")
		}
	}
	ends(t, n)
	t.Logf("after %v the node ended", time.Since(began).Round(time.Millisecond))
	flow(t, elsewhere, 50)
	t.Logf("clients of other nodes: the longest gap is %v", gap(elsewhere).Round(time.Millisecond))
	if gap := gap(elsewhere); gap > moveLimit {
		t.Errorf("an interruption of %v", gap)
	}
	c.agree(t, rest, rest, steady.ID, plain.ID, moved.ID)
}

// keeps returns the id of the node that keeps a room; "" while that is between two.
func (n *node) keeps(room int) string {
	var list console.Rooms
	_ = n.fetch("/api/v1/rooms", &list) // asked again
	for _, r := range list.Rooms {
		if r.Room == strconv.Itoa(room) {
			return r.Keeper
		}
	}
	return ""
}

// toldToMove watches as nearest.js does, until the node says that the client should move.
func (n *node) toldToMove(ctx context.Context, c *caller.Client) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: n.site.Dial}}
	for {
		url := fmt.Sprintf("http://%s:8188/nearest/watch?session=%s", n.address, c.Session())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		var answer struct{ Move bool }
		err = json.NewDecoder(response.Body).Decode(&answer)
		response.Body.Close()
		switch {
		case response.StatusCode == http.StatusNoContent:
		case response.StatusCode != http.StatusOK:
			return fmt.Errorf("%s: %s", url, response.Status)
		default:
			return err
		}
	}
}

// TestDrainPlanes drains nodes that have one plane: media, whose clients move without a gap though their signaling stays, and
// signaling, whose clients claim their sessions elsewhere while their media stays. Both end when they are empty.
func TestDrainPlanes(t *testing.T) {
	w := newWorldOf(t, wan.Topology{Sites: []wan.SiteConfig{{Name: "one", Hosts: 4}}}, []string{"one"}, 4, "signaling", "signaling", "media", "media")
	signaling, second := w.nodes[0], w.nodes[1]
	const room = 1300
	ask(t, signaling.open(t), caller.VideoRoom, caller.M{"request": "create", "room": room})
	c := &call{w: w, room: room, at: make(map[*node]*attendee)}
	mover := c.publish(t, signaling)
	media := w.nodes[2]
	if peers(t, media) == 0 {
		media = w.nodes[3]
	}
	drain := func(n *node) {
		t.Helper()
		second.run(t, "drain", "--config", second.file, "--deadline", "1m", n.name)
	}

	told := make(chan error, 1)
	go func() { told <- signaling.toldToMove(within(t), mover.client) }()
	drain(media)
	if err := <-told; err != nil {
		t.Fatalf("the client of a draining media node is not told to move: %v", err)
	}
	moved := c.publish(t, signaling)
	c.watch(t, moved, signaling)
	if n := peers(t, media); n != 1 {
		t.Errorf("%d peers at the node that drains", n)
	}
	mover.Close()
	if err := mover.client.Destroy(within(t)); err != nil {
		t.Error(err)
	}
	ends(t, media)

	restart(c.watching)
	before := lost(c.watching)
	drain(signaling)
	for _, client := range []*caller.Client{moved.client, c.watching[0].client} {
		select {
		case <-client.Closed():
		case <-time.After(patience):
			t.Fatal("connections stay")
		}
		if err := client.ClaimAt(within(t), "ws://"+second.address+":8188/"); err != nil {
			t.Fatal(err)
		}
	}
	ends(t, signaling)
	flow(t, c.watching, 50)
	t.Logf("the longest gap is %v", gap(c.watching).Round(time.Millisecond))
	if n := lost(c.watching) - before; n > 0 {
		t.Errorf("%d packets were lost", n)
	}
	if _, err := moved.Handle.Message(within(t), caller.M{"request": "configure", "display": "still here"}, nil); err != nil {
		t.Error(err)
	}
}

// peers returns how many clients have their media at a node.
func peers(t *testing.T, n *node) int {
	t.Helper()
	var s console.Status
	if err := n.fetch("/api/v1/status", &s); err != nil {
		t.Fatal(err)
	}
	return s.Peers
}

// ends waits until a node that drains has ended, as it should.
func ends(t *testing.T, n *node) {
	t.Helper()
	began := time.Now()
	select {
	case <-n.ended:
		t.Logf("%s ended %v after its last client", n.name, time.Since(began).Round(time.Millisecond))
	case <-time.After(patience):
		t.Fatalf("%s does not end\n%s", n.name, n.tail(20))
	}
	if code := n.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s ended with %d\n%s", n.name, code, n.tail(20))
	}
}
