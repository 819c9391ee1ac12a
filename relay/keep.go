package relay

import (
	"context"
	"fmt"
	"slices"

	"cardea/relay/plane"
)

// maxKeptBytes bounds the snapshots kept for all peers together. A session's is a few kilobytes for each peer.
const maxKeptBytes = 512 << 20

// shelf is what is kept beside peers. It is guarded by the relay's lock.
type shelf struct {
	peers    map[plane.PeerID]*keepsake
	sessions map[string][]plane.PeerID // the peers of each session
	bytes    int
}

// keepsake is what is kept beside one peer that belongs to a session.
type keepsake struct {
	session  string
	version  uint64
	snapshot []byte // replaced, never changed
	epoch    uint64 // of the last adoption
}

func newShelf() *shelf {
	return &shelf{peers: make(map[plane.PeerID]*keepsake), sessions: make(map[string][]plane.PeerID)}
}

// add makes a place for a new peer of a session.
func (s *shelf) add(id plane.PeerID, session string) {
	s.peers[id] = &keepsake{session: session}
	if session != "" {
		s.sessions[session] = append(s.sessions[session], id)
	}
}

// remove gives up what is kept beside a peer.
func (s *shelf) remove(id plane.PeerID) {
	k := s.peers[id]
	if k == nil {
		return
	}
	delete(s.peers, id)
	s.bytes -= len(k.snapshot)
	if k.session == "" {
		return
	}
	left := slices.DeleteFunc(s.sessions[k.session], func(p plane.PeerID) bool { return p == id })
	if len(left) == 0 {
		delete(s.sessions, k.session)
		return
	}
	s.sessions[k.session] = left
}

// keep puts a snapshot beside a peer.
func (s *shelf) keep(id plane.PeerID, version uint64, snapshot []byte) error {
	k := s.peers[id]
	switch bytes := s.bytes + len(snapshot); {
	case k == nil:
		return fmt.Errorf("%w: %s", plane.ErrNoPeer, id)
	case k.session == "" || len(snapshot) > plane.MaxSnapshot:
		return fmt.Errorf("%w: %d bytes to keep for session %q", plane.ErrInvalid, len(snapshot), k.session)
	case version < k.version:
		return fmt.Errorf("%w: snapshot %d, %d is kept", plane.ErrStale, version, k.version)
	case bytes-len(k.snapshot) > maxKeptBytes:
		return fmt.Errorf("%w: too much is kept", plane.ErrOverloaded)
	default:
		s.bytes = bytes - len(k.snapshot)
	}
	k.version, k.snapshot = version, slices.Clone(snapshot)
	return nil
}

// kept returns what is kept for a session.
func (s *shelf) kept(session string) []plane.Kept {
	if session == "" {
		return nil
	}
	var l []plane.Kept
	for _, id := range s.sessions[session] {
		if k := s.peers[id]; k.version > 0 {
			l = append(l, plane.Kept{Peer: id, Version: k.version, Snapshot: slices.Clone(k.snapshot)})
		}
	}
	return l
}

// adopt notes the epoch of an owner.
func (s *shelf) adopt(id plane.PeerID, epoch uint64) error {
	k := s.peers[id]
	switch {
	case k == nil:
		return fmt.Errorf("%w: %s", plane.ErrNoPeer, id)
	case epoch < k.epoch:
		return fmt.Errorf("%w: epoch %d, %d adopted it", plane.ErrStale, epoch, k.epoch)
	}
	k.epoch = epoch
	return nil
}

// Keep implements [plane.Plane].
func (r *Relay) Keep(_ context.Context, id plane.PeerID, version uint64, snapshot []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shelf.keep(id, version, snapshot)
}

// Kept implements [plane.Plane].
func (r *Relay) Kept(_ context.Context, session string) ([]plane.Kept, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shelf.kept(session), nil
}

// Adopt implements [plane.Plane]. A relay tells all events to its one caller, so that only the epoch is looked at; who owns
// which peer is decided where several callers meet.
func (r *Relay) Adopt(_ context.Context, id plane.PeerID, epoch uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shelf.adopt(id, epoch)
}
