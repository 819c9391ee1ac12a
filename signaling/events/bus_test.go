package events_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cardea/signaling/events"
)

// taker keeps what a subscription is given.
type taker struct {
	mu     sync.Mutex
	bodies []string
	sizes  []int
}

func (k *taker) take(batch []events.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sizes = append(k.sizes, len(batch))
	for i := range batch {
		k.bodies = append(k.bodies, string(batch[i].Body))
	}
}

func number(i int) json.RawMessage { return json.RawMessage(strconv.Itoa(i)) }

// TestOrder has many goroutines emit: each one's events stay in order, all subscribers see the same, and timestamps do not go back.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := events.New(events.Config{})
		var a, b taker
		var last time.Time
		bus.Subscribe(events.All, a.take)
		bus.Subscribe(events.All, func(batch []events.Event) {
			b.take(batch)
			for i := range batch {
				if batch[i].Time.Before(last) {
					t.Error("time went back")
				}
				last = batch[i].Time
			}
		})
		ctx, stop := context.WithCancel(t.Context())
		var running, emitting sync.WaitGroup
		running.Go(func() { _ = bus.Run(ctx) })
		const emitters, each = 8, 200
		for e := range emitters {
			emitting.Go(func() {
				for i := range each {
					bus.Emit(events.Event{Type: events.Handle, Body: number(e*each + i)})
				}
			})
		}
		emitting.Wait()
		stop()
		running.Wait()
		if len(a.bodies) != emitters*each || !slices.Equal(a.bodies, b.bodies) {
			t.Fatalf("%d and %d events", len(a.bodies), len(b.bodies))
		}
		next := map[int]int{}
		for _, body := range a.bodies {
			n, _ := strconv.Atoi(body)
			if n%each != next[n/each] {
				t.Fatalf("%d out of order", n)
			}
			next[n/each]++
		}
	})
}

// TestWants wants emission to be asked for by nobody until somebody subscribes, and masks to hold while the bus runs.
func TestWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *events.Bus
		if none.Wants(events.All) || none.Waiting() != 0 || len(none.Counts()) != 0 {
			t.Error("a nil bus wants something")
		}
		none.Emit(events.Event{Type: events.Core})
		none.EmitBody(events.Core, 0, events.Origin{}, nil)

		bus := events.New(events.Config{Types: events.Handle | events.Core})
		if bus.Wants(events.All) {
			t.Error("it wants events for nobody")
		}
		bus.Emit(events.Event{Type: events.Core})
		var all, some taker
		bus.Subscribe(events.All, all.take)
		s := bus.Subscribe(events.Core, some.take)
		if !bus.Wants(events.Core) || bus.Wants(events.Media) {
			t.Error("it wants other types than those configured")
		}
		var running sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		running.Go(func() { _ = bus.Run(ctx) })
		emit := func() {
			for i, typ := range []events.Type{events.Handle, events.Core, events.Media, events.Handle | events.Core} {
				bus.Emit(events.Event{Type: typ, Body: number(i)})
			}
			synctest.Wait()
		}
		emit()
		s.SetMask(events.Handle)
		emit()
		stop()
		running.Wait()
		if want := []string{"0", "1", "0", "1"}; !slices.Equal(all.bodies, want) {
			t.Errorf("all: %v", all.bodies)
		}
		if want := []string{"1", "0"}; !slices.Equal(some.bodies, want) {
			t.Errorf("some: %v", some.bodies)
		}
		counts := bus.Counts()
		if counts["handles"].Emitted != 2 || counts["core"].Emitted != 2 || counts["media"].Emitted != 0 {
			t.Errorf("%+v", counts)
		}
	})
}

// TestBounds wants a bus that nobody empties to drop and count, and to go on afterwards.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := events.New(events.Config{QueueEvents: 3, QueueBytes: 100})
		var k taker
		bus.Subscribe(events.All, k.take)
		large := json.RawMessage(`"` + string(make([]byte, 120)) + `"`)
		bus.Emit(events.Event{Type: events.Plugin, Body: large})
		for i := range 5 {
			bus.Emit(events.Event{Type: events.Plugin, Body: number(i)})
		}
		if c := bus.Counts()["plugins"]; c.Emitted != 3 || c.Dropped != 3 || bus.Waiting() != 3 {
			t.Fatalf("%+v, %d wait", c, bus.Waiting())
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = bus.Run(ctx) })
		synctest.Wait()
		bus.Emit(events.Event{Type: events.Plugin, Body: number(9)})
		synctest.Wait()
		stop()
		running.Wait()
		if want := []string{"0", "1", "2", "9"}; !slices.Equal(k.bodies, want) || !slices.Equal(k.sizes, []int{3, 1}) {
			t.Errorf("%v in batches of %v", k.bodies, k.sizes)
		}
	})
}

// TestEmitBody wants bodies as they are, without what HTML would need, and a body that is no JSON to be counted and left out.
func TestEmitBody(t *testing.T) {
	bus := events.New(events.Config{Emitter: "n"})
	var got []string
	bus.Subscribe(events.All, func(batch []events.Event) {
		for i := range batch {
			batch[i].Time = time.UnixMicro(5)
			got = append(got, string(batch[i].AppendJSON(nil, bus.Emitter(), bus.Label())))
		}
	})
	bus.EmitBody(events.Core, 0, events.Origin{}, func() {})
	o := events.Origin{Session: 1, Handle: 2, OpaqueID: "o", Room: "videoroom/3", Community: "guild"}
	bus.EmitPlugin(o, "p", map[string]any{"a": "<&>"})
	bus.EmitTransport("t", "9", map[string]any{"event": "connected"})
	bus.EmitUser(o, events.UserEvent{Event: events.Joined, Room: number(3), ID: number(4)})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_ = bus.Run(ctx)
	want := []string{
		`{"emitter":"n","type":64,"timestamp":5,"session_id":1,"handle_id":2,"opaque_id":"o","event":{"plugin":"p","data":{"a":"<&>"}}}`,
		`{"emitter":"n","type":128,"timestamp":5,"event":{"transport":"t","id":"9","data":{"event":"connected"}}}`,
		`{"emitter":"n","type":512,"timestamp":5,"session_id":1,"handle_id":2,"opaque_id":"o","room":"videoroom/3",` +
			`"TGG_USER_EVENT":{"event":"joined","community_id":"guild","room":3,"id":4}}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if bus.Unencodable() != 1 {
		t.Errorf("%d unencodable", bus.Unencodable())
	}
}

// TestNothingIsFree pins that what nobody wants costs no memory.
func TestNothingIsFree(t *testing.T) {
	bus := events.New(events.Config{})
	bus.Subscribe(events.Core, func([]events.Event) {})
	o := events.Origin{Session: 1}
	body := any(map[string]any{"a": 1})
	if n := testing.AllocsPerRun(100, func() {
		if bus.Wants(events.Media) {
			t.Error("wanted")
		}
		bus.Emit(events.Event{Type: events.Media})
		bus.EmitBody(events.Media, 3, o, body)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
