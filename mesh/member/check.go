package member

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"
)

// Check tells why [Open] would refuse a configuration by what its directory and its invitation are. It takes no lock, writes nothing and
// connects to nobody, so a node may run with the same directory meanwhile.
func Check(cfg Config) error {
	if cfg.Alone {
		return nil
	}
	inv, _, err := splitJoin(cfg.Join)
	if err != nil {
		return err
	}
	s := &storage{dir: cfg.Dir}
	b, err := s.read(keyFile)
	if err != nil {
		return err
	}
	public := make(ed25519.PublicKey, ed25519.PublicKeySize) // nobody's, as long as there is no key
	if b != nil {
		key, err := parseKey(b)
		if err != nil {
			return fmt.Errorf("%s: %w", cfg.Dir, err)
		}
		public = key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // of an Ed25519 key
	}
	var kept []peer
	_ = s.readJSON(peersFile, &kept) // others may find this node
	_, _, err = s.standing(public, inv, len(kept) > 0, time.Now())
	return err
}

// standing returns the membership that the node goes on with, with a new certificate if renewed; nil if it has none yet, or the invitation
// is to replace it. known says that it remembers other nodes of its cluster.
func (s *storage) standing(public ed25519.PublicKey, inv *invitation, known bool, now time.Time) (kept *membership, renewed bool, err error) {
	m, ok, err := s.membership()
	if err == nil && ok {
		err = m.credentials.check(m.authority, public, now)
		if err != nil && m.authority.key != nil && errors.Is(err, ErrStranger) { // out of date: the authority itself was off for long
			m.credentials, err = m.authority.issue(public, now)
			renewed = err == nil
		}
	}
	if err == nil && ok && s.outcast(m.authority, idOf(public), now) {
		err = fmt.Errorf("it was %w", ErrExpelled)
	}
	switch {
	case err != nil && inv == nil:
		return nil, false, fmt.Errorf("the membership in %s is not usable (a new invitation makes this node a member again): %w", s.dir, err)
	case ok && err == nil && (inv == nil || inv.Fingerprint == m.authority.fingerprint()):
		return &m, renewed, nil
	case ok && err == nil && known:
		return nil, false, fmt.Errorf("%w: it is in %s, and the invitation is to %s (remove %s to change that)",
			ErrOtherCluster, m.authority.cluster(), inv.cluster(), s.dir)
	}
	return nil, false, nil
}
