package far

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cardea/relay/plane"
)

// maxLeft bounds the peers that are to be closed at a node when it answers again. Beyond it they end with the lease.
const maxLeft = 1024

// retryTime is the longest pause before a media node that does not answer is asked for events again.
const retryTime = 2 * time.Second

// Run asks the media nodes for events until ctx is done.
func (p *Planes) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	defer loops.Wait()
	tick := time.NewTicker(idleTime / 4)
	defer tick.Stop()
	for {
		p.mu.Lock()
		for _, s := range p.seats {
			if s.stop == nil {
				own, stop := context.WithCancel(ctx)
				s.stop = stop
				loops.Go(func() {
					defer stop()
					p.pump(own, s)
				})
			}
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case now := <-tick.C:
			p.tidy(now)
		}
	}
}

// tidy gives up nodes that have had no peers of ours for long, and forgets what was found and not adopted.
func (p *Planes) tidy(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, s := range p.seats {
		if len(p.places.nodes[id]) > 0 || len(s.left) > 0 {
			s.used = now
		} else if id != p.cfg.Self && now.Sub(s.used) > idleTime {
			p.leave(s)
		}
	}
	for id, d := range p.found {
		if now.Sub(d.at) > foundTime {
			delete(p.found, id)
		}
	}
}

// pump takes the events of one node until ctx is done.
func (p *Planes) pump(ctx context.Context, s *seat) {
	var after uint64
	wait := retryPause
	for ctx.Err() == nil {
		l, err := s.plane.Events(ctx, after)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, plane.ErrEventsLost) && len(l) > 0:
			p.cfg.Log.Warn("events of a media node lost", "media_node", s.node, "after", after, "next", l[0].Number)
			after = l[0].Number
			p.log.lose()
			continue
		case err != nil:
			level := slog.LevelDebug
			if wait == retryPause {
				level = slog.LevelWarn // once
			}
			p.cfg.Log.Log(ctx, level, "no events of a media node", "media_node", s.node, "error", err)
			pause(ctx, wait)
			wait = min(2*wait, retryTime)
			continue
		}
		wait = retryPause
		for _, e := range l {
			after = e.Number
			p.pass(s, e)
		}
		p.closeLeft(ctx, s)
	}
}

// pass passes an event on if the peer is still at that node.
func (p *Planes) pass(s *seat, e plane.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.places.peers[e.Peer]; at != nil && at.node == s.node && !s.gone {
		p.log.add(e)
	}
}

// abandon notes a peer that may be at the node. Called with Planes.mu held.
func (s *seat) abandon(id plane.PeerID) {
	if len(s.left) < maxLeft && !slices.Contains(s.left, id) {
		s.left = append(s.left, id)
	}
}

// closeLeft closes peers that may be at a node that answers again.
func (p *Planes) closeLeft(ctx context.Context, s *seat) {
	for {
		p.mu.Lock()
		if len(s.left) == 0 {
			p.mu.Unlock()
			return
		}
		id := s.left[0]
		p.mu.Unlock()
		if err := s.plane.Close(ctx, id); err != nil && !errors.Is(err, plane.ErrNoPeer) {
			return // with the next events
		}
		p.mu.Lock()
		s.left = slices.DeleteFunc(s.left, func(x plane.PeerID) bool { return x == id })
		p.mu.Unlock()
	}
}
