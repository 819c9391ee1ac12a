package node

import (
	"sync/atomic"

	"cardea/node/config"
	"cardea/node/console"
)

// access is who may see what the console keeps closed; it may be replaced while the console serves.
type access struct {
	now atomic.Pointer[console.Access]
}

func newAccess(c config.Console) *access {
	a := &access{}
	a.set(c)
	return a
}

func (a *access) set(c config.Console) {
	now := console.Access{Token: string(c.Token)}
	for _, p := range c.Allowed {
		now.Allowed = append(now.Allowed, p.Prefix)
	}
	a.now.Store(&now)
}

func (a *access) get() console.Access { return *a.now.Load() }
