package member

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cardea/relay/link"
)

// InvitationPrefix begins the text of every invitation. No host name has an underscore.
const InvitationPrefix = "cardea_"

// Bounds of what may be asked for in an invitation.
const (
	MaxInvitationTTL  = 30 * 24 * time.Hour
	MaxInvitationUses = 255
)

const (
	invitationVersion   = 1
	invitationKey       = 16 // bytes
	invitationAddresses = 4
	invitationAuthority = 1 // flag
)

var errInvitation = errors.New("not a proper invitation")

// invitation is what a new node needs in order to be admitted. Its text is base64url, after the prefix, of
//
//	version(1) flags(1) uses(1) expiry(4, Unix seconds) fingerprint(32) issuer(10)
//	count(1) { length(1) address(4 or 16) port(2) }     these are the claims
//	signature(64) of the claims and the key's SHA-256   by the authority
//	key(16)                                             the secret
//
// all numbers big-endian.
type invitation struct {
	Authority   bool // whoever is admitted gets the authority's key
	Uses        uint8
	Expires     time.Time
	Fingerprint fingerprint
	Issuer      link.NodeID // the only one that can redeem it
	Addresses   []netip.AddrPort
	Signature   [ed25519.SignatureSize]byte
	Key         [invitationKey]byte
}

// newInvitation makes an invitation and signs it.
func newInvitation(a *authority, inv invitation) (invitation, error) {
	if a.key == nil {
		return inv, errNoAuthority
	}
	if _, err := rawID(inv.Issuer); err != nil {
		return inv, err
	}
	inv.Addresses = slices.Clone(inv.Addresses[:min(len(inv.Addresses), invitationAddresses)])
	inv.Fingerprint = a.fingerprint()
	inv.Expires = time.Unix(inv.Expires.Unix(), 0)
	if _, err := rand.Read(inv.Key[:]); err != nil {
		return inv, fmt.Errorf("make an invitation: %w", err)
	}
	copy(inv.Signature[:], ed25519.Sign(a.key, invitationContent(inv.claims(), inv.hash())))
	return inv, nil
}

// hash is what the issuer keeps, and what other members are shown, instead of the key.
func (inv invitation) hash() [sha256.Size]byte { return sha256.Sum256(inv.Key[:]) }

func invitationContent(claims []byte, hash [sha256.Size]byte) []byte {
	return slices.Concat([]byte("cardea invitation\n"), claims, hash[:])
}

func (inv invitation) claims() []byte {
	flags := byte(0)
	if inv.Authority {
		flags |= invitationAuthority
	}
	b := []byte{invitationVersion, flags, inv.Uses}
	b = binary.BigEndian.AppendUint32(b, uint32(inv.Expires.Unix())) //nolint:gosec // until 2106
	b = append(b, inv.Fingerprint[:]...)
	issuer, _ := rawID(inv.Issuer) // checked when it was made
	b = append(b, issuer[:]...)
	b = append(b, byte(len(inv.Addresses)))
	for _, a := range inv.Addresses {
		ip := a.Addr().AsSlice()
		b = append(b, byte(len(ip)))
		b = append(b, ip...)
		b = binary.BigEndian.AppendUint16(b, a.Port())
	}
	return b
}

// text returns the invitation as people pass it on.
func (inv invitation) text() string {
	return InvitationPrefix + base64.RawURLEncoding.EncodeToString(slices.Concat(inv.claims(), inv.Signature[:], inv.Key[:]))
}

// parseInvitation reads an invitation's text. The signature is not checked: that takes the authority's certificate.
func parseInvitation(text string) (invitation, error) {
	encoded, ok := strings.CutPrefix(text, InvitationPrefix)
	if !ok {
		return invitation{}, fmt.Errorf("%w: it does not begin with %s", errInvitation, InvitationPrefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") { // which the decoder would skip
		return invitation{}, fmt.Errorf("%w: it is not whole", errInvitation)
	}
	inv, rest, err := parseClaims(b)
	if err != nil {
		return invitation{}, err
	}
	if len(rest) != len(inv.Signature)+len(inv.Key) {
		return invitation{}, fmt.Errorf("%w: it is not whole", errInvitation)
	}
	copy(inv.Key[:], rest[copy(inv.Signature[:], rest):])
	return inv, nil
}

// parseClaims reads the part of an invitation that is not secret, and returns what follows it.
func parseClaims(b []byte) (inv invitation, rest []byte, err error) {
	const fixed = 3 + 4 + sha256.Size + idBytes + 1
	if len(b) < fixed {
		return inv, nil, fmt.Errorf("%w: it is not whole", errInvitation)
	}
	if b[0] != invitationVersion {
		return inv, nil, fmt.Errorf("%w: version %d is not known here", errInvitation, b[0])
	}
	if b[1]&^invitationAuthority != 0 || b[2] == 0 {
		return inv, nil, errInvitation
	}
	inv.Authority, inv.Uses = b[1]&invitationAuthority != 0, b[2]
	inv.Expires = time.Unix(int64(binary.BigEndian.Uint32(b[3:])), 0)
	b = b[7:]
	b = b[copy(inv.Fingerprint[:], b):]
	inv.Issuer = idFrom(b[:idBytes])
	n, b := int(b[idBytes]), b[idBytes+1:]
	if n > invitationAddresses {
		return inv, nil, errInvitation
	}
	for range n {
		if len(b) == 0 || len(b) < 1+int(b[0])+2 {
			return inv, nil, fmt.Errorf("%w: it is not whole", errInvitation)
		}
		length := 1 + int(b[0])
		ip, ok := netip.AddrFromSlice(b[1:length])
		if !ok || ip.Is4In6() {
			return inv, nil, errInvitation
		}
		inv.Addresses = append(inv.Addresses, netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[length:])))
		b = b[length+2:]
	}
	return inv, b, nil
}

// genuine tells whether claims and the hash of a key are the authority's.
func genuine(a *authority, claims []byte, hash [sha256.Size]byte, signature []byte) bool {
	return ed25519.Verify(a.public(), invitationContent(claims, hash), signature)
}
