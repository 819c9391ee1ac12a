package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"cardea/mesh/room"
	"cardea/relay/link"
)

// tally counts what two nodes say to each other.
type tally struct {
	mu      sync.Mutex
	notices int
	bytes   int
	calls   map[link.Kind][]int // bytes of each call, both ways
}

func (t *tally) notice(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notices++
	t.bytes += len(b)
}

func (t *tally) call(k link.Kind, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[k] = append(t.calls[k], bytes)
}

func (t *tally) said() (notices, bytes float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(t.notices), float64(t.bytes)
}

// longest returns the bytes of the longest call of a kind, 0 if there was none.
func (t *tally) longest(k link.Kind) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(slices.Max(append(t.calls[k], 0)))
}

// measureRooms lets two nodes keep a room together, then fills one alone.
func measureRooms(ctx context.Context, u use, s *sizes) error {
	acquaint(s)
	t := &tally{calls: map[link.Kind][]int{}}
	ids := []link.NodeID{nodeID(0), nodeID(1)}
	both := map[link.NodeID]*room.Rooms{}
	for _, self := range ids {
		both[self] = room.New(room.Config{
			Self: self,
			Call: func(ctx context.Context, to link.NodeID, kind link.Kind, request []byte) ([]byte, error) {
				reply, err := both[to].HandleCall(ctx, self, kind, request)
				t.call(kind, len(request)+len(reply))
				return reply, err
			},
			Notify: func(to link.NodeID, kind link.Kind, payload []byte) error {
				t.notice(payload)
				both[to].HandleNotice(self, kind, payload)
				return nil
			},
		})
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, r := range both {
		r.SetNodes(ids)
		running.Go(func() { _ = r.Run(ctx) }) // fails only for a store
	}
	if err := talk(ctx, both[ids[0]], both[ids[1]], t, u, s); err != nil {
		return err
	}
	return fill(ctx, u, s)
}

func talk(ctx context.Context, a, b *room.Rooms, t *tally, u use, s *sizes) error {
	const id = "videoroom/1234567"
	if err := a.Create(ctx, id, make([]byte, u.record), false); err != nil {
		return err
	}
	s.create = max(t.longest(room.KindStore), t.longest(room.KindCreate))
	watch := room.Watcher{
		Edited: func([]byte) {}, Destroyed: func() {}, Present: func(string, []byte) {}, Gone: func(string, string) {}, Lost: func(string) {},
		Asked: func(context.Context, string, []byte) ([]byte, error) { return nil, nil },
	}
	rooms := make([]*room.Room, 0, 2)
	for i, r := range []*room.Rooms{a, b} {
		m, err := r.Open(ctx, id, watch)
		if err != nil {
			return err
		}
		defer m.Close()
		m.Put(participant(i), make([]byte, u.entry))
		rooms = append(rooms, m)
	}
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	const quiet = 2 * time.Second
	n, bytes := t.said()
	if err := pause(ctx, quiet); err != nil {
		return err
	}
	n2, bytes2 := t.said()
	s.beats, s.beatBytes = (n2-n)/quiet.Seconds(), (bytes2-bytes)/quiet.Seconds()

	// Changes far enough apart that each is said, and acknowledged, by itself.
	const changes, apart = 10, 120 * time.Millisecond
	n, bytes = t.said()
	for i := range changes {
		rooms[i%2].Put(participant(i%2), make([]byte, u.entry-i))
		if err := pause(ctx, apart); err != nil {
			return err
		}
	}
	n2, bytes2 = t.said()
	idle := s.beatBytes * (changes * apart).Seconds()
	s.change = max(bytes2-bytes-idle, 0) / changes
	if n2-n < changes {
		return fmt.Errorf("%.0f notices for %d changes", n2-n, changes)
	}
	return until(ctx, "a comparison of records", func() bool {
		s.digest = t.longest(room.KindDigest)
		return s.digest > 0
	})
}

func participant(i int) string { return fmt.Sprintf("%016d", 7_000_000_000_000_000+i) }

// fill finds out how much memory records and entries take.
func fill(ctx context.Context, u use, s *sizes) error {
	const records, entries = 10_000, 10_000
	before := heap()
	alone := room.New(room.Config{Self: nodeID(0)})
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = alone.Run(ctx)
	}()
	defer func() {
		stop()
		<-done
	}()
	for i := range records {
		if err := alone.Create(ctx, fmt.Sprintf("videoroom/%07d", i), make([]byte, u.record), false); err != nil {
			return err
		}
	}
	created := heap()
	m, err := alone.Open(ctx, "videoroom/0000000", room.Watcher{})
	if err != nil {
		return err
	}
	for i := range entries {
		m.Put(participant(i), make([]byte, u.entry))
	}
	present := heap()
	runtime.KeepAlive(alone)
	m.Close()
	s.recordMemory, s.entryMemory = (created-before)/records, (present-created)/entries
	return nil
}

// acquaint finds out how much memory it takes to know other nodes.
func acquaint(s *sizes) {
	ids := make([]link.NodeID, 1000)
	for i := range ids {
		ids[i] = nodeID(i)
	}
	before := heap()
	r := room.New(room.Config{Self: nodeID(0)})
	r.SetNodes(ids)
	s.nodeMemory += (heap() - before) / float64(len(ids))
	runtime.KeepAlive(r)
}
