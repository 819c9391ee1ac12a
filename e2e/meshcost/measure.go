package main

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// sizes are what single things cost. Bytes on the wire are those of whole packets, headers included, except where payload is
// said: what is said over a link costs notice as well.
type sizes struct {
	probe  float64 // bytes of a probe and its answer
	update float64 // bytes of the packet that tells one node's news
	state  float64 // bytes of a node in an exchange of whole states

	idleLink float64 // bytes/s that each side of an idle link sends
	busyLink float64 // bytes/s that each side sends beside what is said, in the second after something was said
	notice   float64 // bytes that a notice costs beside its payload, the acknowledgement included

	rowEntry  float64 // payload bytes of a neighbour's figures
	digest    float64 // payload bytes of a comparison of records without a difference
	create    float64 // payload bytes for another node that is to keep a new room
	beats     float64 // notices/s between one that follows and its keeper, both ways, when nothing happens
	beatBytes float64 // payload bytes/s of these
	change    float64 // payload bytes of a changed entry, for one receiver, the acknowledgement included

	nodeMemory   float64 // bytes for each other node that is known
	linkMemory   float64 // bytes for each link, without media
	rowMemory    float64 // bytes for each figure that a neighbour tells
	recordMemory float64 // bytes for each record
	entryMemory  float64 // bytes for each participant in a roster
}

// size is one of them for the printed table.
type size struct {
	name  string
	value float64
	unit  string
}

func (s sizes) list() []size {
	return []size{
		{"gossip: a probe and its answer", s.probe, "B"},
		{"gossip: a packet with one node's news", s.update, "B"},
		{"gossip: a node in an exchange of whole states", s.state, "B"},
		{"link: sent by each side while it is idle", s.idleLink, "B/s"},
		{"link: sent by each side while something is said", s.busyLink, "B/s"},
		{"link: a notice, beside its payload", s.notice, "B"},
		{"route: a neighbour's figures", s.rowEntry, "B"},
		{"room: comparing records that are equal", s.digest, "B"},
		{"room: a new record", s.create, "B"},
		{"room: follower and keeper, notices", s.beats, "/s"},
		{"room: follower and keeper, their payload", s.beatBytes, "B/s"},
		{"room: a changed entry", s.change, "B"},
		{"memory: another node", s.nodeMemory, "B"},
		{"memory: a link", s.linkMemory, "B"},
		{"memory: a figure in a neighbour's row", s.rowMemory, "B"},
		{"memory: a room's record", s.recordMemory, "B"},
		{"memory: a participant in a roster", s.entryMemory, "B"},
	}
}

// measure finds them out. It takes some seconds.
func measure(ctx context.Context, u use) (sizes, error) {
	var s sizes
	for _, m := range []struct {
		what string
		do   func(context.Context, use, *sizes) error
	}{
		{"rooms", measureRooms}, {"routes", measureRoutes}, {"links", measureLinks}, {"gossip", measureGossip},
	} {
		if err := m.do(ctx, u, &s); err != nil {
			return s, fmt.Errorf("measure %s: %w", m.what, err)
		}
	}
	return s, nil
}

// heap returns the bytes that are in use once all garbage is gone.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools let go of theirs the second time
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) + float64(m.StackInuse)
}

// pause lets time go by.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// until waits for something that is about to happen.
func until(ctx context.Context, what string, f func() bool) error {
	for deadline := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not happen", what)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
