package ice

import "crypto/rand"

// Lengths of what [newCredentials] makes, in characters of 6 random bits each. RFC 8445 section 5.3 wants at least 24
// bits of ufrag and 128 of password; the ufrag is longer, so that it can be the key of a table of all peers.
const (
	ufragLen = 12
	pwdLen   = 24
)

// iceChars are the 64 characters a ufrag or password may consist of (RFC 8839 section 5.1).
const iceChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// credentials are a local ufrag and password, with the key made ready.
type credentials struct {
	ufrag, pwd string
	key        *Key
}

func newCredentials() credentials {
	var b [ufragLen + pwdLen]byte
	rand.Read(b[:]) // never fails
	for i := range b {
		b[i] = iceChars[b[i]&63]
	}
	pwd := string(b[ufragLen:])
	return credentials{ufrag: string(b[:ufragLen]), pwd: pwd, key: NewKey(pwd)}
}
