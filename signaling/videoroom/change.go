package videoroom

import (
	"context"

	"cardea/signaling/janus"
)

// keeps tells whether rooms can be permanent.
func (p *Plugin) keeps() bool { return p.cfg.Mesh != nil || p.cfg.Store.Save != nil }

// changer changes the options of a room, which is locked, and returns the reply to the request that wants that.
type changer func(r *room, c *RoomConfig) (object, error)

// change changes the options of a room as f says, if the request shows the room's secret; for good if permanent, which f's
// reply has to say of itself. Other nodes, if there are any, learn of it.
func (p *Plugin) change(ctx context.Context, body janus.Object, permanent bool, f changer) (object, error) {
	if p.cfg.Mesh != nil {
		return p.changeShared(ctx, body, permanent, f)
	}
	if permanent {
		p.storing.Lock()
		defer p.storing.Unlock()
	}
	var rec Record
	reply, err := p.manage(ctx, body, func(r *room) (object, error) {
		rec = r.record()
		reply, err := f(r, &rec)
		if err == nil {
			r.adopt(rec)
		}
		return reply, err
	})
	if err == nil && permanent {
		reply["permanent"] = p.save(rec)
	}
	return reply, err
}

// changeShared is change with other nodes. Changes of a room that begin on one node come one after the other; of those that
// cross each other on several nodes the last one stands.
func (p *Plugin) changeShared(ctx context.Context, body janus.Object, permanent bool, f changer) (object, error) {
	r, err := p.keep(ctx, body)
	if err != nil {
		return nil, err
	}
	defer r.unkeep()
	ctx, cancel := context.WithTimeout(ctx, meshTime)
	defer cancel()
	select {
	case r.held.editing <- struct{}{}:
		defer func() { <-r.held.editing }()
	case <-ctx.Done():
		return nil, meshError(ctx.Err(), r.id)
	}
	r.mu.Lock()
	cfg, earlier := r.record(), r.held.record
	reply, err := f(r, &cfg)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	record, err := writeRecord(cfg)
	if err != nil {
		return nil, err
	}
	if record, err = carryOver(earlier, record); err != nil {
		return nil, err
	}
	if err := r.held.mesh.Edit(ctx, record, permanent); err != nil {
		return nil, meshError(err, r.id)
	}
	r.refresh()
	return reply, nil
}

// destroyShared is destroy with other nodes.
func (p *Plugin) destroyShared(ctx context.Context, body janus.Object, permanent bool) (object, error) {
	r, err := p.keep(ctx, body)
	if err != nil {
		return nil, err
	}
	defer r.unkeep()
	ctx, cancel := context.WithTimeout(ctx, meshTime)
	defer cancel()
	if err := r.held.mesh.Destroy(ctx, permanent); err != nil {
		return nil, meshError(err, r.id)
	}
	r.end(ctx)
	<-r.held.done // if the mesh told of it before, somebody else is about to
	return object{"videoroom": "destroyed", "room": r.id, "permanent": permanent}, nil
}

// keep finds the room of a request that shows the room's secret, and keeps it here until unkeep, with its mutex let go of.
func (p *Plugin) keep(ctx context.Context, body janus.Object) (r *room, err error) {
	_, err = p.manage(ctx, body, func(found *room) (object, error) {
		r = found
		r.held.users++
		return nil, nil
	})
	return r, err
}

// unkeep is the end of keep.
func (r *room) unkeep() {
	r.mu.Lock()
	r.held.users--
	r.mu.Unlock()
}

// adopt takes over the options of the room.
func (r *room) adopt(c RoomConfig) {
	recording := c.Record != r.cfg.Record
	r.cfg = c
	clear(r.allowed)
	for _, t := range c.Allowed {
		r.allowed[t] = struct{}{}
	}
	if recording {
		for _, m := range r.members {
			m.recording = c.Record
		}
	}
	r.enforce()
	r.syncPublishers() // the cap and the keyframe interval hold for those who publish already
}
