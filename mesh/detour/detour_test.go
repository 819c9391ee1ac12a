package detour

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is some nodes and the links between them.
type network struct {
	t     *testing.T
	nodes map[link.NodeID]*node
	links map[[2]link.NodeID]bool
	// spoil changes what a node passes on, both ways.
	spoil func(by link.NodeID, request []byte) []byte
	reply func(by link.NodeID, reply []byte) []byte
}

type node struct {
	*Detours
	id   link.NodeID
	key  ed25519.PrivateKey
	next map[link.NodeID]link.NodeID

	mu      sync.Mutex
	notices []string
	lost    []link.NodeID
}

func newNetwork(t *testing.T, ids ...link.NodeID) *network {
	n := &network{t: t, nodes: map[link.NodeID]*node{}, links: map[[2]link.NodeID]bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for _, id := range ids {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		x := &node{id: id, key: key, next: map[link.NodeID]link.NodeID{}}
		x.Detours = New(Config{
			Self: id,
			Sign: func(content []byte) (public, signature []byte) {
				return key.Public().(ed25519.PublicKey), ed25519.Sign(key, content)
			},
			Verify: func(member link.NodeID, public, content, signature []byte) bool {
				m := n.nodes[member]
				return m != nil && m.key.Public().(ed25519.PublicKey).Equal(ed25519.PublicKey(public)) && ed25519.Verify(public, content, signature)
			},
			Next: func(to, avoid link.NodeID) (link.NodeID, bool) {
				next, ok := x.next[to]
				return next, ok && next != avoid
			},
			Call: func(ctx context.Context, to link.NodeID, k link.Kind, request []byte) ([]byte, error) {
				return n.call(ctx, id, to, k, request)
			},
			Request: func(_ context.Context, from link.NodeID, k link.Kind, request []byte) ([]byte, error) {
				switch string(request) {
				case "refuse":
					return nil, &link.RemoteError{Code: 77, Text: "as asked"}
				case "fail":
					return nil, errors.New("broken")
				}
				return fmt.Appendf(nil, "%s heard %q from %s, kind %d", id, request, from, k), nil
			},
			Notice: func(from link.NodeID, k link.Kind, payload []byte) {
				x.mu.Lock()
				defer x.mu.Unlock()
				x.notices = append(x.notices, fmt.Sprintf("%s %d %s", from, k, payload))
			},
			Failed: func(to link.NodeID) {
				x.mu.Lock()
				defer x.mu.Unlock()
				x.lost = append(x.lost, to)
			},
		})
		n.nodes[id] = x
		wait.Go(func() { _ = x.Run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		wait.Wait()
	})
	return n
}

func (n *network) call(ctx context.Context, from, to link.NodeID, k link.Kind, request []byte) ([]byte, error) {
	if k != Kind || !n.links[[2]link.NodeID{min(from, to), max(from, to)}] {
		return nil, errors.New("no link")
	}
	if n.spoil != nil {
		request = n.spoil(from, request)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(50 * time.Millisecond):
	}
	answer, err := n.nodes[to].HandleCall(ctx, from, request)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil: // as links tell it
		return nil, fmt.Errorf("call: %w", &link.RemoteError{Code: link.CodeFailed, Text: err.Error()})
	case n.reply != nil:
		answer = n.reply(to, answer)
	}
	return answer, nil
}

// line links nodes in a row, and each knows its way to the others.
func line(t *testing.T, ids ...link.NodeID) *network {
	n := newNetwork(t, ids...)
	for i, id := range ids {
		if i > 0 {
			n.links[[2]link.NodeID{min(ids[i-1], id), max(ids[i-1], id)}] = true
		}
		for j, other := range ids {
			switch {
			case j < i:
				n.nodes[id].next[other] = ids[i-1]
			case j > i:
				n.nodes[id].next[other] = ids[i+1]
			}
		}
	}
	return n
}

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := line(t, "a", "b", "c", "d")
		a := n.nodes["a"]
		for _, to := range []link.NodeID{"c", "d"} {
			answer, err := a.Call(t.Context(), to, 33, []byte("hello"))
			if want := string(to) + ` heard "hello" from a, kind 33`; string(answer) != want || err != nil {
				t.Errorf("%q, %v", answer, err)
			}
		}
		var remote *link.RemoteError
		if _, err := a.Call(t.Context(), "c", 33, []byte("refuse")); !errors.As(err, &remote) || remote.Code != 77 || remote.Text != "as asked" {
			t.Errorf("refused: %v", err)
		}
		if _, err := a.Call(t.Context(), "c", 33, []byte("fail")); !errors.As(err, &remote) || remote.Code != link.CodeFailed || remote.Text != "broken" {
			t.Errorf("failed: %v", err)
		}
		for _, to := range []link.NodeID{"nobody", "b"} { // a neighbour needs no detour
			if _, err := a.Call(t.Context(), to, 33, nil); !errors.Is(err, ErrNoWay) {
				t.Errorf("to %s: %v", to, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := a.Call(ctx, "d", 33, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("too late: %v", err)
		}
		if s := n.nodes["b"].Stats(); s.Carried != 4 || s.Arrived != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTooFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := line(t, "a", "b", "c", "d", "e", "f")
		if _, err := n.nodes["a"].Call(t.Context(), "e", 33, nil); err != nil {
			t.Errorf("%d links: %v", maxHops, err)
		}
		_, err := n.nodes["a"].Call(t.Context(), "f", 33, nil)
		if remote := (*link.RemoteError)(nil); err == nil || errors.As(err, &remote) { // that would be an answer of f's
			t.Errorf("%d links: %v", maxHops+1, err)
		}
		// b and c each believe that the other knows the way.
		n.nodes["c"].next["f"] = "b"
		if _, err := n.nodes["a"].Call(t.Context(), "f", 33, nil); err == nil {
			t.Error("there is no such way")
		}
		if s := n.nodes["c"].Stats(); s.Carried > 3 {
			t.Errorf("went round: %+v", s)
		}
	})
}

// TestNotices has notices arrive in order, however many there are, and says when they are lost.
func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := line(t, "a", "b", "c")
		a, c := n.nodes["a"], n.nodes["c"]
		synctest.Wait() // until they run
		var want []string
		for i := range 1000 {
			if err := a.Notify("c", 32, fmt.Append(nil, i)); err != nil {
				t.Fatalf("%d: %v", i, err)
			}
			want = append(want, fmt.Sprintf("a 32 %d", i))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Equal(c.notices, want) {
			t.Errorf("%d of %d, %.200v", len(c.notices), len(want), c.notices)
		}
		if s := a.Stats(); s.Sent > 20 {
			t.Errorf("each by itself: %+v", s)
		}
		clear(n.links)
		for range 5 {
			if err := a.Notify("c", 32, []byte("lost")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(a.lost) == 0 || a.lost[0] != "c" || len(c.notices) != len(want) {
			t.Errorf("%v lost, %d", a.lost, len(c.notices))
		}
		n.links[[2]link.NodeID{"a", "b"}] = true // from where it takes its time to fail
		full := 0
		for range 2*maxWaiting + 2 {
			if errors.Is(a.Notify("c", 32, []byte("more")), ErrFull) {
				full++
			}
		}
		if full == 0 {
			t.Error("no bound")
		}
		time.Sleep(10 * time.Second)
	})
}

// TestSpoilt has the node between lie.
func TestSpoilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := line(t, "a", "b", "c")
		a, b, c := n.nodes["a"], n.nodes["b"], n.nodes["c"]
		synctest.Wait()
		changes := map[string]func(p *parcel){
			"payload": func(p *parcel) { p.Payloads[0] = []byte("other") },
			"kind":    func(p *parcel) { p.Kind++ },
			"serial":  func(p *parcel) { p.Serial++ },
			"from":    func(p *parcel) { p.From = "b" },
			"notice":  func(p *parcel) { p.Notice = true },
			"resigned": func(p *parcel) {
				p.Key, p.Signature = b.cfg.Sign(p.content())
			},
		}
		for name, change := range changes {
			n.spoil = func(by link.NodeID, request []byte) []byte {
				if by != "b" {
					return request
				}
				p, err := readParcel(request)
				if err != nil {
					t.Fatal(err)
				}
				change(p)
				return wire.Marshal(p)
			}
			if answer, err := a.Call(t.Context(), "c", 33, []byte("hello")); err == nil {
				t.Errorf("%s: %q", name, answer)
			}
		}
		if s := c.Stats(); s.Arrived != 0 || s.Refused != uint64(len(changes)) || len(c.notices) != 0 {
			t.Errorf("%+v", s)
		}
		var kept []byte
		n.spoil = func(_ link.NodeID, request []byte) []byte { kept = request; return request }
		n.reply = func(by link.NodeID, answer []byte) []byte {
			if by == "c" {
				var r reply
				if err := wire.Unmarshal(answer, &r); err != nil {
					t.Fatal(err)
				}
				r.Payload = []byte("invented")
				return wire.Marshal(&r)
			}
			return answer
		}
		if answer, err := a.Call(t.Context(), "c", 33, []byte("hello")); !errors.Is(err, ErrForged) {
			t.Errorf("reply: %q, %v", answer, err)
		}
		n.reply, n.spoil = nil, nil
		if _, err := c.HandleCall(t.Context(), "b", kept); !errors.Is(err, ErrRepeated) {
			t.Errorf("again: %v", err)
		}
	})
}

func TestWindow(t *testing.T) {
	var w window
	for _, step := range []struct {
		serial uint64
		fresh  bool
	}{
		{1000, true},
		{1000, false},
		{1001, true},
		{999, true},
		{999, false},
		{1001 - windowSize + 1, true},
		{1001 - windowSize, false},
		{1065, true},
		{1001, false},
		{1000, false},
		{1002, true},
		{1065 + 130, true},
		{1065, false},
		{1064, true},
		{1001, false},
		{1 << 60, true},
		{1195, false},
		{1<<60 - 1, true},
		{1<<60 - 1, false},
	} {
		if got := w.take(step.serial); got != step.fresh {
			t.Errorf("%d: %v", step.serial, got)
		}
	}
}

func FuzzParcel(f *testing.F) {
	f.Add(wire.Marshal(&parcel{From: "a", To: "b", Kind: 32, Payloads: [][]byte{[]byte("x")}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readParcel(b)
		if err != nil {
			return
		}
		again, err := readParcel(wire.Marshal(p))
		if err != nil || string(again.content()) != string(p.content()) {
			t.Errorf("%+v, then %+v, %v", p, again, err)
		}
	})
}
