package janus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"cardea/relay/plane"
)

// maxOrphans bounds the peers that could not be closed. Beyond it the media plane has been away for so long that it
// must have lost them itself.
const maxOrphans = 10_000

// orphans are peers that nobody needs and that could not be closed because the media plane did not answer.
type orphans struct {
	mu    sync.Mutex
	peers map[plane.PeerID]struct{}
}

func (o *orphans) add(id plane.PeerID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.peers == nil {
		o.peers = map[plane.PeerID]struct{}{}
	}
	if len(o.peers) < maxOrphans {
		o.peers[id] = struct{}{}
	}
}

func (o *orphans) list() []plane.PeerID {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := make([]plane.PeerID, 0, len(o.peers))
	for id := range o.peers {
		l = append(l, id)
	}
	return l
}

func (o *orphans) forget(id plane.PeerID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.peers, id)
}

// run tries again to close them until ctx is done.
func (o *orphans) run(ctx context.Context, p plane.Plane, log *slog.Logger) {
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			o.close(ctx, p, log)
		}
	}
}

// last tries a last time, when the server closes.
func (o *orphans) last(p plane.Plane, log *slog.Logger) { o.close(context.Background(), p, log) }

// close tries to close all, up to the first that takes too long: then the others would as well.
func (o *orphans) close(ctx context.Context, p plane.Plane, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	for _, id := range o.list() {
		err := p.Close(ctx, id)
		if err == nil || errors.Is(err, plane.ErrNoPeer) {
			o.forget(id)
			continue
		}
		log.Debug("peer not closed", "peer", id, "error", err)
		if ctx.Err() != nil {
			return
		}
	}
}
