package member

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// Secrets returns secrets for a purpose that all members find, and nobody else: one for each gossip key in force, the first of which
// all have. Those of former keys are gone: whoever used one for something that lasts longer keeps it.
func (c *Cluster) Secrets(purpose string) ([][]byte, error) {
	m := c.member()
	all := make([][]byte, 0, len(m.ring.Keys))
	for _, key := range m.ring.Keys {
		s, err := hkdf.Key(sha256.New, key, nil, "cardea "+m.authority.cluster()+" "+purpose, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive a secret: %w", err)
		}
		all = append(all, s)
	}
	return all, nil
}
