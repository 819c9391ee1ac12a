package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"

	"github.com/google/go-cmp/cmp"
)

var abcd = []link.NodeID{"a", "b", "c", "d"}

// TestCall passes requests and polls of clients that poll from any node.
func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, abcd...)
		n.delay = 100 * time.Millisecond
		a := n.nodes[0]
		a.open(77)
		for _, x := range n.nodes[1:] {
			reply, found, err := x.Call(t.Context(), 77, "http", "192.0.2.1", []byte("q"))
			if string(reply) != "http 192.0.2.1 re q" || !found || err != nil {
				t.Errorf("%s: %q %v %v", x.id, reply, found, err)
			}
		}
		start := time.Now()
		if _, found, err := n.nodes[1].Call(t.Context(), 78, "http", "", nil); found || err != nil {
			t.Errorf("a session that is none: %v %v", found, err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("that took %v", took)
		}
		start = time.Now()
		_, _, _ = n.nodes[1].Call(t.Context(), 78, "http", "", nil)
		if took := time.Since(start); took > 0 {
			t.Errorf("the second time it took %v", took)
		}
		go func() {
			time.Sleep(5 * time.Second)
			a.events <- []byte("e")
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if l, found, err := n.nodes[2].Poll(ctx, 77, 1); len(l) != 1 || string(l[0]) != "e" || !found || err != nil {
			t.Errorf("poll: %q %v %v", l, found, err)
		}
		if l, found, err := n.nodes[2].Poll(ctx, 77, 1); len(l) != 0 || !found || err != nil {
			t.Errorf("a poll without events: %q %v %v", l, found, err)
		}
		a.mu.Lock()
		delete(a.sessions, 77)
		a.mu.Unlock()
		a.Disown(77)
		if _, found, err := n.nodes[1].Call(t.Context(), 77, "http", "", nil); found || err != nil {
			t.Errorf("a session that is over: %v %v", found, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, x := range n.nodes {
			if x.records() != 0 {
				t.Errorf("%s keeps %d records", x.id, x.records())
			}
		}
	})
}

// TestConnection wants the messages of a connection in order, from several nodes.
func TestConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, abcd...)
		n.delay = 75 * time.Millisecond
		n.nodes[0].open(1)
		n.nodes[1].open(2)
		c := n.nodes[2].client()
		var want []string
		for i := range 100 {
			q := fmt.Sprint("event ", i)
			if found, err := c.send(1, q); !found || err != nil {
				t.Fatal(found, err)
			}
			want = append(want, q, "re "+q)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got, cut := c.take(); !cmp.Equal(got, want) || cut {
			t.Errorf("cut %v, got %v", cut, got)
		}
		if found, err := c.send(2, "x"); !found || err != nil {
			t.Fatal(found, err)
		}
		if found, err := c.send(3, "x"); found || err != nil {
			t.Error("a session that is none was found")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got, _ := c.take(); !cmp.Equal(got, []string{"re x"}) {
			t.Errorf("got %v", got)
		}
		c.x.Hang(c.conn)
		time.Sleep(time.Second)
		synctest.Wait()
		for _, x := range n.nodes[:2] {
			if !x.gone() || x.outletCount() != 0 {
				t.Errorf("%s: left %d", x.id, x.outletCount())
			}
		}
		if found, _ := c.send(1, "x"); found {
			t.Error("a closed connection sends")
		}
	})
}

// TestWindow has a node that does not answer: a connection may have so many requests there and no more.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, "a", "b")
		a := n.nodes[0]
		a.open(1)
		a.hold = make(chan struct{})
		c := n.nodes[1].client()
		for range maxRequests {
			if _, err := c.send(1, "q"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.x.Send(ctx, c.conn, 1, []byte("one too many"), func([]byte) {}); !errors.Is(err, ErrUnreachable) || ctx.Err() == nil {
			t.Errorf("one too many: %v", err)
		}
		close(a.hold)
		synctest.Wait()
		if got, cut := c.take(); len(got) != maxRequests || cut {
			t.Errorf("%d replies, cut %v", len(got), cut)
		}
	})
}

// TestBehind has a connection's node take nothing: the connection is given up, the link lives.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, "a", "b")
		a := n.nodes[0]
		a.open(1)
		c := n.nodes[1].client()
		_, err := c.send(1, "q")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		big := []byte(strings.Repeat("x", 100<<10))
		for range 50 {
			a.conns[0].deliver(big)
			synctest.Wait()
		}
		if got, cut := c.take(); len(got) != 51 || cut {
			t.Fatalf("%d messages, cut %v", len(got), cut)
		}
		n.set(func() { n.drop[KindTaken] = 1000 })
		for range 50 {
			a.conns[0].deliver(big)
			synctest.Wait()
		}
		if got, cut := c.take(); len(got) > 12 || !cut || !a.gone() {
			t.Errorf("%d messages, cut %v, gone %v", len(got), cut, a.gone())
		}
	})
}

// TestPolls has the polls of many clients wait at one node, more than a link answers calls.
func TestPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, "a", "b")
		a, b := n.nodes[0], n.nodes[1]
		a.open(1)
		b.find(t.Context(), 1, false)
		type outcome struct {
			events [][]byte
			found  bool
			err    error
		}
		outcomes := make(chan outcome, 2000)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		poll := func(ctx context.Context) {
			l, found, err := b.Poll(ctx, 1, 1)
			outcomes <- outcome{l, found, err}
		}
		for range 1000 {
			go poll(ctx)
		}
		synctest.Wait()
		if n.count[KindPolled] != 0 || len(outcomes) != 0 {
			t.Fatalf("%d are answered", len(outcomes))
		}
		a.events <- []byte("e")
		synctest.Wait()
		if o := <-outcomes; len(o.events) != 1 || !o.found || o.err != nil {
			t.Errorf("got %v", o)
		}
		cancel() // the clients are gone
		synctest.Wait()
		a.Sessions.mu.Lock()
		left := len(a.polls) + len(a.pollsOf)
		a.Sessions.mu.Unlock()
		if len(outcomes) != 999 || left != 0 {
			t.Errorf("%d polls ended, %d are left", len(outcomes), left)
		}
		for range 999 {
			<-outcomes
		}
		go poll(t.Context())
		synctest.Wait()
		n.down("a")
		if o := <-outcomes; !o.found || !errors.Is(o.err, ErrUnreachable) {
			t.Errorf("the link is down: %v", o)
		}
		// The answers of others are not taken for the owner's.
		b.Sessions.mu.Lock()
		b.waits[77] = &wait{"a", make(chan *pollMessage, 1)}
		b.Sessions.mu.Unlock()
		b.polled(t.Context(), "c", &pollMessage{ID: 77, Events: [][]byte{[]byte("forged")}})
		b.Sessions.mu.Lock()
		delete(b.waits, 77)
		b.Sessions.mu.Unlock()
	})
}

// TestSlowOwner has an owner that lives and does not answer: it is not taken for gone, and no client fills a link.
func TestSlowOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, "a", "b")
		a, b := n.nodes[0], n.nodes[1]
		a.open(1)
		time.Sleep(time.Second) // b has heard of it, and asks nobody
		hang := make(chan struct{})
		a.Serve(Local{Call: func(context.Context, uint64, string, string, []byte) ([]byte, bool) {
			<-hang
			return []byte("late"), true
		}})
		full := 0
		results := make(chan error, 20)
		for range 20 {
			go func() {
				start := time.Now()
				reply, found, err := b.Call(context.Background(), 1, "", "", nil)
				if reply != nil || !found {
					err = fmt.Errorf("%q %v %w", reply, found, err)
				}
				if time.Since(start) == 0 {
					n.set(func() { full++ })
				}
				results <- err
			}()
		}
		for range 20 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if full != 20-maxSessionCalls {
			t.Errorf("%d refused at once", full)
		}
		close(hang)
		synctest.Wait()
		b.Sessions.mu.Lock()
		defer b.Sessions.mu.Unlock()
		if len(b.calls)+len(b.sessionCalls) != 0 {
			t.Errorf("counted: %v %v", b.calls, b.sessionCalls)
		}
	})
}

// TestGap loses notices: the connection is cut, since what it missed is not known.
func TestGap(t *testing.T) {
	for _, k := range []link.Kind{KindRequest, KindMessage} {
		synctest.Test(t, func(t *testing.T) {
			n := build(t, "a", "b")
			n.nodes[0].open(1)
			c := n.nodes[1].client()
			for i := range 3 {
				if i == 1 {
					n.set(func() { n.drop[k] = 1 })
				}
				if _, err := c.send(1, "q"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if _, cut := c.take(); !cut {
				t.Errorf("kind %d: not cut", k)
			}
			c.x.Hang(c.conn)
			synctest.Wait()
			if x := n.nodes[0]; !x.gone() || x.outletCount() != 0 {
				t.Errorf("kind %d: left %d", k, x.outletCount())
			}
		})
	}
}

// TestLinkDown cuts the connections that the link carried, at both ends, and no others.
func TestLinkDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, abcd...)
		n.nodes[0].open(1)
		n.nodes[1].open(2)
		one, two := n.nodes[2].client(), n.nodes[2].client()
		_, _ = one.send(1, "q")
		_, _ = two.send(2, "q")
		synctest.Wait()
		n.down("a")
		n.nodes[0].LinkChanged("c", false)
		synctest.Wait()
		_, cutOne := one.take()
		_, cutTwo := two.take()
		if !cutOne || cutTwo || !n.nodes[0].gone() || n.nodes[1].gone() {
			t.Errorf("cut: %v %v, gone: %v %v", cutOne, cutTwo, n.nodes[0].gone(), n.nodes[1].gone())
		}
		found, err := two.send(1, "q")
		if !found || !errors.Is(err, ErrUnreachable) {
			t.Errorf("a session of a node that is away: %v %v", found, err)
		}
		if _, found, err := n.nodes[3].Call(t.Context(), 1, "", "", nil); !found || !errors.Is(err, ErrUnreachable) {
			t.Errorf("a session of a node that is away: %v %v", found, err)
		}
	})
}

// TestChosen wants chosen ids to be unique in the mesh.
func TestChosen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, abcd...)
		n.delay = 100 * time.Millisecond
		if !n.nodes[0].Own(t.Context(), 5, true) {
			t.Fatal("a free id is taken")
		}
		if n.nodes[1].Own(t.Context(), 5, true) {
			t.Error("two own it")
		}
		n.nodes[0].Disown(5)
		time.Sleep(time.Second)
		synctest.Wait()
		if !n.nodes[1].Own(t.Context(), 5, true) {
			t.Error("it is taken for good")
		}
	})
}

// TestTake has an owner that was thought dead come back: it is told that the session is another's.
func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, abcd...)
		a, b, c := n.nodes[0], n.nodes[1], n.nodes[2]
		var session uint64 = 1
		for ; len(nodes(abcd).keepers(session)) != 2 || nodes(abcd).keepers(session)[0] == "a" || nodes(abcd).keepers(session)[1] == "a"; session++ {
		}
		a.open(session)
		a.Placed(session, []link.NodeID{"d"})
		time.Sleep(time.Second)
		synctest.Wait()
		n.down("a")
		epoch := b.Take(t.Context(), session)
		if epoch>>ownerBits != 2 {
			t.Fatalf("epoch %x", epoch)
		}
		b.mu.Lock()
		b.sessions[session] = true
		b.mu.Unlock()
		if at := b.Places(t.Context(), session); !cmp.Equal(at, []link.NodeID{"d"}) {
			t.Errorf("its media is at %v", at)
		}
		if reply, _, err := c.Call(t.Context(), session, "", "", []byte("q")); err != nil || reply == nil {
			t.Errorf("call: %v", err)
		}
		if a.has(session) && len(a.lost) != 0 {
			t.Error("told while it was away")
		}
		n.set(func() { n.cut["a"] = false })
		time.Sleep(2 * announceTime)
		synctest.Wait()
		if !cmp.Equal(a.lost, []uint64{session}) || len(b.lost) != 0 {
			t.Errorf("lost: %v %v", a.lost, b.lost)
		}
		if reply, _, err := a.Call(t.Context(), session, "", "", []byte("q")); err != nil || reply == nil {
			t.Errorf("call from the old owner: %v", err)
		}
	})
}

// TestTakeOnce has two nodes take a session at once.
func TestTakeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, abcd...)
		n.delay = 50 * time.Millisecond
		n.nodes[0].open(9)
		time.Sleep(time.Second)
		synctest.Wait()
		epochs := make(chan uint64)
		for _, x := range n.nodes[1:] {
			go func() { epochs <- x.Take(context.Background(), 9) }()
		}
		won := 0
		for range 3 {
			if <-epochs != 0 {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d took it", won)
		}
		if n.nodes[1].Take(t.Context(), 10) != 0 {
			t.Error("took a session that is none")
		}
	})
}

// TestNodesChange wants records to move with the set of nodes, and connections to nodes that left to be cut.
func TestNodesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, abcd...)
		a := n.nodes[0]
		for s := uint64(1); s <= 200; s++ {
			a.open(s)
		}
		c := n.nodes[3].client()
		_, _ = c.send(1, "q")
		time.Sleep(time.Second)
		synctest.Wait()
		n.down("b")
		left := []link.NodeID{"a", "c", "d"}
		for _, x := range n.nodes {
			x.SetNodes(left)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for s := uint64(1); s <= 200; s++ {
			for _, id := range nodes(left).keepers(s) {
				for _, x := range n.nodes {
					if x.id == id && x.kept(s).Owner != "a" {
						t.Errorf("%s does not keep %d", id, s)
					}
				}
			}
		}
		n.down("a")
		for _, x := range n.nodes[2:] {
			x.SetNodes([]link.NodeID{"c", "d"})
		}
		synctest.Wait()
		if _, cut := c.take(); !cut {
			t.Error("a connection to a node that left lives on")
		}
		time.Sleep(orphanTime + 2*announceTime)
		synctest.Wait()
		for _, x := range n.nodes[2:] {
			if x.records() != 0 {
				t.Errorf("%s keeps %d records of a node that is gone", x.id, x.records())
			}
		}
	})
}

// TestKeeperAway has a keeper that does not answer: the other one knows.
func TestKeeperAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, abcd...)
		var session uint64 = 1
		for ; nodes(abcd).keepers(session)[0] != "d" || nodes(abcd).keepers(session)[1] == "a"; session++ {
		}
		n.down("d")
		n.nodes[0].open(session)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if reply, found, err := n.nodes[1].Call(t.Context(), session, "", "", nil); !found || err != nil || reply == nil {
			t.Errorf("not found: %v %v", found, err)
		}
		if n.nodes[1].Take(t.Context(), session) == 0 {
			t.Error("not taken")
		}
	})
}

// TestStaleKeeper has a keeper that missed who took a session last.
func TestStaleKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, abcd...)
		var session uint64 = 1
		for !cmp.Equal(nodes(abcd).keepers(session), []link.NodeID{"b", "c"}) {
			session++
		}
		n.nodes[0].open(session)
		n.nodes[0].Placed(session, []link.NodeID{"before"})
		synctest.Wait()
		n.down("b")
		if n.nodes[3].Take(t.Context(), session) == 0 {
			t.Fatal("not taken while its first keeper is away")
		}
		n.nodes[3].Placed(session, []link.NodeID{"after"})
		synctest.Wait()
		n.set(func() { n.cut["b"], n.cut["d"] = false, true })
		epoch := n.nodes[2].Take(t.Context(), session)
		if epoch>>ownerBits != 3 {
			t.Errorf("epoch %x", epoch)
		}
		if at := n.nodes[2].Places(t.Context(), session); !cmp.Equal(at, []link.NodeID{"after"}) {
			t.Errorf("its media is at %v", at)
		}
	})
}

func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, "a")
		n.nodes[0].open(1)
		start := time.Now()
		if _, found, err := n.nodes[0].Call(t.Context(), 2, "", "", nil); found || err != nil || time.Since(start) != 0 {
			t.Errorf("%v %v after %v", found, err, time.Since(start))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

// TestStranger sends notices of connections that nobody knows, and rubbish.
func TestStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t, "a", "b")
		for k, m := range map[link.Kind]any{
			KindRequest: requestNotice{Conn: 7, Serial: 2}, KindMessage: messageNotice{Conn: 7, Serial: 1}, KindTaken: takenNotice{7, 99},
			KindHang: connNotice{7}, KindCut: connNotice{7},
		} {
			_ = n.notify("b", "a", k, wire.Marshal(m))
			_ = n.notify("b", "a", k, []byte{0xff})
		}
		c := n.nodes[0].client()
		_ = n.notify("b", "a", KindCut, wire.Marshal(connNotice{c.conn}))
		_ = n.notify("b", "a", KindMessage, wire.Marshal(messageNotice{Conn: c.conn, Serial: 1, Body: []byte("forged")}))
		time.Sleep(time.Second)
		synctest.Wait()
		if got, cut := c.take(); len(got) != 0 || cut {
			t.Errorf("a stranger reached a connection: %v %v", got, cut)
		}
	})
}

func FuzzHandlers(f *testing.F) {
	for i, m := range []any{
		announceMessage{[]entry{{Session: 1, Epoch: 2, Places: []string{"x"}}}},
		findMessage{1},
		takeMessage{1, 2, 3},
		callMessage{1, "t", "a", nil},
		pollNotice{ID: 1, Session: 2},
		requestNotice{Conn: 1, Serial: 1},
		messageNotice{Conn: 1},
		takenNotice{1, 2},
		connNotice{1},
		connNotice{1},
		pollMessage{ID: 1, Events: [][]byte{{1}}},
		connNotice{1},
	} {
		f.Add(uint8(i), wire.Marshal(m))
	}
	calls := map[link.Kind]func(context.Context, link.NodeID, []byte) ([]byte, error){}
	notices := map[link.Kind]func(link.NodeID, []byte){}
	s := New(Config{
		Self: "a", Notify: func(link.NodeID, link.Kind, []byte) error { return nil },
		Handle:       func(k link.Kind, h func(context.Context, link.NodeID, []byte) ([]byte, error)) { calls[k] = h },
		HandleNotice: func(k link.Kind, h func(link.NodeID, []byte)) { notices[k] = h },
	})
	x := &node{sessions: map[uint64]bool{}}
	s.Serve(x.local())
	s.stop() // nothing is served in the background
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		k := KindAnnounce + link.Kind(kind%12)
		if h := calls[k]; h != nil {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, _ = h(ctx, "b", b)
			return
		}
		notices[k]("b", b)
	})
}
