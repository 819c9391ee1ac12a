package member

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

const (
	// expulsionLife is how long an expulsion is kept: the last certificate that the expelled could hold is over then, even if a holder of the
	// authority's key that was cut off renewed it until its own certificate ended.
	expulsionLife = 2*certificateLife + clockSkew
	// maxExpulsions bounds how many are known at a time. Half of them can be ordered; the rest is for those ordered at several nodes at once.
	maxExpulsions = 256
	// maxExpulsionSize bounds one of them, bytes.
	maxExpulsionSize = 256
)

var (
	// ErrExpelled says that a node is no member any more, whatever its certificate says.
	ErrExpelled = errors.New("expelled from the cluster")

	errExpulsion      = errors.New("not a proper expulsion")
	errExpulsionOver  = errors.New("the expulsion is over, or not of this time")
	errManyExpulsions = errors.New("too many nodes were expelled of late: the oldest expulsions have to end first")
)

// expulsion says that a node is no member any more. Numbers are never reused; what is unknown is skipped.
type expulsion struct {
	Node   []byte `pb:"1"` // id
	Issued int64  `pb:"2"` // Unix time, seconds
}

// signedExpulsion is an expulsion as it travels and is kept.
type signedExpulsion struct {
	Expulsion []byte `pb:"1"`
	Signature []byte `pb:"2"` // the authority's
}

// expelled is an expulsion that was checked.
type expelled struct {
	id     link.NodeID
	issued time.Time
	raw    []byte
}

func expulsionContent(cluster string, body []byte) []byte {
	return slices.Concat([]byte("cardea expulsion\n"+cluster+"\n"), body)
}

// newExpulsion expels a node, in the form that members accept.
func newExpulsion(a *authority, id link.NodeID, now time.Time) ([]byte, error) {
	if a.key == nil {
		return nil, errNoAuthority
	}
	raw, err := rawID(id)
	if err != nil {
		return nil, err
	}
	body := wire.Marshal(&expulsion{raw[:], now.Unix()})
	return wire.Marshal(&signedExpulsion{body, ed25519.Sign(a.key, expulsionContent(a.cluster(), body))}), nil
}

// parseExpulsion reads an expulsion and checks that it is the authority's, and in force.
func parseExpulsion(b []byte, a *authority, now time.Time) (expelled, error) {
	var s signedExpulsion
	var e expulsion
	if len(b) > maxExpulsionSize || wire.Unmarshal(b, &s) != nil {
		return expelled{}, errExpulsion
	}
	if !ed25519.Verify(a.public(), expulsionContent(a.cluster(), s.Expulsion), s.Signature) {
		return expelled{}, fmt.Errorf("%w: not signed by the authority", errExpulsion)
	}
	if wire.Unmarshal(s.Expulsion, &e) != nil || len(e.Node) != idBytes {
		return expelled{}, errExpulsion
	}
	x := expelled{idFrom(e.Node), time.Unix(e.Issued, 0), bytes.Clone(b)}
	if x.over(now) || x.issued.After(now.Add(clockSkew)) {
		return expelled{}, errExpulsionOver
	}
	return x, nil
}

func (x expelled) over(now time.Time) bool { return !now.Before(x.issued.Add(expulsionLife)) }

// expulsions are those in force. The zero value has none. It is safe for concurrent use.
type expulsions struct {
	mu    sync.RWMutex
	byID  map[link.NodeID]expelled
	fresh []link.NodeID // taken, and not carried out yet
}

// has tells whether a node was expelled.
func (e *expulsions) has(id link.NodeID) bool { return e.of(id) != nil }

// of returns a node's expulsion as it travels, nil if there is none.
func (e *expulsions) of(id link.NodeID) []byte {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.byID[id].raw
}

// take keeps an expulsion that is in force; of a node's, the latest. fresh says that the node was not known to be expelled; unless quiet,
// [expulsions.news] has it, too.
func (e *expulsions) take(raw []byte, a *authority, quiet bool, now time.Time) (fresh bool, err error) {
	if e.known(raw) { // most are told again and again, and a signature is dear
		return false, nil
	}
	x, err := parseExpulsion(raw, a, now)
	if err != nil {
		return false, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old, known := e.byID[x.id]
	switch {
	case known && !x.issued.After(old.issued):
		return false, nil
	case !known && len(e.byID) >= maxExpulsions:
		return false, errManyExpulsions
	case e.byID == nil:
		e.byID = map[link.NodeID]expelled{}
	}
	e.byID[x.id] = x
	if !known && !quiet {
		e.fresh = append(e.fresh, x.id)
	}
	return !known, nil
}

// known tells whether an expulsion is in force as it is.
func (e *expulsions) known(raw []byte) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, x := range e.byID {
		if bytes.Equal(x.raw, raw) {
			return true
		}
	}
	return false
}

// news returns those that were taken since it was called last.
func (e *expulsions) news() []link.NodeID {
	e.mu.Lock()
	defer e.mu.Unlock()
	fresh := e.fresh
	e.fresh = nil
	return fresh
}

// expire forgets those that are over, and tells whether there were any.
func (e *expulsions) expire(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := len(e.byID)
	maps.DeleteFunc(e.byID, func(_ link.NodeID, x expelled) bool { return x.over(now) })
	return len(e.byID) < before
}

// sorted returns all, by id.
func (e *expulsions) sorted() []expelled {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return slices.SortedFunc(maps.Values(e.byID), func(a, b expelled) int { return cmp.Compare(a.id, b.id) })
}

// all returns them as they travel.
func (e *expulsions) all() [][]byte {
	var raw [][]byte
	for _, x := range e.sorted() {
		raw = append(raw, x.raw)
	}
	return raw
}

// ids returns whose they are, as a [ring] names them.
func (e *expulsions) ids() [][]byte {
	var ids [][]byte
	for _, x := range e.sorted() {
		id, _ := rawID(x.id) // made of one
		ids = append(ids, id[:])
	}
	return ids
}
