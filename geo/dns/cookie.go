package dns

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"time"

	wire "github.com/miekg/dns"
)

// A cookie is 8 bytes of the client's and, in all but its first question, what the server gave it for these (RFC 7873). This server
// gives 16 bytes, laid out as RFC 9018 says:
//
//	1 byte    version, 1
//	3 bytes   0
//	4 bytes   when it was made, seconds since 1970, the low 32 bits
//	8 bytes   the first of an HMAC-SHA256 over the client's half, the above and the client's address
const (
	clientCookie = 8
	serverCookie = 16
	maxCookie    = 40 // that any server gives, both halves
	macAt        = clientCookie + 8

	cookieVersion = 1
	// How old a cookie may be, and how far ahead of the clock.
	cookieAge   = time.Hour
	cookieAhead = 5 * time.Minute
)

// cookies makes and knows cookies. Only this process can: after its next start clients get new ones.
type cookies struct{ key [sha256.Size]byte }

func newCookies() *cookies {
	c := new(cookies)
	_, _ = rand.Read(c.key[:]) // it never fails
	return c
}

// cookieOf returns the cookie of a question, nil without one; false if no client sends such.
func cookieOf(opt *wire.OPT) (cookie []byte, ok bool) {
	if opt == nil {
		return nil, true
	}
	for _, o := range opt.Option {
		if o, is := o.(*wire.EDNS0_COOKIE); is {
			cookie, err := hex.DecodeString(o.Cookie)
			n := len(cookie)
			return cookie, err == nil && (n == clientCookie || n >= clientCookie+8 && n <= maxCookie)
		}
	}
	return nil, true
}

// give returns the cookie for an answer to a client that sent one.
func (c *cookies) give(cookie []byte, to netip.Addr, now time.Time) *wire.EDNS0_COOKIE {
	b := make([]byte, clientCookie+serverCookie)
	copy(b, cookie[:clientCookie])
	b[clientCookie] = cookieVersion
	binary.BigEndian.PutUint32(b[clientCookie+4:], uint32(now.Unix())) //nolint:gosec // the low bits
	copy(b[macAt:], c.mac(b, to))
	return &wire.EDNS0_COOKIE{Code: wire.EDNS0COOKIE, Cookie: hex.EncodeToString(b)}
}

// mac returns what proves that a cookie, up to there, was given to an address.
func (c *cookies) mac(cookie []byte, to netip.Addr) []byte {
	h := hmac.New(sha256.New, c.key[:])
	a := to.As16() // IPv4 as it is in IPv6
	_, _ = h.Write(cookie[:macAt])
	_, _ = h.Write(a[:])
	return h.Sum(nil)[:serverCookie-8]
}

// cookieOption is how a cookie of this server begins in a question (RFC 6891): its option's code and length.
var cookieOption = []byte{0, wire.EDNS0COOKIE, 0, clientCookie + serverCookie}

// knows tells whether a question has a cookie that was given to its source, which then is not forged. A flood of questions must not
// cost their parsing, so that it looks for the last that may be a cookie; nobody else can have made one that fits.
func (c *cookies) knows(packet []byte, from netip.Addr, now time.Time) bool {
	i := bytes.LastIndex(packet, cookieOption)
	if i < 0 || len(packet)-i < len(cookieOption)+clientCookie+serverCookie {
		return false
	}
	cookie := packet[i+len(cookieOption):][:clientCookie+serverCookie]
	if cookie[clientCookie] != cookieVersion {
		return false
	}
	age := time.Duration(int32(uint32(now.Unix())-binary.BigEndian.Uint32(cookie[clientCookie+4:]))) * time.Second //nolint:gosec // modular
	return age >= -cookieAhead && age <= cookieAge && hmac.Equal(cookie[macAt:], c.mac(cookie, from))
}
