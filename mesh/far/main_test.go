package far

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/signaling/janus/janustest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type handler = func(ctx context.Context, from link.NodeID, request []byte) ([]byte, error)

// network joins nodes in one process by links that may be slow or cut.
type network struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	handlers map[link.NodeID]map[link.Kind]handler
	delay    time.Duration // of each direction
	cut      map[link.NodeID]bool
	drop     map[link.Kind]int // replies still to be lost
	calls    map[link.Kind]int
}

var errCut = errors.New("no link")

// build makes a network whose nodes run until the test is over.
func build(t *testing.T) *network {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return &network{
		t: t, ctx: ctx, handlers: map[link.NodeID]map[link.Kind]handler{}, cut: map[link.NodeID]bool{},
		drop: map[link.Kind]int{}, calls: map[link.Kind]int{},
	}
}

// run runs something until the test is over or stop is called, and waits for it.
func (n *network) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(n.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	n.t.Cleanup(stop)
	return stop
}

// media adds a node with a media plane.
func (n *network) media(id link.NodeID) (*janustest.Plane, *Server) {
	p := &janustest.Plane{}
	return p, n.serve(id, p)
}

func (n *network) serve(id link.NodeID, p plane.Plane) *Server {
	own := map[link.Kind]handler{}
	s := Serve(ServerConfig{
		Plane: p, Handle: func(k link.Kind, h func(context.Context, link.NodeID, []byte) ([]byte, error)) { own[k] = h },
		Log: slog.New(slog.DiscardHandler),
	})
	n.mu.Lock()
	n.handlers[id] = own
	n.mu.Unlock()
	n.run(s.Run)
	return s
}

// call returns what a node calls others with.
func (n *network) call(self link.NodeID) func(context.Context, link.NodeID, link.Kind, []byte) ([]byte, error) {
	return func(ctx context.Context, to link.NodeID, k link.Kind, q []byte) ([]byte, error) {
		n.mu.Lock()
		h, delay, cut := n.handlers[to][k], n.delay, n.cut[to] || n.cut[self]
		n.calls[k]++
		lose := n.drop[k] > 0
		if lose {
			n.drop[k]--
		}
		n.mu.Unlock()
		if h == nil || cut {
			return nil, errCut
		}
		type answer struct {
			b   []byte
			err error
		}
		answers := make(chan answer, 1)
		go func() {
			pause(ctx, delay)
			b, err := h(ctx, self, q)
			pause(ctx, delay)
			answers <- answer{b, err}
		}()
		for {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case a := <-answers:
				n.mu.Lock()
				cut = n.cut[to] || n.cut[self]
				n.mu.Unlock()
				if lose || cut {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return a.b, a.err
			}
		}
	}
}

func (n *network) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// signaling adds a node's planes. choose may be nil when the node has media of its own.
func (n *network) signaling(id link.NodeID, local plane.Plane, choose func(w Wish) link.NodeID) (*Planes, func()) {
	cfg := Config{Self: id, Local: local, Call: n.call(id), Log: slog.New(slog.DiscardHandler)}
	if choose != nil {
		cfg.Choose = func(_ context.Context, w Wish) link.NodeID { return choose(w) }
	}
	p := New(cfg)
	return p, n.run(p.Run)
}

// to chooses always the same node.
func to(id link.NodeID) func(Wish) link.NodeID { return func(Wish) link.NodeID { return id } }

// reader takes events as signaling does.
type reader struct {
	p     plane.Plane
	after uint64
}

// next returns the next event, waiting for a minute at most; the error is the plane's.
func (r *reader) next(t *testing.T) (plane.Event, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := r.p.Events(ctx, r.after)
	if len(l) == 0 {
		return plane.Event{}, err
	}
	r.after = l[0].Number
	return l[0], err
}

// none fails the test when there is an event.
func (r *reader) none(t *testing.T) {
	t.Helper()
	if e, err := r.next(t); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an event came: %+v %v", e, err)
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}
