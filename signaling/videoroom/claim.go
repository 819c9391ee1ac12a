package videoroom

import (
	"context"
	"errors"
	"time"

	"cardea/signaling/janus"
)

// retryTime is how long it takes at least, as a rule, until the mesh knows that an id is free which another node gave up.
const retryTime = 50 * time.Millisecond

// claim is a chosen id that is reserved in the mesh for somebody who is about to join.
type claim struct {
	room *room // set once
	id   ID    // set once
	lost bool  // another node has it; guarded by the room's mutex
}

// claim reserves the id that a request to join chose, where there are other nodes. Ids that were not chosen are random, and
// need no claim. What can be refused without asking others is refused first.
func (s *session) claim(ctx context.Context, m *janus.Message) (*claim, error) {
	p := s.plugin
	if p.cfg.Mesh == nil || p.ids.absent(m.Body, "id") {
		return nil, nil
	}
	c := &claim{id: p.ids.get(m.Body, "id")}
	if !c.id.shareable() {
		return nil, refuse(codeInvalidElement, "Invalid element value (id should be 1 to %d bytes long)", MaxMeshID)
	}
	var before *participant // of another node, who left but still sends
	_, err := p.visit(ctx, m.Body, func(r *room) (object, error) {
		if _, err := r.newcomer(s, m, nil); err != nil {
			return nil, err
		}
		c.room = r
		r.held.claims[c.id] = c
		switch o := r.departed[c.id]; {
		case o == nil:
		case o.remote:
			before = o
		default:
			r.makeWay(c.id)
			o.withdraw()
		}
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	if before != nil {
		before.sendAway(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, meshTime)
	defer cancel()
	for {
		err = c.room.held.mesh.Claim(ctx, c.id.String())
		if before == nil || !errors.Is(err, ErrMeshTaken) || !pause(ctx, retryTime) {
			break
		}
	}
	if err != nil {
		c.settle()
		return nil, c.refused(err)
	}
	return c, nil
}

// sendAway has somebody of another node, who left but still sends, make way for another of that id.
func (p *participant) sendAway(ctx context.Context) {
	r := p.room
	if _, err := p.ask(ctx, orderMakeWay, nil); err != nil {
		r.held.plugin.log.Debug("one who left did not make way", "room", r.id.String(), "participant", p.id.String(), "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.departed[p.id] == p {
		r.bury(ctx, p, partLeaving, 0)
	}
}

// refused is why a claim failed.
func (c *claim) refused(err error) error {
	if errors.Is(err, ErrMeshTaken) {
		return refuse(codeIDExists, "User ID %s already exists", c.id)
	}
	return meshError(err, c.room.id)
}

// settle ends a claim: the participant is in the room now, or else the id is given up.
func (c *claim) settle() {
	if c == nil || c.room.held == nil {
		return
	}
	r := c.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held.claims[c.id] == c {
		delete(r.held.claims, c.id)
	}
	if p := r.stay(c.id); !c.lost && (p == nil || p.remote) {
		r.held.mesh.Remove(c.id.String(), "")
	}
}

// claimed tells whether an id is reserved by another claim than c, which is nil for none, or c is lost.
func (r *room) claimed(id ID, c *claim) bool {
	if c != nil && (c.lost || c.room != r) {
		return true
	}
	return r.held != nil && r.held.claims[id] != nil && r.held.claims[id] != c
}

// pause waits; false says that the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
