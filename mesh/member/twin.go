package member

import (
	"context"
	"time"
)

// twin hears from another process with this node's identity: the one that began later ends.
func (c *Cluster) twin(instance uint64, started time.Time) {
	if instance == c.instance || younger(instance, started, c.instance, c.started) {
		return // itself, or the other one will notice
	}
	select {
	case c.fatal <- ErrTwin:
	default:
	}
}

// younger tells whether process a began after b.
func younger(a uint64, aStarted time.Time, b uint64, bStarted time.Time) bool {
	if aStarted.Equal(bStarted) {
		return a > b
	}
	return aStarted.After(bStarted)
}

// suspectTwin looks into news of this node's id at another address: it may be old news of itself, or another process.
func (c *Cluster) suspectTwin(raw []byte) {
	d, err := parseMetadata(raw, c.member().authority, c.now())
	if err != nil || d.ID != c.id {
		return
	}
	c.jobs.start("twin", func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		r, err := c.ask(ctx, d.Links, c.id, &request{Meet: &meetRequest{c.instance, c.started.UnixNano()}})
		if err != nil || r.Meet == nil {
			c.log.Debug("no other process with this node's identity answers", "addresses", d.Links, "error", err)
			return
		}
		c.twin(r.Meet.Instance, time.Unix(0, r.Meet.Started))
	})
}
