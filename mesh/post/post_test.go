package post

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/data"
	"cardea/relay/link"
)

func text(i int) data.Message {
	return data.Message{Label: "chat", Text: true, Data: fmt.Appendf(nil, "message %d", i)}
}

func texts(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, string(text(i).Data))
	}
	return out
}

func TestMessageCrosses(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b := n.start("a"), n.start("b")
		c := a.publish(chat)
		e := b.listen(chat)
		time.Sleep(time.Second)
		want := []data.Message{
			{Label: "chat", Protocol: "p", Text: true, Data: []byte("hello")},
			{Label: "\xff not UTF-8", Data: []byte{0, 1, 2}},
			{Label: "empty", Text: true},
			{Label: "large", Data: bytes.Repeat([]byte("x"), MaxMessage)},
			{Label: "loose", Reliability: data.Reliability{Unordered: true, Partial: data.Retransmits, Limit: 3}, Data: []byte("1")},
		}
		for _, m := range want {
			c.Say(m)
			time.Sleep(time.Second)
		}
		got := e.take()
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b data.Message) bool {
			return a.Label == b.Label && a.Protocol == b.Protocol && a.Text == b.Text && a.Reliability == b.Reliability && bytes.Equal(a.Data, b.Data)
		})); diff != "" {
			t.Error(diff)
		}
		if s := a.Stats(); s.Kept != 0 || s.Said != 5 || s.Sent != 5 || s.Subscribers != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// The chat arrives once and in order, with losses, and while a relay is killed.
func TestRelayKilled(t *testing.T) {
	simulate(t, func(t *testing.T, n *network) {
		a, b := n.start("a"), n.start("b")
		r1, r2 := n.start("r1"), n.start("r2")
		n.change(func() { n.loss = 0.05 })
		through := func(r *simNode) func() {
			return func() {
				n.via[[2]link.NodeID{a.id, b.id}], n.via[[2]link.NodeID{b.id, a.id}] = r.id, r.id
			}
		}
		n.change(through(r1))
		c := a.publish(chat)
		e := b.listen(chat)
		time.Sleep(3 * time.Second)
		for i := range 1000 {
			c.Say(text(i))
			time.Sleep(10 * time.Millisecond)
			switch i {
			case 400:
				n.kill(r1)
			case 470:
				n.change(through(r2))
			}
		}
		time.Sleep(10 * time.Second)
		if diff := cmp.Diff(texts(0, 1000), e.texts()); diff != "" {
			t.Error(diff)
		}
		if s := b.Stats(); s.Nodes != 1 || s.Duplicates != 0 || s.Missing != 0 {
			t.Errorf("%+v", s)
		}
		if r2.Stats().Datagrams.Onward == 0 {
			t.Error("nothing went through the other relay")
		}
	})
}

// An association that has to be made anew, again and again, loses and repeats nothing.
func TestAssociationAnew(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		t.Run(fmt.Sprintf("unordered %v", unordered), func(t *testing.T) {
			simulate(t, func(t *testing.T, n *network) {
				a, b := n.start("a"), n.start("b")
				n.change(func() { n.loss = 0.02 })
				c := a.publish(chat)
				e := b.listen(chat)
				time.Sleep(3 * time.Second)
				for i := range 2000 {
					m := text(i)
					m.Reliability.Unordered = unordered
					c.Say(m)
					time.Sleep(5 * time.Millisecond)
					if i%300 == 299 {
						ends := []*simNode{a, b}[i/300%2]
						ends.mu.RLock()
						for _, c := range ends.correspondents {
							c.line.close()
						}
						ends.mu.RUnlock()
					}
				}
				time.Sleep(20 * time.Second)
				got := e.texts()
				want := texts(0, 2000)
				if unordered {
					slices.Sort(got)
					slices.Sort(want)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				if s := a.Stats(); s.Kept != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
