package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"cardea/relay/shield/queue"
)

func TestHello(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node(func(c *Config) { c.Version, c.Features = "2.0", []string{"two", "three"} })
	l := a.to(t, b)
	if l.Peer() != b.id || l.Version() != "2.0" || l.Has("one") || !l.Has("three") {
		t.Errorf("%s, version %s", l.Peer(), l.Version())
	}
	back := b.to(t, a)
	if back.Peer() != a.id || back.Version() != "1.0" || !back.Has("one") || back.generation != l.generation {
		t.Errorf("%s, version %s", back.Peer(), back.Version())
	}
	if a.to(t, b) != l || len(a.Links()) != 1 {
		t.Error("a second link")
	}
	eventually(t, "no keepalive", func() bool { r := l.Row(); return r.RTT > 0 && r.Heard < StallTime && !l.Stalled() })
	l.Close()
	eventually(t, "the other side's link stays", func() bool { return back.closed() && len(b.Links()) == 0 && len(a.Links()) == 0 })
	if err := back.Err(); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "other side") {
		t.Errorf("it ended: %v", err)
	}
	if a.to(t, b) == l {
		t.Error("a closed link is given out")
	}
	eventually(t, "watchers miss something", func() bool {
		return a.ups.Load() == 2 && b.ups.Load() == 2 && a.downs.Load() == 1 && b.downs.Load() == 1
	})
}

func TestIPv6(t *testing.T) {
	c := newCluster(t)
	a, b := c.nodeAt("[::1]:0"), c.nodeAt("[::1]:0")
	if _, err := a.Call(context.Background(), b.id, kindEcho, nil); err != nil {
		t.Error(err)
	}
}

func TestCalls(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	ctx := context.Background()
	random := make([]byte, MaxCall)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	for _, request := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("text "), 20000), random} {
		reply, err := a.Call(ctx, b.id, kindEcho, request)
		if err != nil || !bytes.Equal(reply, request) {
			t.Errorf("call of %d bytes: %d bytes, %v", len(request), len(reply), err)
		}
	}
	if _, err := a.Call(ctx, b.id, kindEcho, make([]byte, MaxCall+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long a request: %v", err)
	}
	for k, want := range map[Kind]RemoteError{
		kindFail: {16, "as asked"}, kindPanic: {CodeFailed, errPanicked.Error()}, 4711: {CodeUnknown, "no calls of kind 4711"},
	} {
		_, err := a.Call(ctx, b.id, k, nil)
		var r *RemoteError
		if !errors.As(err, &r) || *r != want {
			t.Errorf("kind %d: %v", k, err)
		}
		if _, err := a.Call(ctx, a.id, k, nil); !errors.As(err, &r) || *r != want {
			t.Errorf("kind %d, of this node: %v", k, err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := a.Call(short, b.id, kindSlow, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call that takes too long: %v", err)
	}
	if s := <-b.notice; s != "cancelled" {
		t.Error(s)
	}
	ctx, stop := context.WithCancel(ctx)
	time.AfterFunc(20*time.Millisecond, stop)
	if _, err := a.Call(ctx, b.id, kindSlow, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that is given up: %v", err)
	}
	if s := <-b.notice; s != "cancelled" {
		t.Error(s)
	}
}

// More calls than are answered at a time wait for their turn.
func TestManyCalls(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	l := a.to(t, b)
	var wg sync.WaitGroup
	for i := range 2 * maxCalls {
		wg.Go(func() {
			want := []byte(fmt.Sprint(i))
			if reply, err := l.Call(context.Background(), kindEcho, want); err != nil || !bytes.Equal(reply, want) {
				t.Errorf("call %d: %q, %v", i, reply, err)
			}
		})
	}
	wg.Wait()
}

func TestNotices(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	a.link.share.Store(20000)
	b.link.share.Store(20000)
	l := a.to(t, b)
	long := strings.Repeat("long ", 10000)
	for i := range 1000 {
		text := fmt.Sprint(i)
		if i%100 == 7 {
			text = long
		}
		if err := l.Notify(kindText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if i == 500 {
			_ = l.Notify(4711, nil) // of a kind that is not known
		}
	}
	for i := range 1000 {
		want := fmt.Sprint(i)
		if i%100 == 7 {
			want = long
		}
		if got := <-b.notice; got != want {
			t.Fatalf("notice %d is %.20q", i, got)
		}
	}
	if err := l.Notify(kindText, make([]byte, MaxNotice+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	random := make([]byte, MaxNotice)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(random)
	if err := l.Notify(kindText, random); err != nil {
		t.Error(err)
	}
	if got := <-b.notice; got != string(random) {
		t.Error("the longest notice is another")
	}
}

// A side that takes no notices loses the link, and nobody waits for it.
func TestBacklog(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	block := make(chan struct{})
	defer close(block)
	b.notices[kindText] = func(*Link, []byte) { <-block }
	l := a.to(t, b)
	random := make([]byte, MaxNotice)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(random)
	var err error
	for n := 0; err == nil; n++ {
		if n > 100 {
			t.Fatal("the backlog has no bound")
		}
		err = l.Notify(kindText, random)
	}
	if !errors.Is(err, ErrClosed) || !l.closed() {
		t.Error(err)
	}
}

func TestRawDatagrams(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	l := a.to(t, b)
	for class := queue.Feedback; class <= queue.Padding; class++ {
		if err := l.SendDatagram(class, []byte("hello")); err != nil {
			t.Error(err)
		}
		if got := <-b.raw; got != "hello" {
			t.Errorf("%q arrives", got)
		}
	}
	big := strings.Repeat("x", MaxDatagram)
	if err := l.SendDatagram(queue.Data, []byte(big)); err != nil {
		t.Error(err)
	}
	if got := <-b.raw; got != big {
		t.Errorf("%d bytes arrive", len(got))
	}
	if err := l.SendDatagram(queue.Data, make([]byte, MaxDatagram+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	l.Close()
	if err := l.SendDatagram(queue.Data, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("on a closed link: %v", err)
	}
}

// Both dial at once, again and again: there is one link, and both have the same.
func TestRace(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	for _, n := range []*node{a, b} {
		n.link.delay.Store(int64(10 * time.Millisecond))
	}
	for round := range 10 {
		var wg sync.WaitGroup
		var links [6]*Link
		for i := range links {
			wg.Go(func() {
				time.Sleep(time.Duration(rand.IntN(round+1)*5) * time.Millisecond)
				if i%2 == 0 {
					links[i] = a.to(t, b)
				} else {
					links[i] = b.to(t, a)
				}
			})
		}
		wg.Wait()
		eventually(t, "the two sides have different links", func() bool {
			la, lb := a.Links(), b.Links()
			return len(la) == 1 && len(lb) == 1 && la[0].generation == lb[0].generation
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		for _, dir := range [][2]*node{{a, b}, {b, a}} {
			if _, err := dir[0].Call(ctx, dir[1].id, kindEcho, nil); err != nil {
				t.Error(err)
			}
		}
		cancel()
		for i, l := range links {
			if l != links[i%2] {
				t.Errorf("round %d: caller %d has another link", round, i)
			}
		}
		a.to(t, b).Close()
		eventually(t, "no end", func() bool { return len(a.Links())+len(b.Links()) == 0 })
		time.Sleep(acceptRate * time.Second / 8)
	}
}

// A node that dies is noticed in two seconds, and comes back under a new instance.
func TestDeath(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	l := a.to(t, b)
	eventually(t, "no keepalives", func() bool { return l.Row().RTT > 0 })
	b.link.dead.Store(true)
	start := time.Now()
	eventually(t, "not stalled", l.Stalled)
	if d := time.Since(start); d > time.Second {
		t.Errorf("stalled after %v", d)
	}
	<-l.Done()
	if d := time.Since(start); d > 2200*time.Millisecond {
		t.Errorf("noticed after %v", d)
	}
	b.link.dead.Store(false)
	if _, err := a.Call(context.Background(), b.id, kindEcho, nil); err != nil {
		t.Error(err)
	}
}
