package member

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"cardea/relay/link"
)

const (
	// maxNodes bounds how many nodes one knows.
	maxNodes = 4096
	// remember is how long the number of a node's last metadata is kept when it is gone, so that old metadata cannot bring it back.
	remember = 2 * time.Minute
)

var (
	errStale  = errors.New("older metadata than is known")
	errCrowd  = errors.New("too many nodes")
	errNoHome = errors.New("at another address than it says itself")
)

// table is the nodes that gossip knows. It is safe for concurrent use; none of its methods waits.
type table struct {
	self      link.NodeID
	authority func() *authority
	now       func() time.Time
	refuses   func(link.NodeID) bool // whom nothing is to be known of; nil: nobody

	mu  sync.RWMutex
	all map[link.NodeID]*entry
}

// entry is one other node. Entries are replaced, never changed.
type entry struct {
	checked claim // what was admitted last; gossip may refuse it yet
	known   claim // what gossip has taken
	live    bool
	gone    time.Time
}

// claim is metadata that was checked.
type claim struct {
	raw []byte
	described
}

func newTable(self link.NodeID, a func() *authority, now func() time.Time) *table {
	return &table{self: self, authority: a, now: now, all: map[link.NodeID]*entry{}}
}

// admit checks news of a live node: name, address and metadata must fit each other, and not be older than what is known.
func (t *table) admit(name link.NodeID, at netip.AddrPort, raw []byte) error {
	if t.refuses != nil && t.refuses(name) {
		return ErrExpelled
	}
	t.mu.RLock()
	var e entry
	if p := t.all[name]; p != nil {
		e = *p
	}
	t.mu.RUnlock()
	for _, c := range []claim{e.known, e.checked} {
		if c.raw != nil && bytes.Equal(c.raw, raw) {
			return c.fits(name, at)
		}
	}
	d, err := parseMetadata(raw, t.authority(), t.now())
	if err != nil {
		return err
	}
	c := claim{bytes.Clone(raw), d}
	if err := c.fits(name, at); err != nil {
		return err
	}
	if name == t.self {
		return nil // whether it is old is decided by who reads it: this node
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := &entry{checked: c, gone: t.now()}
	if e := t.all[name]; e != nil {
		if e.known.sequence >= d.sequence {
			return errStale
		}
		n.known, n.live, n.gone = e.known, e.live, e.gone
	} else if len(t.all) >= maxNodes {
		if t.clean(); len(t.all) >= maxNodes {
			return errCrowd
		}
	}
	t.all[name] = n
	return nil
}

// fits tells whether metadata is that of a name and an address.
func (c claim) fits(name link.NodeID, at netip.AddrPort) error {
	if c.ID != name {
		return fmt.Errorf("metadata of %s under the name %.40q", c.ID, string(name))
	}
	if !slices.Contains(c.Gossip, at) {
		return errNoHome
	}
	return nil
}

// arrived notes that gossip has taken what was admitted of a node, and that the node is there; fresh says that it was not before.
func (t *table) arrived(name link.NodeID, raw []byte) (node Node, fresh, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.all[name]
	if e == nil || t.refuses != nil && t.refuses(name) { // expelled since it was admitted
		return Node{}, false, false
	}
	n := *e
	n.live = true
	if bytes.Equal(raw, e.checked.raw) {
		n.known = e.checked
	}
	t.all[name] = &n
	return n.known.Node, !e.live, n.known.raw != nil
}

// left notes that a node is gone.
func (t *table) left(name link.NodeID) (Node, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.all[name]
	if e == nil || !e.live {
		return Node{}, false
	}
	n := *e
	n.live, n.gone = false, t.now()
	t.all[name] = &n
	t.clean()
	return n.known.Node, true
}

// clean forgets who has been gone for long. The caller holds the lock.
func (t *table) clean() {
	for name, e := range t.all {
		if !e.live && t.now().Sub(e.gone) > remember {
			delete(t.all, name)
		}
	}
}

// sequence returns the number of the last metadata known of a node.
func (t *table) sequence(name link.NodeID) uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e := t.all[name]; e != nil {
		return e.known.sequence
	}
	return 0
}

// node returns a live node.
func (t *table) node(name link.NodeID) (Node, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e := t.all[name]; e != nil && e.live {
		return e.known.Node, true
	}
	return Node{}, false
}

// live returns the live nodes, sorted by id, with the serials of the gossip keys they have.
func (t *table) live() []described {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]described, 0, len(t.all)+1)
	for _, e := range t.all {
		if e.live {
			all = append(all, e.known.described)
		}
	}
	slices.SortFunc(all, func(a, b described) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// has tells whether a live node has an address.
func (t *table) has(ip netip.Addr) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, e := range t.all {
		if e.live && slices.ContainsFunc(e.known.Links, func(a netip.AddrPort) bool { return a.Addr() == ip }) {
			return true
		}
	}
	return false
}
