package member

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// The admission protocol: TLS 1.3 over TCP, one request and one reply a connection, each a length (4 bytes, big-endian) and
// a message. The name that the client asks for in TLS is the cluster's id; without it the server says nothing. Join and
// Carry are for everybody, the others for members.
const (
	admissionALPN = "cardea-admission/1"
	maxRequest    = 16 << 10
	maxReply      = 64 << 10
	maxReplyPeers = 32
)

// request has one field set.
type request struct {
	Join    *joinRequest    `pb:"1"`
	Carry   *carryRequest   `pb:"2"`
	Carried *carriedRequest `pb:"3"`
	Meet    *meetRequest    `pb:"4"`
	Renew   *renewRequest   `pb:"5"`
	Invite  *inviteRequest  `pb:"6"`
	Rotate  *rotateRequest  `pb:"7"`
	Expel   *expelRequest   `pb:"8"`
}

// joinRequest redeems an invitation. It goes to its issuer only.
type joinRequest struct {
	Key []byte `pb:"1"`
	CSR []byte `pb:"2"` // PKCS #10, DER: whose key is to be certified, and that the asker has it
}

// carryRequest asks a member to carry what follows to the issuer of an invitation.
type carryRequest struct {
	Claims    []byte `pb:"1"`
	Hash      []byte `pb:"2"` // of the invitation's key
	Signature []byte `pb:"3"`
}

// carriedRequest says that a stranger's TLS session with the issuer of an invitation follows.
type carriedRequest struct{}

// meetRequest asks for what a member needs that was away, and tells who calls.
type meetRequest struct {
	Instance uint64 `pb:"1"` // random for each start of a process
	Started  int64  `pb:"2"` // Unix time, nanoseconds
}

// renewRequest asks for a new certificate. It proves itself, so it may pass through any member.
type renewRequest struct {
	Certificate []byte `pb:"1"` // the one that it replaces
	CSR         []byte `pb:"2"` // of the same key
}

// inviteRequest asks a holder of the authority's key for an invitation.
type inviteRequest struct {
	TTL  time.Duration `pb:"1"`
	Uses uint8         `pb:"2"`
}

// rotateRequest asks a holder of the authority's key for new gossip keys.
type rotateRequest struct{}

// expelRequest asks a holder of the authority's key to expel a node.
type expelRequest struct {
	Node string `pb:"1"`
}

// replyCode is how a request went.
type replyCode uint8

const (
	done    replyCode = iota
	refused           // whatever the reason
	failed            // Text tells a member why
)

type reply struct {
	Code   replyCode    `pb:"1"`
	Text   string       `pb:"2"`
	Join   *joinReply   `pb:"3"`
	Meet   *meetReply   `pb:"4"`
	Issued *issued      `pb:"5"`
	Invite *inviteReply `pb:"6"`
	Serial uint64       `pb:"7"` // of the gossip keys that a rotation began
	// Expulsions go with all gossip keys, so that whoever has those knows whom not to give them to. One who was expelled gets its own.
	Expulsions [][]byte `pb:"8"`
}

// issued is a member's new credentials.
type issued struct {
	Certificate []byte `pb:"1"`
	Pass        pass   `pb:"2"`
}

type joinReply struct {
	Issued       issued       `pb:"1"`
	Authority    []byte       `pb:"2"` // certificate
	AuthorityKey []byte       `pb:"3"` // PKCS #8, if the invitation said so
	Ring         []byte       `pb:"4"`
	Peers        []peerRecord `pb:"5"`
}

type meetReply struct {
	ID       string       `pb:"1"`
	Instance uint64       `pb:"2"`
	Started  int64        `pb:"3"`
	Ring     []byte       `pb:"4"`
	Sequence uint64       `pb:"5"` // of the caller's metadata that is known
	Peers    []peerRecord `pb:"6"` // the first is the one that answers
}

type inviteReply struct {
	Text string `pb:"1"`
}

// peerRecord is where a node is.
type peerRecord struct {
	ID     string   `pb:"1"`
	Links  [][]byte `pb:"2"`
	Gossip [][]byte `pb:"3"`
}

func recordOf(id link.NodeID, links, gossip []netip.AddrPort) peerRecord {
	return peerRecord{string(id), packAddresses(links), packAddresses(gossip)}
}

// peer is the inverse of recordOf.
func (r peerRecord) peer() (peer, error) {
	id := link.NodeID(r.ID)
	p := peer{ID: id, Links: parseAddresses(r.Links), Gossip: parseAddresses(r.Gossip)}
	if _, err := rawID(id); err != nil {
		return p, err
	}
	if len(p.Links) == 0 || len(p.Gossip) == 0 {
		return p, fmt.Errorf("%s has no proper addresses", id)
	}
	return p, nil
}

func packAddresses(all []netip.AddrPort) [][]byte {
	var packed [][]byte
	for _, a := range cut(all) {
		packed = append(packed, binary.BigEndian.AppendUint16(a.Addr().Unmap().WithZone("").AsSlice(), a.Port()))
	}
	return packed
}

func parseAddresses(packed [][]byte) []netip.AddrPort {
	var all []netip.AddrPort
	for _, b := range packed {
		if len(all) == maxAddresses || len(b) < 2 {
			break
		}
		ip, ok := netip.AddrFromSlice(b[:len(b)-2])
		port := binary.BigEndian.Uint16(b[len(b)-2:])
		if ip = ip.Unmap(); ok && port != 0 && !ip.IsUnspecified() && !ip.IsMulticast() {
			all = append(all, netip.AddrPortFrom(ip, port))
		}
	}
	return all
}

func writeMessage(w io.Writer, m any) error {
	b := wire.Append(make([]byte, 4), m)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4)) //nolint:gosec // bounded by the reader
	_, err := w.Write(b)
	return err
}

var errLong = errors.New("message too long")

func readMessage(r io.Reader, most int, m any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(most) { //nolint:gosec // a constant
		return errLong
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return wire.Unmarshal(b, m)
}

// hashOf returns b as a hash.
func hashOf(b []byte) (h [sha256.Size]byte, ok bool) {
	if len(b) != len(h) {
		return h, false
	}
	copy(h[:], b)
	return h, true
}
