package member

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"cardea/relay/link"
)

// Node is what every node knows of a node.
type Node struct {
	ID         link.NodeID
	Name       string
	Region     string
	Version    string
	State      State
	Planes     Planes
	Authority  bool             // it holds the authority's key: it can admit nodes
	Load       float64          // 0 to 1, of what it takes; in steps of a hundredth
	Links      []netip.AddrPort // where links (UDP) and admissions (TCP) reach it, best first
	Gossip     []netip.AddrPort // the first is in use
	Coordinate *coordinate.Coordinate
	Started    time.Time // by the node's own clock
	Latitude   float64   // degrees, north positive, to a hundredth; with the longitude 0 where that is not known
	Longitude  float64   // degrees, east positive
	Capacity   int       // how many clients it is meant for; 0: it does not say
	Doors      Doors     // where clients reach it
}

// State says whether a node takes new work.
type State uint8

// States of a node. Others may come: what is not Ready takes no new work.
const (
	Ready State = iota
	Draining
)

// String returns the state in one word.
func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Draining:
		return "draining"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Planes is the set of roles that a node has.
type Planes uint8

// Roles of a node.
const (
	Signaling Planes = 1 << iota
	Media
	TURN
)

// Names returns the roles as the option --planes takes them.
func (p Planes) Names() []string {
	var names []string
	for _, n := range []struct {
		plane Planes
		name  string
	}{{Signaling, "signaling"}, {Media, "media"}, {TURN, "turn"}} {
		if p&n.plane != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// String returns the roles joined by commas.
func (p Planes) String() string { return strings.Join(p.Names(), ",") }

// idBytes is how many bytes of the hash of a public key an id has.
const idBytes = 10

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// idOf returns the id that belongs to a public key.
func idOf(key ed25519.PublicKey) link.NodeID {
	sum := sha256.Sum256(key)
	return idFrom(sum[:idBytes])
}

func idFrom(raw []byte) link.NodeID { return link.NodeID(idEncoding.EncodeToString(raw)) }

// IsID tells whether text is a node's id, whole.
func IsID(text string) bool {
	_, err := rawID(link.NodeID(text))
	return err == nil
}

// rawID is the inverse of idFrom.
func rawID(id link.NodeID) ([idBytes]byte, error) {
	var raw [idBytes]byte
	b, err := idEncoding.DecodeString(string(id))
	if err != nil || len(b) != idBytes || idFrom(b) != id {
		return raw, fmt.Errorf("%.40q is not an id", string(id))
	}
	copy(raw[:], b)
	return raw, nil
}
