package turn

import (
	"net/netip"
	"time"
)

// guests is the user that all who hold credentials of the guests' secret are: their quota is one. Should somebody with a
// shared secret take that name, it has fewer rights than any other.
const guests = "\x00guests"

// guestKey returns the key of a guest's user name at that time, nil when there are no guests or the name has expired.
func (s *Server) guestKey(username string, now time.Time) []byte {
	secret := s.cfg.GuestSecret
	if secret == "" || len(username) > maxUsername {
		return nil
	}
	expiry, _, ok := parseREST(username)
	if !ok || expiry < now.Unix() {
		return nil
	}
	return longTermKey(username, s.cfg.Realm, restPassword(secret, username))
}

// policyOf returns what decides whom a user may reach.
func (s *Server) policyOf(user string) *policy {
	if user == guests {
		return s.guestPolicy.Load()
	}
	return s.policy.Load()
}

// newGuestPolicy permits the mesh's media addresses and nothing else, whatever the configuration allows to users.
func newGuestPolicy(mesh []netip.AddrPort) *policy {
	p := newPolicy(mesh, nil, nil, nil)
	p.meshOnly = true
	return p
}
