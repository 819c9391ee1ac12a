package far

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"cardea/relay/link"
	"cardea/relay/plane"
)

// Bounds on what one signaling node may have at a media node.
const (
	maxLeases     = 4       // at once; more are drawn by a node that restarts over and over
	maxForwarders = 1 << 14 // of a lease
	maxClosed     = 1 << 12 // names of what was closed, of a lease
	leaseEvents   = 1 << 12 // kept for a lease
)

// leaseName names a lease. That of the node's own signaling is the zero value.
type leaseName struct {
	node   link.NodeID
	number uint64
}

// lease is what one signaling process has here.
type lease struct {
	leaseName
	id         uint64 // of its event log, random
	log        *eventLog
	peers      map[plane.PeerID]struct{}
	forwarders map[string]struct{}
	closed     graves
	polls      int       // calls for events that wait
	heard      time.Time // when a call last ended
	past       bool      // the node has drawn another one since
}

// alive tells whether the lease's holder was heard of.
func (l *lease) alive(now time.Time, grace time.Duration) bool {
	return l.leaseName == leaseName{} || !l.past && l.polls > 0 || now.Sub(l.heard) < grace
}

// owner says whose a peer is.
type owner struct {
	lease  *lease
	number uint64 // of the last call that changed the peer
	epoch  uint64 // of the last adoption
}

// register knows whose peers and forwarders are whose. It is pure: callers lock it and tell it the time.
type register struct {
	grace      time.Duration
	maxPeers   int // of a node
	leases     map[leaseName]*lease
	peers      map[plane.PeerID]*owner
	forwarders map[string]*lease
}

func newRegister(grace time.Duration, maxPeers int) *register {
	r := &register{
		grace: grace, maxPeers: maxPeers, leases: make(map[leaseName]*lease), peers: make(map[plane.PeerID]*owner),
		forwarders: make(map[string]*lease),
	}
	r.add(leaseName{}, time.Time{})
	return r
}

func (r *register) add(n leaseName, now time.Time) *lease {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	l := &lease{
		leaseName: n, id: binary.BigEndian.Uint64(b[:]) | 1, log: newEventLog(leaseEvents), heard: now,
		peers: make(map[plane.PeerID]struct{}), forwarders: make(map[string]struct{}),
	}
	r.leases[n] = l
	return l
}

// lease finds a lease, or makes it: then the node's others are past, and end if they are too many.
func (r *register) lease(n leaseName, now time.Time) (*lease, error) {
	if l := r.leases[n]; l != nil {
		if l.past {
			return nil, fmt.Errorf("%w: the lease is past", plane.ErrNoPeer)
		}
		return l, nil
	}
	var others []*lease
	for m, l := range r.leases {
		if m.node == n.node {
			l.past = true
			others = append(others, l)
		}
	}
	if len(others) >= maxLeases {
		oldest := slices.MinFunc(others, func(a, b *lease) int { return a.heard.Compare(b.heard) })
		oldest.heard = time.Time{} // the next sweep ends it
	}
	if len(others) > maxLeases {
		return nil, fmt.Errorf("%w: too many leases", plane.ErrOverloaded)
	}
	return r.add(n, now), nil
}

// open notes that a lease opens a peer, or does so again.
func (r *register) open(l *lease, id plane.PeerID, number uint64) error {
	if o := r.peers[id]; o != nil {
		if o.lease != l {
			return fmt.Errorf("%w: another opened %s", plane.ErrStale, id)
		}
		return o.step(number)
	}
	if l.closed.late(string(id), number) {
		return fmt.Errorf("%w: %s was closed since", plane.ErrStale, id)
	}
	if l.node != "" && len(l.peers) >= r.maxPeers {
		return fmt.Errorf("%w: %d peers of one node", plane.ErrOverloaded, len(l.peers))
	}
	r.peers[id] = &owner{lease: l, number: number}
	l.peers[id] = struct{}{}
	return nil
}

// use checks that a peer is the lease's.
func (r *register) use(l *lease, id plane.PeerID) (*owner, error) {
	o := r.peers[id]
	if o == nil || o.lease != l {
		return nil, fmt.Errorf("%w: %s", plane.ErrNoPeer, id)
	}
	return o, nil
}

// change checks that a peer is the lease's and that no later call has changed it.
func (r *register) change(l *lease, id plane.PeerID, number uint64) error {
	o, err := r.use(l, id)
	if err != nil {
		return err
	}
	return o.step(number)
}

func (o *owner) step(number uint64) error {
	if number < o.number {
		return fmt.Errorf("%w: call %d came after %d", plane.ErrStale, number, o.number)
	}
	o.number = number
	return nil
}

// closing notes that a lease closes a peer; false when there is nothing of its to close.
func (r *register) closing(l *lease, id plane.PeerID, number uint64) (bool, error) {
	switch o := r.peers[id]; {
	case o == nil:
		l.closed.add(string(id), number)
		return false, nil
	case o.lease != l:
		return false, fmt.Errorf("%w: %s was adopted", plane.ErrNoPeer, id)
	default:
		return true, o.step(number)
	}
}

// closed forgets a peer that was closed.
func (r *register) closed(id plane.PeerID) {
	o := r.peers[id]
	if o == nil {
		return
	}
	delete(r.peers, id)
	delete(o.lease.peers, id)
	o.lease.closed.add(string(id), o.number)
}

// adopt makes a peer the lease's.
func (r *register) adopt(l *lease, id plane.PeerID, epoch, number uint64) error {
	o := r.peers[id]
	switch {
	case o == nil:
		return fmt.Errorf("%w: %s", plane.ErrNoPeer, id)
	case epoch < o.epoch || epoch == o.epoch && o.lease != l:
		return fmt.Errorf("%w: epoch %d, %d adopted it", plane.ErrStale, epoch, o.epoch)
	case o.lease != l && l.node != "" && len(l.peers) >= r.maxPeers:
		return fmt.Errorf("%w: %d peers of one node", plane.ErrOverloaded, len(l.peers))
	}
	if o.lease != l {
		delete(o.lease.peers, id)
		l.peers[id] = struct{}{}
		o.lease, o.number = l, 0
	}
	o.epoch = epoch
	return o.step(number)
}

// forward notes that a forwarder is the lease's, whosever it was.
func (r *register) forward(l *lease, id string, number uint64) error {
	was := r.forwarders[id]
	switch {
	case l.closed.late("forwarder "+id, number):
		return fmt.Errorf("%w: forwarder %s was stopped since", plane.ErrStale, id)
	case was != l && l.node != "" && len(l.forwarders) >= maxForwarders:
		return fmt.Errorf("%w: %d forwarders of one node", plane.ErrOverloaded, len(l.forwarders))
	case was != nil:
		delete(was.forwarders, id)
	}
	r.forwarders[id] = l
	l.forwarders[id] = struct{}{}
	return nil
}

// stopForward forgets a forwarder; false if it is another's.
func (r *register) stopForward(l *lease, id string, number uint64) bool {
	l.closed.add("forwarder "+id, number)
	was := r.forwarders[id]
	if was != nil && was != l {
		return false
	}
	delete(r.forwarders, id)
	delete(l.forwarders, id)
	return true
}

// sweep ends the leases whose holders are gone and returns what they leave behind.
func (r *register) sweep(now time.Time) (peers []plane.PeerID, forwarders []string) {
	for n, l := range r.leases {
		if l.alive(now, r.grace) {
			continue
		}
		for id := range l.peers {
			peers = append(peers, id)
			delete(r.peers, id)
		}
		for id := range l.forwarders {
			forwarders = append(forwarders, id)
			delete(r.forwarders, id)
		}
		delete(r.leases, n)
	}
	return peers, forwarders
}

// graves are the names of what was closed lately, and the number of the call that did it: a call to open it that was made
// before and comes after opens nothing. The zero value is ready.
type graves struct {
	numbers map[string]uint64
	names   []string // the oldest first
}

func (g *graves) add(name string, number uint64) {
	if g.numbers == nil {
		g.numbers = make(map[string]uint64)
	}
	if _, there := g.numbers[name]; !there {
		if len(g.names) >= maxClosed {
			for _, old := range g.names[:maxClosed/2] {
				delete(g.numbers, old)
			}
			g.names = slices.Delete(g.names, 0, maxClosed/2)
		}
		g.names = append(g.names, name)
	}
	g.numbers[name] = max(g.numbers[name], number)
}

// late tells whether a call of that number was made before the thing was closed.
func (g *graves) late(name string, number uint64) bool {
	closed, there := g.numbers[name]
	return there && number < closed
}
