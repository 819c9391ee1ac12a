package mesh

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/e2e/wan"
)

// testMessages has somebody send messages, and listeners at all nodes, each of whom hears each message once and in order:
// over the direct way first, then over a third region, since the direct way is cut, and while a node on that way is killed.
// The speaker is at a tenth node abroad, so that most nodes still reach each other when one ocean is cut.
func (w *world) testMessages(t *testing.T) {
	eu, ap := w.in("eu"), w.in("ap")
	home := w.join(t, abroad)
	client := home.open(t)
	room := w.roomKeptBeside(t, client, 800, append(slices.Concat(eu, ap), home)...)
	speaker, err := client.Speak(within(t), room)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(speaker.Close)
	listeners := make(map[*node]*caller.Subscriber)
	for _, n := range w.nodes {
		at := n.open(t)
		await(t, func() string { return fmt.Sprintf("no listening at %s: %v", n.name, err) }, func() bool {
			listeners[n], err = at.Subscribe(within(t), room, speaker.ID)
			return err == nil
		})
		t.Cleanup(listeners[n].Close)
	}
	// Who listens hears what is said from then on, and it takes a while until all do.
	for i := 0; ; i++ {
		if err := speaker.Say(fmt.Sprint("hello ", i)); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(w.nodes, func(n *node) bool { return len(listeners[n].Heard()) == 0 }) {
			break
		}
		time.Sleep(pause)
	}

	talk := newTalk(t, speaker)
	talk.say(t, 100)
	talk.heard(t, listeners)

	w.setDown(t, abroad, "ap", true)
	defer w.setDown(t, abroad, "ap", false)
	talk.say(t, 100)
	talk.heard(t, listeners)
	before := carried(eu, ap[0].identity)
	talk.say(t, 100)
	talk.heard(t, listeners)
	relay, most := (*node)(nil), uint64(0)
	for n, bytes := range carried(eu, ap[0].identity) {
		if bytes -= before[n]; bytes > most {
			relay, most = n, bytes
		}
	}
	if relay == nil {
		t.Fatal("no node passes messages on")
	}
	t.Logf("%s passes messages on", relay.name)
	talk.saying(func() {
		relay.kill()
		delete(listeners, relay)
		w.meet(t, len(w.nodes)-1)
	})
	talk.heard(t, listeners)
	t.Logf("%d messages, each once and in order at %d nodes", len(talk.said), len(listeners))
}

// join has a node at a site join the mesh until the test ends.
func (w *world) join(t *testing.T, site string) *node {
	t.Helper()
	n := w.newNode(t, site+"1", w.network.Site(site), 1, allPlanes)
	n.start(t, w.nodes[0].invite(t, 1))
	n.id(t)
	w.nodes = append(w.nodes, n)
	t.Cleanup(func() {
		w.nodes = w.nodes[:len(w.nodes)-1]
		n.stop(t)
	})
	w.meet(t, len(w.nodes))
	return n
}

// setDown cuts the ocean between two sites, or ends that.
func (w *world) setDown(t *testing.T, a, b string, down bool) {
	t.Helper()
	for _, way := range [][2]string{{a, b}, {b, a}} {
		if err := w.network.Update(way[0], way[1], func(c *wan.Conditions) error { c.Down = down; return nil }); err != nil {
			t.Error(err)
		}
	}
}

// carried returns what nodes have sent over their links to another.
func carried(nodes []*node, to string) map[*node]uint64 {
	bytes := make(map[*node]uint64)
	for _, n := range nodes {
		for _, m := range n.members() {
			if m.ID == to {
				bytes[n] = m.SentBytes
			}
		}
	}
	return bytes
}

// talk is what a speaker says.
type talk struct {
	t       *testing.T
	speaker *caller.Speaker
	said    []string
}

func newTalk(t *testing.T, s *caller.Speaker) *talk { return &talk{t: t, speaker: s} }

// next says one message.
func (k *talk) next() error {
	text := fmt.Sprint("message ", len(k.said))
	k.said = append(k.said, text)
	return k.speaker.Say(text)
}

// say says so many messages.
func (k *talk) say(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := k.next(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// saying goes on speaking while f runs.
func (k *talk) saying(f func()) {
	ctx, quit := context.WithCancel(k.t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			if err := k.next(); err != nil {
				k.t.Error(err)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	defer work.Wait()
	defer quit()
	f()
}

// heard wants each listener to have heard all that was said, in order and nothing twice.
func (k *talk) heard(t *testing.T, listeners map[*node]*caller.Subscriber) {
	t.Helper()
	began := time.Now()
	for n, l := range listeners {
		var got []string
		await(t, func() string { return fmt.Sprintf("%s heard %d messages of %d", n.name, len(got), len(k.said)) }, func() bool {
			got = slices.DeleteFunc(l.Heard(), func(text string) bool { return len(text) >= 5 && text[:5] == "hello" })
			return len(got) >= len(k.said)
		})
		if !slices.Equal(got, k.said) {
			at := 0
			for at < min(len(got), len(k.said)) && got[at] == k.said[at] {
				at++
			}
			t.Errorf("%s heard %d messages of %d, and not in order or not once: %v follow %d right ones", n.name, len(got), len(k.said), got[at:min(len(got), at+5)], at)
		}
	}
	t.Logf("all is heard everywhere %v after the last word", time.Since(began).Round(time.Millisecond))
}
