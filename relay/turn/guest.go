package turn

import (
	"net/netip"
	"time"
)

// guests is the user that all who hold credentials of the guests' secret are: their quota is one. Should somebody with a
// shared secret take that name, it has fewer rights than any other.
const guests = "\x00guests"

// SetGuestSecrets replaces the secrets beside [Config].GuestSecret that mint credentials of guests: those that several nodes share, so
// that one may mint for another. Without GuestSecret there are no guests, and it does nothing.
func (s *Server) SetGuestSecrets(secrets []string) {
	if s.cfg.GuestSecret == "" {
		return
	}
	all := append([]string{s.cfg.GuestSecret}, secrets...)
	s.guests.Store(&all)
}

// guestKeys returns the keys of which any may have signed a guest's request of that user name at that time; none when there are no
// guests or the name has expired.
func (s *Server) guestKeys(username string, now time.Time) (keys [][]byte) {
	secrets := s.guests.Load()
	if secrets == nil || len(username) > maxUsername {
		return nil
	}
	expiry, _, ok := parseREST(username)
	if !ok || expiry < now.Unix() {
		return nil
	}
	for _, secret := range *secrets {
		keys = append(keys, longTermKey(username, s.cfg.Realm, restPassword(secret, username)))
	}
	return keys
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
