package churn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"cardea/e2e/internal/caller"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	usualTime = 15 * time.Second // unless CHURN says otherwise
	warmUp    = 10 * time.Second
	crowd     = 12               // clients at a time
	warmCrowd = 20               // clients at a time in the warm-up
	stepTime  = 20 * time.Second // for each step of a client; a busy machine takes its time
	// settleTime is how long the node may take to forget everybody: a session may be reclaimed for 10 s, and is looked at
	// every two.
	settleTime = 45 * time.Second
	heapShare  = 0.05 // by which the live heap may differ in the end
)

// TestChurn lets clients come and go and wants the node to be afterwards what it was before. "Before" is after a short churn
// of a larger crowd: what is made once, at the first client, stays, and so do Go's records of goroutines and its tables,
// as large as they had to be for the most that were there at a time.
func TestChurn(t *testing.T) {
	lasting := usualTime
	if text := os.Getenv("CHURN"); text != "" {
		var err error
		if lasting, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CHURN: %v", err)
		}
	}
	began := time.Now()
	node := start(t)
	idle := node.measure(t, began)

	first := newChurn()
	first.run(t.Context(), warmCrowd, warmUp)
	before := node.settled(t, began, nil)

	c := newChurn()
	busiest := make(chan figures, 1)
	halfway := time.AfterFunc(lasting/2, func() { busiest <- node.measure(t, began) })
	defer halfway.Stop()
	c.run(t.Context(), crowd, lasting)
	during := <-busiest
	after := node.settled(t, began, &before)

	t.Logf("\n%s", table(map[string]figures{
		"1 idle, before anybody came": idle, "2 after a warm-up": before, "3 during the churn": during, "4 after the churn": after,
	}))
	t.Logf("%v of churn, %d clients at a time:\n%s", lasting, crowd, c.summary())
	for what, n := range c.failures {
		t.Errorf("%d clients failed: %s", n, what)
	}
	if after.goroutines > before.goroutines {
		stacks, _ := get("/debug/pprof/goroutine?debug=1")
		t.Errorf("%d goroutines, %d before\n%s", after.goroutines, before.goroutines, stacks)
	}
	if grown := after.grown(before); grown > heapShare {
		t.Errorf("the live heap has grown by %.1f %%", 100*grown)
	}
	if after.files > before.files {
		t.Errorf("%d open files, %d before", after.files, before.files)
	}
	if text := node.lines(20); text != "" {
		t.Errorf("the node complains:\n%s", text)
	}
}

// settled waits until the node has no clients and holds no less than a moment ago, nor more than before if that is given, and
// measures.
func (p *process) settled(t *testing.T, began time.Time, before *figures) figures {
	t.Helper()
	deadline := time.Now().Add(settleTime)
	last := figures{heap: math.MaxInt}
	for {
		f := p.measure(t, began)
		gone := f.sessions == 0 && f.handles == 0 && f.peers == 0 && f.streams == 0
		steady := f.goroutines == last.goroutines && f.heap > last.heap-last.heap/100
		if gone && steady && (before == nil || f.goroutines <= before.goroutines && f.grown(*before) <= heapShare) {
			return f
		}
		if time.Now().After(deadline) {
			if !gone {
				t.Errorf("clients are left after %v: %+v", settleTime, f)
			}
			return f
		}
		last = f
		time.Sleep(2 * time.Second)
	}
}

// grown is by which share the live heap has grown since before.
func (f figures) grown(before figures) float64 {
	return float64(f.heap-before.heap) / float64(before.heap)
}

// table shows what the node held at each moment.
func table(rows map[string]figures) string {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tat\tgoroutines\tlive heap, KiB\topen files\tresident, MiB\tsessions\tpeers\tstreams\t")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		f := rows[name]
		fmt.Fprintf(w, "%s\t%v\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, f.at, f.goroutines, f.heap>>10, f.files, f.resident>>20, f.sessions, f.peers, f.streams)
	}
	_ = w.Flush()
	return out.String()
}

// churn is clients coming and going.
type churn struct {
	mu       sync.Mutex
	feeds    [rooms + 1][]json.Number // who publishes, by room
	done     map[string]int           // what clients did
	failures map[string]int           // what went wrong
	packets  uint64                   // received by subscribers
	lost     uint64
}

func newChurn() *churn { return &churn{done: map[string]int{}, failures: map[string]int{}} }

func (c *churn) did(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[what]++
}

func (c *churn) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures[err.Error()]++
}

// summary tells what clients did.
func (c *churn) summary() string {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, k := range slices.Sorted(maps.Keys(c.done)) {
		fmt.Fprintf(w, "  %s\t%d\n", k, c.done[k])
	}
	fmt.Fprintf(w, "  packets received\t%d\n  packets lost\t%d\n", c.packets, c.lost)
	_ = w.Flush()
	return out.String()
}

// run keeps so many clients coming for a time, and returns when the last has gone.
func (c *churn) run(ctx context.Context, crowd int, lasting time.Duration) {
	deadline := time.Now().Add(lasting)
	var clients sync.WaitGroup
	for range crowd {
		clients.Go(func() {
			for time.Now().Before(deadline) {
				if err := c.live(ctx); err != nil {
					c.failed(err)
				}
			}
		})
	}
	clients.Wait()
}

// guest is one client's life.
type guest struct {
	churn       *churn
	room        int
	client      *caller.Client
	publisher   *caller.Publisher
	subscribers []*caller.Subscriber
	own         []bool // whether each is a subscriber of the guest itself
}

// live is one client's life: join, publish, subscribe to some who are there, stay a little, and go in one of several ways.
func (c *churn) live(ctx context.Context) error {
	g := &guest{churn: c, room: 1 + rand.IntN(rooms)}
	step := func(what string, f func(ctx context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, stepTime)
		defer cancel()
		if err := f(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		c.did(what)
		return nil
	}
	err := step("open a session", func(ctx context.Context) (err error) {
		g.client, err = caller.Open(ctx, "ws://"+address+":8188/")
		return err
	})
	if err != nil {
		return err
	}
	err = step("publish", g.publish)
	for range rand.IntN(3) {
		if err == nil {
			err = step("subscribe", g.subscribe)
		}
	}
	for range rand.IntN(3) {
		if err != nil {
			break
		}
		time.Sleep(rand.N(time.Second))
		switch rand.IntN(4) {
		case 0:
			err = step("restart ICE of a publisher", g.publisher.RestartICE)
		case 1:
			if len(g.subscribers) > 0 {
				err = step("restart ICE of a subscriber", g.subscribers[0].RestartICE)
			}
		case 2:
			err = step("claim a session", g.client.Claim)
		}
	}
	time.Sleep(rand.N(time.Second))
	if err == nil {
		err = step("receive", g.received)
	}
	return errors.Join(err, g.leave(step))
}

func (g *guest) publish(ctx context.Context) (err error) {
	if g.publisher, err = g.client.Publish(ctx, g.room); err != nil {
		return err
	}
	g.churn.mu.Lock()
	defer g.churn.mu.Unlock()
	g.churn.feeds[g.room] = append(g.churn.feeds[g.room], g.publisher.ID)
	return nil
}

// withdraw tells the others not to subscribe to the guest any more.
func (g *guest) withdraw() {
	if g.publisher == nil {
		return
	}
	g.churn.mu.Lock()
	defer g.churn.mu.Unlock()
	g.churn.feeds[g.room] = slices.DeleteFunc(g.churn.feeds[g.room], func(id json.Number) bool { return id == g.publisher.ID })
}

// noSuchFeed is the VideoRoom's error code for a publisher who has gone meanwhile.
const noSuchFeed = "428"

// subscribe takes somebody who is there, be it oneself.
func (g *guest) subscribe(ctx context.Context) error {
	g.churn.mu.Lock()
	feeds := g.churn.feeds[g.room]
	feed := feeds[rand.IntN(len(feeds))]
	g.churn.mu.Unlock()
	s, err := g.client.Subscribe(ctx, g.room, feed)
	if refused, ok := errors.AsType[*caller.RefusedError](err); ok && refused.Code == noSuchFeed {
		return nil
	}
	if err != nil {
		return err
	}
	g.subscribers, g.own = append(g.subscribers, s), append(g.own, feed == g.publisher.ID)
	return nil
}

// received looks at what came. A publisher may have vanished before the first packet, but not oneself.
func (g *guest) received(ctx context.Context) error {
	for i, s := range g.subscribers {
		for _, kind := range []string{"audio", "video"} {
			if g.own[i] {
				if _, err := s.Track(ctx, kind); err != nil {
					return err
				}
			}
			if track := s.Received(kind); track != nil {
				f := track.Figures()
				g.churn.mu.Lock()
				g.churn.packets += f.Received
				g.churn.lost += f.Lost
				g.churn.mu.Unlock()
			}
		}
	}
	return nil
}

// leave goes in one of several ways.
func (g *guest) leave(step func(string, func(context.Context) error) error) error {
	g.withdraw()
	if rand.IntN(3) == 0 {
		return step("leave politely", func(ctx context.Context) error {
			var errs []error
			for _, s := range g.subscribers {
				errs = append(errs, s.Leave(ctx))
			}
			if g.publisher != nil {
				errs = append(errs, g.publisher.Leave(ctx))
			}
			return errors.Join(append(errs, g.client.Destroy(ctx))...)
		})
	}
	return step("vanish", func(context.Context) error {
		g.client.Cut()
		for _, s := range g.subscribers {
			s.Vanish()
		}
		if g.publisher != nil {
			g.publisher.Vanish()
		}
		return nil
	})
}
