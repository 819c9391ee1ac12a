package node

import (
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"cardea/geo"
	"cardea/relay/turn"
)

// guestSecrets are the secrets of the TURN servers' guests that all nodes share: any node mints credentials for any other. They follow
// from the gossip keys. Those of former keys stay for as long as there are credentials by them.
type guestSecrets struct {
	mu    sync.Mutex
	mints string               // by which new credentials are made; empty: none yet
	until map[string]time.Time // when the last credentials by a secret are over
}

// set says which secrets are in force, the first of which all nodes have.
func (g *guestSecrets) set(secrets [][]byte, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until == nil {
		g.until = make(map[string]time.Time)
	}
	for i, s := range secrets {
		text := hex.EncodeToString(s)
		if i == 0 {
			g.mints = text
		}
		// Others go on minting by it until they know better.
		g.until[text] = now.Add(geo.CredentialsTTL + 2*lookInterval)
	}
	for text, until := range g.until {
		if until.Before(now) {
			delete(g.until, text)
		}
	}
}

// valid returns the secrets of which there may be credentials.
func (g *guestSecrets) valid() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]string, 0, len(g.until))
	for text := range g.until {
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// mint makes credentials for a guest of any node.
func (g *guestSecrets) mint(now time.Time) (user, password string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mints == "" {
		return "", ""
	}
	return turn.Credentials(g.mints, "nearest", geo.CredentialsTTL, now)
}
