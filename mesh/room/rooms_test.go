package room

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
)

// net joins Rooms in one process: 20 ms one way, links that are always there.
type net struct {
	t     *testing.T
	mu    sync.Mutex
	nodes map[link.NodeID]*Rooms
	disks map[link.NodeID]map[string][]byte
	stops map[link.NodeID]func()
	dead  map[link.NodeID]bool
	lines map[[2]link.NodeID]chan parcel
	wg    sync.WaitGroup
	full  error // of all disks
}

// parcel is on its way.
type parcel struct {
	at     time.Time
	arrive func()
}

const oneWay = 20 * time.Millisecond

func newNet(t *testing.T, n int) (*net, []link.NodeID) {
	w := &net{
		t: t, nodes: map[link.NodeID]*Rooms{}, disks: map[link.NodeID]map[string][]byte{}, stops: map[link.NodeID]func(){},
		dead: map[link.NodeID]bool{}, lines: map[[2]link.NodeID]chan parcel{},
	}
	ids := simIDs(n)
	for _, id := range ids {
		w.disks[id] = map[string][]byte{}
		w.start(id)
	}
	w.members()
	time.Sleep(3 * time.Second)
	return w, ids
}

func (w *net) start(id link.NodeID) {
	w.mu.Lock()
	delete(w.dead, id)
	w.mu.Unlock()
	r := New(Config{
		Self: id,
		Call: func(ctx context.Context, to link.NodeID, kind link.Kind, request []byte) ([]byte, error) {
			time.Sleep(oneWay)
			w.mu.Lock()
			n := w.nodes[to]
			if w.dead[to] || w.dead[id] {
				n = nil
			}
			w.mu.Unlock()
			if n == nil {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			reply, err := n.HandleCall(ctx, id, kind, request)
			time.Sleep(oneWay)
			return reply, err
		},
		Notify: func(to link.NodeID, kind link.Kind, payload []byte) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.dead[to] || w.dead[id] {
				return errors.New("no link")
			}
			w.line(id, to) <- parcel{time.Now().Add(oneWay), func() {
				w.mu.Lock()
				n := w.nodes[to]
				if w.dead[to] {
					n = nil
				}
				w.mu.Unlock()
				if n != nil {
					n.HandleNotice(id, kind, payload)
				}
			}}
			return nil
		},
		Store: Store{
			Save: func(changes []Change) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				if w.full != nil {
					return w.full
				}
				for _, c := range changes {
					if c.Record == nil {
						delete(w.disks[id], c.ID)
					} else {
						w.disks[id][c.ID] = c.Record
					}
				}
				return nil
			},
			Load: func(f func(id string, record []byte) error) error {
				for _, room := range sorted(w.disks[id]) {
					if err := f(room, w.disks[id][room]); err != nil {
						return err
					}
				}
				return nil
			},
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	w.mu.Lock()
	w.nodes[id] = r
	w.stops[id] = func() {
		w.mu.Lock()
		w.dead[id] = true
		w.mu.Unlock()
		cancel()
		<-done
	}
	w.mu.Unlock()
}

// line is the ordered way from a node to another; mu is held.
func (w *net) line(from, to link.NodeID) chan parcel {
	k := [2]link.NodeID{from, to}
	c := w.lines[k]
	if c == nil {
		c = make(chan parcel, 10000)
		w.lines[k] = c
		w.wg.Go(func() {
			for p := range c {
				time.Sleep(time.Until(p.at))
				p.arrive()
			}
		})
	}
	return c
}

// members tells all who lives.
func (w *net) members() {
	var live []link.NodeID
	for _, id := range sorted(w.nodes) {
		if !w.dead[id] {
			live = append(live, id)
		}
	}
	for _, id := range live {
		w.nodes[id].SetNodes(live)
	}
}

func (w *net) close() {
	for _, id := range sorted(w.stops) {
		w.stops[id]()
	}
	w.mu.Lock()
	for _, c := range w.lines {
		close(c)
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// diary is a watcher that writes down what it is told.
type diary struct {
	mu    sync.Mutex
	lines []string
	wait  chan struct{} // if not nil, each call waits for it
}

func (d *diary) add(format string, args ...any) {
	if d.wait != nil {
		<-d.wait
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// take returns what was told since the last time.
func (d *diary) take() string {
	time.Sleep(500 * time.Millisecond)
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return strings.Join(lines, ", ")
}

func (d *diary) watcher() Watcher {
	return Watcher{
		Edited:    func(record []byte) { d.add("edited %s", record) },
		Destroyed: func() { d.add("destroyed") },
		Present:   func(participant string, entry []byte) { d.add("%s is %s", participant, entry) },
		Gone:      func(participant, why string) { d.add("%s gone %s", participant, why) },
		Lost:      func(participant string) { d.add("lost %s", participant) },
		Asked: func(_ context.Context, participant string, request []byte) ([]byte, error) {
			d.add("%s asked %s", participant, request)
			if string(request) == "no" {
				return nil, errors.New("not me")
			}
			return append([]byte("yes "), request...), nil
		},
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

func TestRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ids := newNet(t, 5)
		defer w.close()
		ctx := t.Context()
		begun := time.Now()
		ok(t, w.nodes[ids[0]].Create(ctx, "v/1", []byte("one"), false))
		if took := time.Since(begun); took > 4*oneWay+time.Millisecond {
			t.Errorf("Create took %v", took)
		}
		if err := w.nodes[ids[1]].Create(ctx, "v/1", []byte("two"), false); !errors.Is(err, ErrExists) {
			t.Errorf("made again: %v", err)
		}
		if _, err := w.nodes[ids[2]].Open(ctx, "v/2", Watcher{}); !errors.Is(err, ErrNoRoom) {
			t.Errorf("opened what is not there: %v", err)
		}
		var a, b, c diary
		ra := must[*Room](t)(w.nodes[ids[0]].Open(ctx, "v/1", a.watcher()))
		ok(t, ra.Claim(ctx, "anna"))
		ra.Put("anna", []byte("A"))
		rb := must[*Room](t)(w.nodes[ids[1]].Open(ctx, "v/1", b.watcher()))
		if got := b.take(); got != "anna is A" {
			t.Errorf("b was told %q", got)
		}
		if err := rb.Claim(ctx, "anna"); !errors.Is(err, ErrTaken) {
			t.Errorf("claimed what is taken: %v", err)
		}
		ok(t, rb.Claim(ctx, "bert"))
		begun = time.Now()
		rc := must[*Room](t)(w.nodes[ids[1]].Open(ctx, "v/1", c.watcher()))
		if time.Since(begun) > 0 {
			t.Errorf("a room that is followed took %v to open", time.Since(begun))
		}
		if err := rc.Claim(ctx, "bert"); !errors.Is(err, ErrTaken) {
			t.Errorf("claimed what is claimed: %v", err)
		}
		rb.Put("bert", []byte("B"))
		if got := a.take() + "; " + b.take() + "; " + c.take(); got != "bert is B; ; anna is A, bert is B" {
			t.Errorf("told %q", got)
		}
		if home, found := w.nodes[ids[0]].Home("v/1", "bert"); !found || home != ids[1] {
			t.Errorf("bert is at %s", home)
		}

		if got := must[[]byte](t)(ra.Ask(ctx, "bert", []byte("hi"))); string(got) != "yes hi" || b.take() != "bert asked hi" || c.take() != "" {
			t.Errorf("bert says %q", got)
		}
		if got := must[[]byte](t)(rc.Ask(ctx, "bert", []byte("here"))); string(got) != "yes here" || b.take() != "bert asked here" {
			t.Errorf("bert says %q", got)
		}
		if _, err := ra.Ask(ctx, "bert", []byte("no")); !errors.Is(err, ErrAsked) || !strings.HasSuffix(err.Error(), "not me") {
			t.Errorf("bert says %v", err)
		}
		if _, err := ra.Ask(ctx, "carl", nil); !errors.Is(err, ErrNoParticipant) {
			t.Errorf("carl says %v", err)
		}
		b.take()

		ok(t, ra.Edit(ctx, []byte("edited"), false))
		if got := a.take() + "; " + b.take() + "; " + c.take(); got != "; edited edited; edited edited" || string(rb.Record()) != "edited" {
			t.Errorf("told %q", got)
		}
		list := must[[]Listing](t)(w.nodes[ids[4]].List(ctx, "v/"))
		if len(list) != 1 || list[0].ID != "v/1" || string(list[0].Record) != "edited" || list[0].Participants != 2 {
			t.Errorf("listed %+v", list)
		}
		if list := must[[]Listing](t)(w.nodes[ids[4]].List(ctx, "x/")); len(list) != 0 {
			t.Errorf("listed %+v", list)
		}

		ra.Remove("anna", "kicked")
		rb.Close()
		if got := a.take() + "; " + b.take() + "; " + c.take(); got != "bert gone ; ; bert gone , anna gone kicked" {
			t.Errorf("told %q", got)
		}
		ok(t, rc.Destroy(ctx, false))
		if got := a.take() + "; " + c.take(); got != "destroyed; " {
			t.Errorf("told %q", got)
		}
		ra.Put("late", nil)
		ra.Remove("late", "")
		ra.Close()
		if err := ra.Edit(ctx, nil, false); !errors.Is(err, ErrNoRoom) {
			t.Errorf("edited the destroyed: %v", err)
		}
		if _, err := w.nodes[ids[3]].Open(ctx, "v/1", Watcher{}); !errors.Is(err, ErrNoRoom) {
			t.Errorf("opened the destroyed: %v", err)
		}
		ok(t, w.nodes[ids[3]].Create(ctx, "v/1", []byte("again"), false))
		must[*Room](t)(w.nodes[ids[0]].Open(ctx, "v/1", Watcher{}))
	})
}

// TestTooLong refuses before anything is sent.
func TestTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ids := newNet(t, 1)
		defer w.close()
		r, ctx, long := w.nodes[ids[0]], t.Context(), string(make([]byte, MaxID+1))
		ok(t, r.Create(ctx, "a", nil, false))
		var d diary
		m := must[*Room](t)(r.Open(ctx, "a", d.watcher()))
		_, err := r.Open(ctx, long, Watcher{})
		for i, err := range []error{
			r.Create(ctx, long, nil, false), r.Create(ctx, "", nil, false), r.Create(ctx, "b", make([]byte, MaxRecord+1), false), err,
			m.Edit(ctx, make([]byte, MaxRecord+1), false), m.Claim(ctx, long), m.Claim(ctx, ""),
		} {
			if !errors.Is(err, ErrTooLong) {
				t.Errorf("%d: %v", i, err)
			}
		}
		m.Put("p", make([]byte, MaxEntry+1))
		if got := d.take(); got != "lost p" {
			t.Errorf("told %q", got)
		}
	})
}

// TestPermanent restarts all nodes at once.
func TestPermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ids := newNet(t, 6)
		defer w.close()
		ctx := t.Context()
		ok(t, w.nodes[ids[0]].Create(ctx, "p", []byte("kept"), true))
		ok(t, w.nodes[ids[0]].Create(ctx, "q", []byte("destroyed"), true))
		ok(t, w.nodes[ids[0]].Create(ctx, "m", []byte("memory"), false))
		copies := 0
		for _, id := range ids {
			if w.disks[id]["p"] != nil {
				copies++
			}
		}
		if copies < 2 || w.disks[ids[0]]["p"] == nil {
			t.Errorf("%d nodes have it on disk", copies)
		}
		for _, r := range []string{"p", "q"} {
			m := must[*Room](t)(w.nodes[ids[5]].Open(ctx, r, Watcher{}))
			if r == "q" {
				ok(t, m.Destroy(ctx, true))
			} else {
				ok(t, m.Edit(ctx, []byte("edited"), true))
			}
		}
		for _, id := range ids {
			w.nodes[id].Configure("c", []byte("configured"))
		}
		m := must[*Room](t)(w.nodes[ids[2]].Open(ctx, "c", Watcher{}))
		ok(t, m.Edit(ctx, []byte("of the file, edited"), true))
		time.Sleep(5 * time.Second)
		for _, id := range ids {
			w.stops[id]()
		}
		for _, id := range ids {
			w.start(id)
			w.nodes[id].Configure("c", []byte("configured"))
		}
		w.members()
		time.Sleep(3 * time.Second)
		for _, id := range ids {
			list := must[[]Listing](t)(w.nodes[id].List(ctx, ""))
			if got := fmt.Sprintf("%+v", list); len(list) != 2 || string(list[0].Record) != "of the file, edited" || string(list[1].Record) != "edited" {
				t.Errorf("%s: %s", id, got)
			}
		}

		// A disk that fails is told, not hidden.
		w.mu.Lock()
		w.full = errors.New("disk full")
		w.mu.Unlock()
		if err := w.nodes[ids[0]].Create(ctx, "r", nil, true); err == nil {
			t.Error("kept on a full disk")
		}
		w.mu.Lock()
		w.full = nil
		w.mu.Unlock()
		time.Sleep(2 * diskRetry)
	})
}

// TestSlowWatcher has one that does not come back stop nobody, and cost no more than there are participants.
func TestSlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ids := newNet(t, 3)
		defer w.close()
		ctx := t.Context()
		ok(t, w.nodes[ids[0]].Create(ctx, "a", nil, false))
		slow, quick := diary{wait: make(chan struct{})}, diary{}
		ra := must[*Room](t)(w.nodes[ids[0]].Open(ctx, "a", Watcher{}))
		ra.Put("p", []byte("0"))
		time.Sleep(time.Second)
		begun := time.Now()
		rs := must[*Room](t)(w.nodes[ids[1]].Open(ctx, "a", slow.watcher()))
		if took := time.Since(begun); took > 2*answerWithin {
			t.Errorf("Open took %v", took)
		}
		must[*Room](t)(w.nodes[ids[1]].Open(ctx, "a", quick.watcher()))
		for i := range 10000 {
			ra.Put("p", []byte(fmt.Sprint(i)))
			if i%100 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		if got := quick.take(); !strings.HasSuffix(got, "p is 9999") {
			t.Errorf("the quick one was told %q", got)
		}
		rs.rooms.mu.Lock()
		if n := len(rs.view.queue); n > 2 {
			t.Errorf("%d wait for the slow one", n)
		}
		rs.rooms.mu.Unlock()
		// The others' requests to it are bounded, too.
		rs.Put("s", nil)
		time.Sleep(time.Second)
		rs.rooms.mu.Lock()
		rs.rooms.core.limits.queued = 3
		rs.rooms.mu.Unlock()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		var asks sync.WaitGroup
		var mu sync.Mutex
		var errs []string
		for range 10 {
			asks.Go(func() {
				_, err := ra.Ask(short, "s", nil)
				mu.Lock()
				errs = append(errs, fmt.Sprint(errors.Is(err, context.DeadlineExceeded)))
				mu.Unlock()
			})
		}
		asks.Wait()
		slices.Sort(errs)
		if errs[0] != "false" || errs[9] != "true" {
			t.Errorf("asked: %v", errs)
		}
		close(slow.wait)
		if got := slow.take(); got != "p is 0, p is 9999, s asked " && got != "p is 0, p is 9999" {
			t.Errorf("the slow one was told %q", got)
		}
	})
}

// TestUnreachable answers in a second when nobody else does.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ids := newNet(t, 9)
		defer w.close()
		ctx := t.Context()
		for _, id := range ids[1:] {
			w.stops[id]() // and nobody knows it yet
		}
		mine, others := "", ""
		for i := 0; mine == "" || others == ""; i++ {
			id := fmt.Sprint("a/", i)
			o := w.nodes[ids[0]].core.ranking.first(rendezvous.Hash(id), replicas)
			switch o.index(ids[0]) {
			case 0:
				mine = id
			case -1:
				others = id
			}
		}
		begun := time.Now()
		if err := w.nodes[ids[0]].Create(ctx, others, nil, false); !errors.Is(err, ErrUnreachable) {
			t.Errorf("made by nobody: %v", err)
		}
		if _, err := w.nodes[ids[0]].Open(ctx, others, Watcher{}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("opened by nobody: %v", err)
		}
		if took := time.Since(begun); took > 2*answerWithin {
			t.Errorf("took %v", took)
		}
		begun = time.Now()
		if err := w.nodes[ids[0]].Create(ctx, mine, nil, false); err != nil && !errors.Is(err, ErrUnreachable) {
			t.Errorf("made here: %v", err)
		}
		if took := time.Since(begun); took > answerWithin {
			t.Errorf("took %v", took)
		}
		if list, err := w.nodes[ids[0]].List(ctx, ""); !errors.Is(err, ErrPartial) || len(list) > 1 {
			t.Errorf("listed %v, %v", list, err)
		}
		w.members() // and now they know
		m := must[*Room](t)(w.nodes[ids[0]].Open(ctx, mine, Watcher{}))
		ok(t, m.Claim(ctx, "p"))
		m.Put("p", nil)
	})
}
