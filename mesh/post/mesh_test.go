package post

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/data"
	"cardea/relay/link"
	"cardea/relay/peer"
	"cardea/relay/plane"
)

func sayAll(c *peer.Channel, from, to int, pause time.Duration) {
	for i := from; i < to; i++ {
		c.Say(text(i))
		time.Sleep(pause)
	}
}

func TestListenerRestarts(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b := n.start("a"), n.start("b")
		c := a.publish(chat)
		b.listen(chat)
		time.Sleep(time.Second)
		sayAll(c, 0, 10, 10*time.Millisecond)
		n.kill(b)
		sayAll(c, 10, 20, 10*time.Millisecond)
		b = n.start("b")
		e := b.listen(chat)
		time.Sleep(3 * time.Second)
		sayAll(c, 20, 30, 10*time.Millisecond)
		time.Sleep(time.Second)
		if diff := cmp.Diff(texts(20, 30), e.texts()); diff != "" {
			t.Error(diff)
		}
		if s := a.Stats(); s.Subscribers != 1 || s.Kept != 0 {
			t.Errorf("the earlier process is not forgotten: %+v", s)
		}
	})
}

func TestPublisherRestarts(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b := n.start("a"), n.start("b")
		c := a.publish(chat)
		e := b.listen(chat)
		time.Sleep(time.Second)
		sayAll(c, 0, 10, 10*time.Millisecond)
		time.Sleep(time.Second)
		n.kill(a)
		a = n.start("a")
		c = a.publish(chat)
		time.Sleep(6 * time.Second) // the listener asks after two seconds of silence
		sayAll(c, 10, 20, 10*time.Millisecond)
		time.Sleep(time.Second)
		if diff := cmp.Diff(texts(0, 20), e.texts()); diff != "" {
			t.Error(diff)
		}
	})
}

// Both sides of a partition go on, and nothing of what was said meanwhile is missing when it heals.
func TestPartition(t *testing.T) {
	for _, length := range []time.Duration{5 * time.Second, 45 * time.Second} {
		t.Run(length.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, n *network) {
				a, b, d := n.start("a"), n.start("b"), n.start("d")
				c := a.publish(chat)
				e, near := b.listen(chat), d.listen(chat)
				time.Sleep(time.Second)
				n.partition(true, []*simNode{a, d}, []*simNode{b})
				sayAll(c, 0, 500, length/500)
				if diff := cmp.Diff(texts(0, 490), near.texts()[:490]); diff != "" {
					t.Error(diff)
				}
				n.partition(false, []*simNode{a, d}, []*simNode{b})
				time.Sleep(5 * time.Second)
				if diff := cmp.Diff(texts(0, 500), e.texts()); diff != "" {
					t.Error(diff)
				}
				if s := a.Stats(); s.Kept != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// Messages with limits are not late and not repeated; reliable ones beside them are not lost.
func TestPartialReliability(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b := n.start("a"), n.start("b")
		c := a.publish(chat)
		e := b.listen(chat)
		time.Sleep(time.Second)
		n.change(func() { n.loss = 0.05 })
		kinds := map[string]data.Reliability{
			"sure":        {},
			"once":        {Unordered: true, Partial: data.Retransmits},
			"twice":       {Partial: data.Retransmits, Limit: 1},
			"soon":        {Unordered: true, Partial: data.Lifetime, Limit: 150},
			"soon, order": {Partial: data.Lifetime, Limit: 150},
		}
		said := map[string]time.Time{}
		say := func(i int) {
			for label, r := range kinds {
				m := data.Message{Label: label, Reliability: r, Data: fmt.Appendf(nil, "%06d", i)}
				said[label+string(m.Data)] = time.Now()
				c.Say(m)
			}
		}
		for i := range 500 {
			say(i)
			time.Sleep(20 * time.Millisecond)
		}
		n.change(func() { n.loss = 0 })
		time.Sleep(10 * time.Second)
		n.partition(true, []*simNode{a}, []*simNode{b})
		for i := 500; i < 600; i++ {
			say(i)
			time.Sleep(50 * time.Millisecond)
		}
		n.partition(false, []*simNode{a}, []*simNode{b})
		time.Sleep(10 * time.Second)
		got, late := map[string][]string{}, map[string]int{}
		heard, times := e.record()
		for i, m := range heard {
			got[m.Label] = append(got[m.Label], string(m.Data))
			if times[i].Sub(said[m.Label+string(m.Data)]) > 250*time.Millisecond { // the way, its jitter, and the lifetime
				late[m.Label]++
			}
			if m.Reliability != kinds[m.Label] {
				t.Fatalf("%s came as %+v", m.Label, m.Reliability)
			}
		}
		for label, numbers := range got {
			least, most := 350, 580
			switch label {
			case "sure":
				least, most = 600, 600
			case "soon, order":
				least = 150 // one that is lost twice keeps those behind it until they are late
			}
			sorted := slices.IsSorted(numbers)
			slices.Sort(numbers)
			if k := len(numbers); k < least || k > most || len(slices.Compact(numbers)) != k {
				t.Errorf("%s: %d came, %d different", label, k, len(slices.Compact(numbers)))
			}
			if !kinds[label].Unordered && !sorted {
				t.Errorf("%s: out of order", label)
			}
			if kinds[label].Partial == data.Lifetime && late[label] > 0 {
				t.Errorf("%s: %d late", label, late[label])
			}
		}
		if k, _ := slices.BinarySearch(got["once"], "000500"); k > 490 || k < 460 {
			t.Errorf("%d of 500 came, sent once over a link that loses 5 %%", k)
		}
		if len(got) != len(kinds) {
			t.Errorf("%d kinds came", len(got))
		}
	})
}

// The largest messages pass, with losses, and small ones of another line beside them do not wait for all of them.
func TestLargeMessages(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b := n.start("a"), n.start("b")
		large, small := a.publish(chat), a.publish(line1("8"))
		e, f := b.listen(chat), b.listen(line1("8"))
		time.Sleep(time.Second)
		n.change(func() { n.loss = 0.01 })
		const messages = 40
		began := time.Now()
		for i := range messages {
			large.Say(data.Message{Data: bytes.Repeat([]byte{byte(i)}, MaxMessage)})
		}
		for i := range 10 {
			small.Say(text(i))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		got, times := e.record()
		for i, m := range got {
			if len(m.Data) != MaxMessage || m.Data[0] != byte(i) || m.Data[MaxMessage-1] != byte(i) {
				t.Fatalf("message %d is not what was said", i)
			}
		}
		if len(got) != messages {
			t.Fatalf("%d came", len(got))
		}
		_, beside := f.record()
		if len(beside) != 10 || beside[9].Sub(began) > times[messages-1].Sub(began)/2 {
			t.Errorf("%d small ones came, the last after %v, the last large one after %v", len(beside), beside[9].Sub(began), times[messages-1].Sub(began))
		}
	})
}

// A node that takes nothing costs others nothing, and the room no more than its quota.
func TestSlowNode(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		small := func(c *Config) { c.RoomBytes = 100_000 }
		a, slow, b := n.start("a", small), n.start("slow"), n.start("b")
		c := a.publish(chat)
		e, none := b.listen(chat), slow.listen(chat)
		time.Sleep(time.Second)
		n.partition(true, []*simNode{a}, []*simNode{slow})
		sayAll(c, 0, 2000, 5*time.Millisecond)
		time.Sleep(time.Second)
		if diff := cmp.Diff(texts(0, 2000), e.texts()); diff != "" {
			t.Error(diff)
		}
		s := a.Stats()
		if s.Kept > 100_000 || s.Kept < 90_000 || s.Forgotten < 1500 {
			t.Errorf("%+v", s)
		}
		n.partition(false, []*simNode{a}, []*simNode{slow})
		time.Sleep(5 * time.Second)
		got := none.texts()
		if k := len(got); k < 300 || !slices.Equal(got[k-300:], texts(1700, 2000)) {
			t.Errorf("%d came in the end", k)
		}
		if s := slow.Stats(); s.Missing+uint64(len(got)) != 2000 {
			t.Errorf("%d missing, %d came", s.Missing, len(got))
		}
	})
}

// A room that says too much loses what it says; another does not notice.
func TestQuota(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b := n.start("a", func(c *Config) { c.RoomRate = 100 }), n.start("b")
		other := plane.StreamID{Room: "videoroom/2", Publisher: "1", Mid: "data"}
		loud, calm := a.publish(chat), a.publish(other)
		l, e := b.listen(chat), b.listen(other)
		time.Sleep(time.Second)
		for i := range 1000 {
			loud.Say(text(i))
			if i%20 == 0 {
				calm.Say(text(i / 20))
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		if diff := cmp.Diff(texts(0, 50), e.texts()); diff != "" {
			t.Error(diff)
		}
		if k, s := len(l.take()), a.Stats(); k < 195 || k > 205 || int(s.OverQuota) != 1000-k {
			t.Errorf("%d came, %+v", k, s)
		}
		loud.Say(data.Message{Data: make([]byte, MaxMessage+1)})
		if s := a.Stats(); s.Kept != 0 {
			t.Errorf("too large a message is kept: %+v", s)
		}
	})
}

// A member that floods costs the node it sends to, and the one it sends through, no more than its share.
func TestFlood(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b, relay := n.start("a"), n.start("b"), n.start("relay")
		rogue := n.start("rogue")
		n.change(func() {
			n.via[[2]link.NodeID{a.id, b.id}], n.via[[2]link.NodeID{b.id, a.id}] = relay.id, relay.id
		})
		c := a.publish(chat)
		e := b.listen(chat)
		time.Sleep(time.Second)
		before := relay.Stats().Datagrams
		from, _ := addressOf(rogue.id)
		to, _ := addressOf(b.id)
		at, _ := addressOf(relay.id)
		through := header{kind: carry, hops: maxHops, to: to, from: from, source: 1, dest: 2}.append(nil, make([]byte, 1000))
		direct := header{kind: greet, hops: maxHops, to: at, from: from, source: 1}.append(nil, make([]byte, 100))
		for i := range 1000 {
			for range 50 {
				relay.Received(rogue.id, slices.Clone(through))
				relay.Received(rogue.id, slices.Clone(direct))
			}
			if i%10 == 0 {
				c.Say(text(i / 10))
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if diff := cmp.Diff(texts(0, 100), e.texts()); diff != "" {
			t.Error(diff)
		}
		after := relay.Stats().Datagrams
		passed := after.Onward + after.Here - before.Onward - before.Here
		if after.Flood < 80_000 || passed > 12_000 {
			t.Errorf("%d passed, %d refused", passed, after.Flood)
		}
	})
}

// Who is no member is not heard, nor who claims to be somebody else that is none.
func TestStranger(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b := n.start("a"), n.start("b")
		stranger, _ := addressOf(nodeID("stranger"))
		self, _ := addressOf(a.id)
		other, _ := addressOf(b.id)
		for _, h := range []header{{to: self, from: stranger}, {to: stranger, from: other}, {to: self, from: self}} {
			h.kind, h.hops, h.source = greet, maxHops, 1
			a.Received(b.id, h.append(nil, nil))
		}
		a.Received(b.id, nil)
		if s := a.Stats(); s.Datagrams.Strangers != 3 || s.Datagrams.Malformed != 1 || s.Nodes != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Five nodes, each with 40 lines that all others listen to, said to all at once.
func TestManyChannels(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		n.change(func() { n.loss = 0.01 })
		const lines, each = 40, 20
		var nodes []*simNode
		for i := range 5 {
			nodes = append(nodes, n.start(fmt.Sprint(i)))
		}
		var channels []*peer.Channel
		var ids []plane.StreamID
		for i := range 5 * lines {
			id := plane.StreamID{Room: fmt.Sprintf("videoroom/%d", i%17), Publisher: fmt.Sprint(i), Mid: "data"}
			ids = append(ids, id)
			channels = append(channels, nodes[i/lines].publish(id))
		}
		ears := map[plane.StreamID][]*ear{}
		for i, id := range ids {
			for k, s := range nodes {
				if k != i/lines {
					ears[id] = append(ears[id], s.listen(id))
				}
			}
		}
		time.Sleep(5 * time.Second)
		for i := range each {
			for _, c := range channels {
				c.Say(text(i))
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		for id, all := range ears {
			for _, e := range all {
				if diff := cmp.Diff(texts(0, each), e.texts()); diff != "" {
					t.Fatalf("%v: %s", id, diff)
				}
			}
		}
		for _, s := range nodes {
			if st := s.Stats(); st.Nodes != 4 || st.Intakes != 4*lines || st.Subscribers != 4*lines || st.Kept != 0 {
				t.Errorf("%+v", st)
			}
		}
	})
}

// A publisher moves to another node: the listeners follow when the roster says so, whoever hears of it first.
func TestHomeMoves(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b, d := n.start("a"), n.start("b"), n.start("d")
		first := a.publish(chat)
		e := b.listen(chat)
		time.Sleep(time.Second)
		sayAll(first, 0, 10, time.Millisecond)
		time.Sleep(time.Second)
		a.channels.Withdraw(chat, first)
		second := d.publish(chat)
		for _, s := range []*simNode{a, b, d} {
			s.HomesChanged(chat.Room)
		}
		time.Sleep(time.Second)
		sayAll(second, 10, 20, time.Millisecond)
		time.Sleep(time.Second)
		if diff := cmp.Diff(texts(0, 20), e.texts()); diff != "" {
			t.Error(diff)
		}
		if s := a.Stats(); s.Subscribers != 0 || s.Rooms != 0 {
			t.Errorf("the earlier home: %+v", s)
		}
		// Now to the listener's own node.
		d.channels.Withdraw(chat, second)
		third := new(peer.Channel)
		n.change(func() { n.homes[chat] = b.id })
		b.HomesChanged(chat.Room)
		time.Sleep(time.Second)
		b.channels.Publish(chat, third)
		sayAll(third, 20, 30, time.Millisecond)
		time.Sleep(time.Second)
		if diff := cmp.Diff(texts(20, 30), e.texts()); diff != "" {
			t.Error(diff)
		}
		if s := d.Stats(); s.Subscribers != 0 {
			t.Errorf("the second home: %+v", s)
		}
	})
}

// Two nodes that each take the other for the home do not send each other anything in a circle, and find out.
func TestHomesDisagree(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		var a, b *simNode
		wrong := true
		home := func(other **simNode) func(*Config) {
			return func(c *Config) {
				c.Home = func(plane.StreamID) (link.NodeID, bool) {
					n.mu.Lock()
					defer n.mu.Unlock()
					if wrong {
						return (*other).id, true
					}
					return a.id, true
				}
			}
		}
		a, b = n.start("a", home(&b)), n.start("b", home(&a))
		x, y := a.listen(chat), b.listen(chat)
		time.Sleep(10 * time.Second)
		if s := a.Stats(); s.Subscribers != 0 || s.Intakes != 1 {
			t.Errorf("%+v", s)
		}
		n.change(func() { wrong = false })
		a.HomesChanged(chat.Room)
		c := a.publish(chat)
		time.Sleep(5 * time.Second) // b was not told, but asks again
		sayAll(c, 0, 10, time.Millisecond)
		time.Sleep(time.Second)
		if diff := cmp.Diff([][]string{texts(0, 10), texts(0, 10)}, [][]string{x.texts(), y.texts()}); diff != "" {
			t.Error(diff)
		}
	})
}

func TestIdle(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b := n.start("a"), n.start("b")
		var datagrams atomic.Int64
		n.change(func() { n.spy = func() { datagrams.Add(1) } })
		c := a.publish(chat)
		e := b.listen(chat)
		time.Sleep(2 * time.Minute)
		sayAll(c, 0, 1, 0)
		time.Sleep(time.Second)
		if diff := cmp.Diff(texts(0, 1), e.texts()); diff != "" {
			t.Errorf("after two silent minutes: %s", diff)
		}
		if k := datagrams.Load(); k > 500 {
			t.Errorf("%d datagrams in two silent minutes", k)
		}
		b.unlisten(chat, e)
		time.Sleep(time.Second)
		if s := a.Stats(); s.Subscribers != 0 || s.Rooms != 0 || s.Nodes != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(2*time.Minute + 10*time.Second)
		if a, b := a.Stats(), b.Stats(); a.Nodes != 0 || b.Nodes != 0 {
			t.Errorf("%+v, %+v", a, b)
		}
		datagrams.Store(0)
		time.Sleep(time.Hour)
		if k := datagrams.Load(); k != 0 {
			t.Errorf("%d datagrams without anything to say", k)
		}
		e = b.listen(chat)
		time.Sleep(time.Second)
		sayAll(c, 1, 2, 0)
		time.Sleep(time.Second)
		if diff := cmp.Diff(texts(1, 2), e.texts()); diff != "" {
			t.Error(diff)
		}
	})
}

// Two nodes that listen to each other have one association, although both began.
func TestBothBegin(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		n.change(func() { n.loss = 0.3 })
		a, b := n.start("a"), n.start("b")
		x, y := a.publish(line1("x")), b.publish(line1("y"))
		e, f := b.listen(line1("x")), a.listen(line1("y"))
		time.Sleep(10 * time.Second)
		n.change(func() { n.loss = 0 })
		sayAll(x, 0, 10, time.Millisecond)
		sayAll(y, 10, 20, time.Millisecond)
		time.Sleep(5 * time.Second)
		if diff := cmp.Diff([][]string{texts(0, 10), texts(10, 20)}, [][]string{e.texts(), f.texts()}); diff != "" {
			t.Error(diff)
		}
	})
}
