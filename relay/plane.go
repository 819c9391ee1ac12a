package relay

import (
	"context"
	"fmt"

	"cardea/relay/peer"
	"cardea/relay/plane"
)

// maxPeerID bounds the name of a peer, bytes.
const maxPeerID = 256

// Open implements [plane.Plane].
func (r *Relay) Open(_ context.Context, id plane.PeerID, opts plane.PeerOptions) (plane.Transport, error) {
	if id == "" || len(id) > maxPeerID || len(opts.Session) > maxPeerID {
		return plane.Transport{}, fmt.Errorf("%w: peer id of %d bytes, session of %d", plane.ErrInvalid, len(id), len(opts.Session))
	}
	p, err := r.open(id, opts)
	if err != nil {
		return plane.Transport{}, err
	}
	return p.Transport(), nil
}

// open finds or makes a peer. No lock of a peer is taken under the relay's: it is the innermost.
func (r *Relay) open(id plane.PeerID, opts plane.PeerOptions) (*peer.Peer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peers[id]; p != nil {
		return p, nil
	}
	if r.stopped {
		return nil, fmt.Errorf("%w: it is stopping", plane.ErrOverloaded)
	}
	if r.cfg.MaxPeers > 0 && len(r.peers) >= r.cfg.MaxPeers {
		r.metrics.Refused.Add(1)
		return nil, fmt.Errorf("%w: %d peers", plane.ErrOverloaded, len(r.peers))
	}
	p := peer.New(id, opts, r.env)
	r.peers[id] = p
	r.shelf.add(id, opts.Session)
	r.ticker.add(p)
	return p, nil
}

func (r *Relay) peer(id plane.PeerID) (*peer.Peer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peers[id]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%w: %s", plane.ErrNoPeer, id)
}

// Restart implements [plane.Plane].
func (r *Relay) Restart(_ context.Context, id plane.PeerID, generation uint32) (plane.Transport, error) {
	p, err := r.peer(id)
	if err != nil {
		return plane.Transport{}, err
	}
	return p.Restart(generation)
}

// Negotiate implements [plane.Plane].
func (r *Relay) Negotiate(_ context.Context, id plane.PeerID, s plane.Session) error {
	p, err := r.peer(id)
	if err != nil {
		return err
	}
	return p.Negotiate(s)
}

// AddCandidates implements [plane.Plane].
func (r *Relay) AddCandidates(_ context.Context, id plane.PeerID, c []plane.Candidate, complete bool) error {
	p, err := r.peer(id)
	if err != nil {
		return err
	}
	return p.AddCandidates(c, complete)
}

// Publish implements [plane.Plane].
func (r *Relay) Publish(_ context.Context, id plane.PeerID, pubs []plane.Publication) error {
	p, err := r.peer(id)
	if err != nil {
		return err
	}
	return p.Publish(pubs)
}

// Subscribe implements [plane.Plane].
func (r *Relay) Subscribe(_ context.Context, id plane.PeerID, subs []plane.Subscription) error {
	p, err := r.peer(id)
	if err != nil {
		return err
	}
	return p.Subscribe(subs)
}

// Keyframe implements [plane.Plane].
func (r *Relay) Keyframe(_ context.Context, id plane.StreamID) error {
	s := r.env.Streams.Get(id)
	if s == nil {
		return fmt.Errorf("%w: %v", plane.ErrNoStream, id)
	}
	s.RequestKeyframe()
	return nil
}

// Forward implements [plane.Plane].
func (r *Relay) Forward(_ context.Context, f plane.Forwarder) (rtcpPort uint16, err error) {
	made, err := r.newForwarder(f)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	old := r.forwarders[f.ID]
	r.forwarders[f.ID] = made
	r.mu.Unlock()
	if old != nil {
		old.stop()
	}
	made.start()
	return made.rtcpPort(), nil
}

// StopForward implements [plane.Plane].
func (r *Relay) StopForward(_ context.Context, id string) error {
	r.mu.Lock()
	f := r.forwarders[id]
	delete(r.forwarders, id)
	r.mu.Unlock()
	if f != nil {
		f.stop()
	}
	return nil
}

// Stats implements [plane.Plane].
func (r *Relay) Stats(_ context.Context, id plane.PeerID) (plane.PeerStats, error) {
	p, err := r.peer(id)
	if err != nil {
		return plane.PeerStats{}, err
	}
	return p.Stats(), nil
}

// Close implements [plane.Plane].
func (r *Relay) Close(_ context.Context, id plane.PeerID) error {
	r.mu.Lock()
	p := r.peers[id]
	delete(r.peers, id)
	r.shelf.remove(id)
	r.mu.Unlock()
	if p != nil {
		r.end(p)
	}
	return nil
}

// Events implements [plane.Plane].
func (r *Relay) Events(ctx context.Context, after uint64) ([]plane.Event, error) {
	return r.events.after(ctx, after)
}
