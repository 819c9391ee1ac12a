package member

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"cardea/relay/link/wire"
)

const (
	gossipKey   = 32 // bytes: AES-256
	maxRingKeys = 4
	// oldKeyLife is how long the old key can still be read after a rotation, for messages under way.
	oldKeyLife = time.Minute
)

// ErrRotating says that the keys are being rotated already.
var ErrRotating = errors.New("a rotation of the gossip keys is under way")

// phase says how far a rotation is.
type phase uint8

const (
	settled   phase = iota // one key
	spreading              // Keys[1] is to become the first as soon as everybody has it
	switched               // Keys[0] encrypts; the others are still read
)

// ring is the gossip keys: the first encrypts, all decrypt. The one with the higher serial is the newer one.
type ring struct {
	Serial uint64   `pb:"1"`
	Phase  phase    `pb:"2"`
	Issued int64    `pb:"3"` // Unix time, seconds
	Keys   [][]byte `pb:"4"`
	// Without are the ids of expelled nodes that the newest key was never given to.
	Without [][]byte `pb:"5"`
}

// signedRing is a ring as it travels and is kept.
type signedRing struct {
	Ring      []byte `pb:"1"`
	Signature []byte `pb:"2"`
}

func newGossipKey() ([]byte, error) {
	key := make([]byte, gossipKey)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make a gossip key: %w", err)
	}
	return key, nil
}

// newRing makes a cluster's first ring.
func newRing(now time.Time) (ring, error) {
	key, err := newGossipKey()
	return ring{Serial: 1, Issued: now.Unix(), Keys: [][]byte{key}}, err
}

// rotate begins a rotation to a new key.
func (r ring) rotate(key []byte, now time.Time) (ring, error) {
	if r.Phase != settled {
		return r, ErrRotating
	}
	return ring{Serial: r.Serial + 1, Phase: spreading, Issued: now.Unix(), Keys: [][]byte{r.Keys[0], key}, Without: r.Without}, nil
}

// withhold begins a rotation to a key that some nodes are not given, in place of one that may be under way.
func (r ring) withhold(key []byte, from [][]byte, now time.Time) ring {
	n := ring{Serial: r.Serial + 1, Phase: spreading, Issued: now.Unix(), Keys: [][]byte{r.Keys[0], key}, Without: from}
	if r.Phase == switched { // somebody may write with these yet
		n.Keys = append(n.Keys, r.Keys[1:min(len(r.Keys), maxRingKeys-1)]...)
	}
	return n
}

// withheld tells whether the newest key was kept from all of these nodes.
func (r ring) withheld(from [][]byte) bool {
	return !slices.ContainsFunc(from, func(id []byte) bool {
		return !slices.ContainsFunc(r.Without, func(o []byte) bool { return bytes.Equal(o, id) })
	})
}

// next returns the ring that follows in a rotation, if it is time. agreed says that every live node has r; oldKey is how long the old key is
// still read.
func (r ring) next(agreed bool, oldKey time.Duration, now time.Time) (ring, bool) {
	n := ring{Serial: r.Serial + 1, Issued: now.Unix(), Without: r.Without}
	switch {
	case !agreed:
		return r, false
	case r.Phase == spreading:
		n.Phase, n.Keys = switched, [][]byte{r.Keys[1], r.Keys[0]}
	case r.Phase == switched && now.Sub(time.Unix(r.Issued, 0)) >= oldKey:
		n.Phase, n.Keys = settled, r.Keys[:1]
	default:
		return r, false
	}
	return n, true
}

func ringContent(cluster string, body []byte) []byte {
	return slices.Concat([]byte("cardea gossip keys\n"+cluster+"\n"), body)
}

// sign returns the ring in the form that members accept.
func (r ring) sign(a *authority) ([]byte, error) {
	if a.key == nil {
		return nil, errNoAuthority
	}
	body := wire.Marshal(&r)
	return wire.Marshal(&signedRing{body, ed25519.Sign(a.key, ringContent(a.cluster(), body))}), nil
}

// parseRing reads a ring and checks that it is the authority's.
func parseRing(b []byte, a *authority) (ring, error) {
	var s signedRing
	var r ring
	if err := wire.Unmarshal(b, &s); err != nil {
		return r, fmt.Errorf("gossip keys: %w", err)
	}
	if !ed25519.Verify(a.public(), ringContent(a.cluster(), s.Ring), s.Signature) {
		return r, errors.New("gossip keys: not signed by the authority")
	}
	if err := wire.Unmarshal(s.Ring, &r); err != nil {
		return r, fmt.Errorf("gossip keys: %w", err)
	}
	return r, r.check()
}

func (r ring) check() error {
	if len(r.Without) > maxExpulsions {
		return errors.New("gossip keys: kept from too many")
	}
	if len(r.Keys) == 0 || len(r.Keys) > maxRingKeys || r.Phase == spreading && len(r.Keys) < 2 {
		return errors.New("gossip keys: too many or too few")
	}
	for i, k := range r.Keys {
		if len(k) != gossipKey || slices.ContainsFunc(r.Keys[:i], func(o []byte) bool { return bytes.Equal(o, k) }) {
			return errors.New("gossip keys: not proper keys")
		}
	}
	return nil
}
