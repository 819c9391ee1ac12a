package far

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cardea/relay/link"
	"cardea/relay/plane"
)

// Kept implements [plane.Plane]: it asks the nodes where the session has peers, as far as that is known here or by
// Config.Places. It fails when none of them answers; one that does not is left out.
func (p *Planes) Kept(ctx context.Context, session string) ([]plane.Kept, error) {
	nodes := p.where(ctx, session)
	type answer struct {
		kept []plane.Kept
		err  error
	}
	answers := make([]answer, len(nodes))
	var asked sync.WaitGroup
	for i, node := range nodes {
		p.mu.Lock()
		s := p.seat(node)
		p.mu.Unlock()
		if s == nil {
			answers[i].err = fmt.Errorf("%w: %s is gone", ErrUnreachable, node)
			continue
		}
		asked.Go(func() { answers[i].kept, answers[i].err = s.plane.Kept(ctx, session) })
	}
	asked.Wait()
	var all []plane.Kept
	var failed []error
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range answers {
		if a.err != nil {
			failed = append(failed, a.err)
			continue
		}
		for _, k := range a.kept {
			if len(p.found) < maxFound && p.places.peers[k.Peer] == nil {
				p.found[k.Peer] = discovery{nodes[i], session, time.Now()}
			}
		}
		all = append(all, a.kept...)
	}
	if len(failed) == len(nodes) {
		return nil, errors.Join(failed...)
	}
	return all, nil
}

// where returns the nodes that may keep something of a session.
func (p *Planes) where(ctx context.Context, session string) []link.NodeID {
	p.mu.Lock()
	nodes := p.places.session(session)
	p.mu.Unlock()
	if p.cfg.Places != nil {
		nodes = append(nodes, p.cfg.Places(ctx, session)...)
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	return nodes[:min(len(nodes), maxAsked)]
}

// Adopt implements [plane.Plane], for peers that Kept found.
func (p *Planes) Adopt(ctx context.Context, id plane.PeerID, epoch uint64) error {
	p.mu.Lock()
	at, d := p.places.peers[id], p.found[id]
	if at != nil {
		d = discovery{node: at.node}
	}
	s := p.seat(d.node)
	if s == nil {
		p.mu.Unlock()
		return fmt.Errorf("%w: %s", plane.ErrNoPeer, id)
	}
	delete(p.found, id)
	if at == nil {
		p.place(id, d.node, d.session) // before there can be events of it
	}
	p.mu.Unlock()
	err := s.plane.Adopt(ctx, id, epoch)
	if err != nil && at == nil {
		p.mu.Lock()
		p.forget(id)
		if errors.Is(err, ErrUnreachable) && !s.gone {
			s.abandon(id)
		}
		p.mu.Unlock()
	}
	return err
}
