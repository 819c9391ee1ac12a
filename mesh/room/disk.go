package room

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// diskRetry is when what could not be written is tried again.
const diskRetry = 2 * time.Second

// disk gathers what is to be written, so that many records need one transaction, and lets those wait who have promised that it is
// written.
type disk struct {
	wake chan struct{}

	mu      sync.Mutex // guards below; taken after Rooms.mu, or alone
	filling *batch     // nil: nothing to write
	writing *batch     // nil: nothing is being written
}

// batch is what is written at once.
type batch struct {
	ids  map[string]struct{}
	done chan struct{}
	err  error // valid when done is closed
}

func (d *disk) init() { d.wake = make(chan struct{}, 1) }

// add notes rooms whose records are to be written as they are then.
func (d *disk) add(ids map[string]struct{}) {
	if len(ids) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.filling == nil {
		d.filling = &batch{ids: map[string]struct{}{}, done: make(chan struct{})}
	}
	for id := range ids {
		d.filling.ids[id] = struct{}{}
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// latest returns the batch after which everything noted until now is written; nil if it is.
func (d *disk) latest() *batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.filling != nil {
		return d.filling
	}
	return d.writing
}

// wait waits until the batch is written.
func (b *batch) wait(ctx context.Context) error {
	if b == nil {
		return nil
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next takes what there is to write; nil if nothing.
func (d *disk) next() *batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writing, d.filling = d.filling, nil
	return d.writing
}

// finish ends the batch that is being written.
func (d *disk) finish(b *batch, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writing = nil
	b.err = err
	close(b.done)
}

// write writes batches until ctx ends, and then what is left.
func (r *Rooms) write(ctx context.Context) {
	for running := true; running; {
		if b := r.disk.next(); b != nil {
			err := r.writeBatch(b)
			r.disk.finish(b, err)
			if err == nil {
				continue
			}
			r.metrics.StoreFails.Add(1)
			r.cfg.Log.Error("rooms could not be kept on disk", "rooms", len(b.ids), "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(diskRetry):
			}
			r.disk.add(b.ids)
			if ctx.Err() == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
			running = false
		case <-r.disk.wake:
		}
	}
	if b := r.disk.next(); b != nil {
		r.disk.finish(b, r.writeBatch(b))
	}
}

// writeBatch writes the records of the batch as they are now.
func (r *Rooms) writeBatch(b *batch) error {
	ids := sorted(b.ids)
	var changes []Change
	for chunk := range slices.Chunk(ids, 256) {
		r.mu.Lock()
		for _, id := range chunk {
			if record, change := r.core.stored(id); change {
				changes = append(changes, Change{id, record})
			}
		}
		r.mu.Unlock()
	}
	if len(changes) == 0 {
		return nil
	}
	if err := r.cfg.Store.Save(changes); err != nil {
		return fmt.Errorf("keep %d rooms: %w", len(changes), err)
	}
	return nil
}
