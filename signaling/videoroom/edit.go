package videoroom

import (
	"context"
	"math"

	"cardea/signaling/janus"
)

var editParams = []janus.Param{
	{Name: "secret", Type: janus.String},
	{Name: "new_description", Type: janus.String},
	{Name: "new_is_private", Type: janus.Bool},
	{Name: "new_secret", Type: janus.String},
	{Name: "new_pin", Type: janus.String},
	{Name: "new_require_pvtid", Type: janus.Bool},
	{Name: "new_bitrate", Type: janus.PosInt},
	{Name: "new_fir_freq", Type: janus.PosInt},
	{Name: "new_publishers", Type: janus.PosInt},
	{Name: "new_lock_record", Type: janus.Bool},
	{Name: "new_rec_dir", Type: janus.String},
	{Name: "permanent", Type: janus.Bool},
}

// edit changes options of a room.
func (p *Plugin) edit(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true)); err != nil {
		return nil, err
	}
	if err := check(body, editParams...); err != nil {
		return nil, err
	}
	community, err := communityID(body, "new_community_id", "community_id", "new_guild_id", "guild_id")
	if err != nil {
		return nil, err
	}
	permanent := body.Bool("permanent", false)
	if permanent && !p.keeps() {
		return nil, refuse(codeUnknown, "No configuration file, can't edit room permanently")
	}
	return p.change(ctx, body, permanent, func(r *room, c *RoomConfig) (object, error) {
		c.change(body)
		if community != nil {
			c.CommunityID = community
		}
		return c.tagged(object{"videoroom": "edited", "room": r.id, "permanent": permanent}), nil
	})
}

// change takes the options of an edit request that was checked. Empty texts change nothing.
func (c *RoomConfig) change(body janus.Object) {
	if s := body.String("new_description"); s != "" {
		c.Description = s
	}
	if s := body.String("new_secret"); s != "" {
		c.Secret = &s
	}
	if s := body.String("new_pin"); s != "" {
		c.Pin = &s
	}
	c.Private = body.Bool("new_is_private", c.Private)
	c.RequirePrivateID = body.Bool("new_require_pvtid", c.RequirePrivateID)
	if n, ok := number(body, "new_publishers", math.MaxInt32); ok {
		c.Publishers = n
	}
	if n, ok := number(body, "new_bitrate", math.MaxUint32); ok {
		c.Bitrate = uint32(n)
	}
	if n, ok := number(body, "new_fir_freq", math.MaxInt16); ok {
		c.FIRFreq = n
	}
	c.LockRecord = body.Bool("new_lock_record", c.LockRecord)
	if s := optional(body, "new_rec_dir"); s != nil {
		c.RecDir = s
	}
	c.normal()
}

// destroy ends a room: its participants are told and everybody's PeerConnection is closed.
func (p *Plugin) destroy(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), janus.Param{Name: "permanent", Type: janus.Bool}); err != nil {
		return nil, err
	}
	permanent := body.Bool("permanent", false)
	if permanent && p.cfg.Mesh == nil && p.cfg.Store.Delete == nil {
		return nil, refuse(codeUnknown, "No configuration file, can't destroy room permanently")
	}
	if p.cfg.Mesh != nil {
		return p.destroyShared(ctx, body, permanent)
	}
	if permanent {
		p.storing.Lock()
		defer p.storing.Unlock()
	}
	var gone *room
	reply, err := p.manage(ctx, body, func(r *room) (object, error) {
		gone = r
		r.close()
		return object{"videoroom": "destroyed", "room": r.id}, nil
	})
	if err != nil {
		return nil, err
	}
	p.forget(gone)
	if permanent {
		if err := p.cfg.Store.Delete(gone.id.String()); err != nil {
			p.log.Error("permanent room not deleted", "room", gone.id.String(), "error", err)
			permanent = false
		}
	}
	reply["permanent"] = permanent
	return reply, nil
}

// close ends the room for everybody in it.
func (r *room) close() {
	r.broadcast(object{"videoroom": "destroyed", "room": r.id}, nil)
	r.destroyed = true
	for _, p := range r.members {
		p.tellLeft("")
		p.present = false
		p.closePeer()
	}
	for s := range r.subscribers {
		s.closePeer()
	}
	r.members = nil
	if r.muteTimer != nil {
		r.muteTimer.Stop()
	}
	clear(r.byID)
	clear(r.byPrivateID)
	clear(r.departed)
}
