package videoroom

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// Bounds of what lasts.
const (
	maxMutes    = 256                       // in one room
	maxMuteTime = 10 * 365 * 24 * time.Hour // longer is for good
	maxMuteUser = 128                       // bytes of what a user is recognised by
	muteLook    = time.Hour                 // mutes are looked at so often, at least: the wall clock may be set
)

// Mute is a mute that lasts: what a user sends of a kind reaches nobody until it ends, on whichever node the user is and however
// often it comes back. It is in the room's record.
type Mute struct {
	// ID is the participant's id when it was muted: whoever comes with it is muted.
	ID string `json:"id"`
	// User is what the user is recognised by as well, since ids may be new at each join: see [participant.recognisedBy].
	User string `json:"user,omitempty"`
	// Kind is what is muted: audio, video or data.
	Kind string `json:"kind"`
	// Until is when it ends, microseconds since 1970; 0 for never.
	Until int64 `json:"until,omitempty"`
}

// over tells whether the mute has ended.
func (m *Mute) over(now time.Time) bool { return m.Until != 0 && now.UnixMicro() >= m.Until }

// of tells whether the mute is of a participant.
func (m *Mute) of(p *participant) bool {
	return m.ID == p.id.String() || m.User != "" && slices.Contains(p.names(), m.User)
}

// What a user may be recognised by, before what it is.
const (
	byToken   = "token:"
	byDisplay = "display:"
)

// chosenID is the tag of a user that shows no token and has chosen its id.
const chosenID = "id"

// userTag is what the user shows of itself when it joins: a digest of its token, or that it has chosen its id; "" for neither. token is
// that of the request or of the handle.
func userTag(room ID, token string, chosen bool) string {
	switch {
	case token != "":
		sum := sha256.Sum256(fmt.Appendf(nil, "user\x00%s\x00%s", room, token))
		return byToken + hex.EncodeToString(sum[:16])
	case chosen:
		return chosenID
	}
	return ""
}

// names is all that the participant could be recognised by besides its id.
func (p *participant) names() (names []string) {
	if p.userTag != "" && p.userTag != chosenID {
		names = append(names, p.userTag)
	}
	if p.display != nil && *p.display != "" {
		names = append(names, displayName(*p.display))
	}
	return names
}

// displayName is a display name as something to be recognised by; of a long one a digest.
func displayName(display string) string {
	if len(display) > maxMuteUser-len(byDisplay) {
		sum := sha256.Sum256([]byte(display))
		display = hex.EncodeToString(sum[:])
	}
	return byDisplay + display
}

// recognisedBy is what tells the participant from all others in the room, besides its id, when it comes again: its token, unless
// others have the same; nothing if it has chosen its id, which it will come with again; else its display name, unless
// others have the same.
func (p *participant) recognisedBy() string {
	for _, name := range p.names() {
		if p.userTag == chosenID {
			break
		}
		shared := slices.ContainsFunc(p.room.members, func(o *participant) bool { return o != p && slices.Contains(o.names(), name) })
		if !shared {
			return name
		}
	}
	return ""
}

var lastingParams = []janus.Param{
	{Name: "secret", Type: janus.String},
	{Name: "mid", Type: janus.String},
	{Name: "kind", Type: janus.String},
	{Name: "mute", Type: janus.Bool, Required: true},
	{Name: "duration", Type: janus.PosInt},
	{Name: "permanent", Type: janus.Bool},
}

// lasts tells whether a request to moderate is about a mute that lasts, which Janus does not have.
func lasts(body janus.Object) bool { return body.Has("kind") || body.Has("duration") }

// moderateLasting mutes what a user sends of a kind for a time or for good, or lets it through again.
func (p *Plugin) moderateLasting(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, lastingParams...); err != nil {
		return nil, err
	}
	if !body.Has("kind") && !body.Has("mid") {
		return nil, refuse(codeMissingElement, "Missing mandatory element (mid or kind)")
	}
	permanent := body.Bool("permanent", false)
	if permanent && !p.keeps() {
		return nil, refuse(codeUnknown, "No configuration file, can't moderate permanently")
	}
	return p.change(ctx, body, permanent, func(r *room, c *RoomConfig) (object, error) {
		id := p.ids.get(body, "id")
		t := r.byID[id]
		kinds, err := t.kinds(r, id, body)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		for _, k := range kinds {
			m := Mute{ID: id.String(), Kind: k.String(), Until: ends(body, now)}
			if t != nil {
				m.User = t.recognisedBy()
			}
			if err := c.setMute(m, t, body.Bool("mute", false), now); err != nil {
				return nil, err
			}
		}
		return object{"videoroom": "success"}, nil
	})
}

// kinds are what a request to moderate is about: the kind it names, all of them, or that of the stream it names. t is nil for somebody
// who is not in the room.
func (p *participant) kinds(r *room, id ID, body janus.Object) ([]plane.Kind, error) {
	if name := body.String("kind"); name != "" {
		if name == "all" {
			return []plane.Kind{plane.Audio, plane.Video, plane.Data}, nil
		}
		if k, ok := kindOf(name); ok {
			return []plane.Kind{k}, nil
		}
		return nil, refuse(codeInvalidElement, "Invalid element (kind should be audio, video, data or all)")
	}
	if p == nil {
		return nil, refuse(codeNoSuchFeed, "No such user %s in room %s", id, r.id)
	}
	st := p.stream(body.String("mid"))
	if st == nil {
		return nil, refuse(codeNoSuchFeed, "No such stream %s", body.String("mid"))
	}
	return []plane.Kind{st.kind}, nil
}

// ends is when a mute that begins now ends, as the request says; 0 for never.
func ends(body janus.Object, now time.Time) int64 {
	n, _ := body.Uint("duration")
	if n == 0 || n > uint64(maxMuteTime/time.Second) {
		return 0
	}
	return now.Add(time.Duration(n) * time.Second).UnixMicro() //nolint:gosec // bounded
}

// setMute puts a mute into the record in place of those of the same user, or takes these away. What is over goes, too. t is the
// user, nil if it is not in the room.
func (c *RoomConfig) setMute(m Mute, t *participant, on bool, now time.Time) error {
	kept := slices.DeleteFunc(slices.Clone(c.Mutes), func(o Mute) bool {
		same := o.ID == m.ID || t != nil && o.of(t)
		return o.over(now) || o.Kind == m.Kind && same
	})
	if on {
		if len(kept) >= maxMutes {
			return refuse(codeUnknown, "Too many users are muted in this room")
		}
		kept = append(kept, m)
	}
	c.Mutes = kept
	return nil
}

// mute returns the mute of what a participant sends of a kind, nil if there is none. Of several the one that lasts longest counts.
func (r *room) mute(p *participant, kind plane.Kind, now time.Time) (found *Mute) {
	for i := range r.cfg.Mutes {
		m := &r.cfg.Mutes[i]
		if m.Kind != kind.String() || m.over(now) || !m.of(p) {
			continue
		}
		if found == nil || m.Until == 0 || found.Until != 0 && m.Until > found.Until {
			found = m
		}
	}
	return found
}

// mutedUntil is when the stream's mute ends, 0 if it does not end by itself.
func (st *stream) mutedUntil() int64 {
	if m := st.owner.room.mute(st.owner, st.kind, time.Now()); m != nil {
		return m.Until
	}
	return 0
}

// enforce mutes and unmutes the streams of this node's participants as the record says now, and looks again when a mute ends.
func (r *room) enforce() {
	if len(r.cfg.Mutes) == 0 && !r.muting {
		return
	}
	now := time.Now()
	for _, p := range r.members {
		if !p.told() {
			continue
		}
		changed := false
		for _, st := range p.streams {
			bound := r.mute(p, st.kind, now) != nil
			if bound == st.bound {
				continue
			}
			st.bound = bound
			if st.settleMute() {
				st.moderated++
				st.announceModeration()
				changed = true
			}
		}
		if changed {
			p.sync()
			p.report()
		}
	}
	r.muting = len(r.cfg.Mutes) > 0
	r.lookAtMutes(now)
}

// settleMute mutes the stream if there is a reason to, and tells whether that is new.
func (st *stream) settleMute() (changed bool) {
	muted := st.silenced || st.bound
	changed = muted != st.muted
	st.muted = muted
	return changed
}

// bind mutes those of the participant's streams that are not to be heard or seen. Nobody knows of them yet, so nobody is told.
func (p *participant) bind() {
	now := time.Now()
	for _, st := range p.streams {
		if !st.bound && p.room.mute(p, st.kind, now) != nil {
			st.bound = true
			st.settleMute()
		}
	}
}

// rebind finds out for which reason the streams of a participant are muted that comes from another node.
func (p *participant) rebind() {
	now := time.Now()
	for _, st := range p.streams {
		st.bound = p.room.mute(p, st.kind, now) != nil
		st.silenced = st.muted && !st.bound
	}
}

// tellMutes tells the client, which has just published, what of that is muted, and the world.
func (p *participant) tellMutes() {
	for _, st := range p.streams {
		if st.bound {
			p.push(st.moderation())
			st.tellMuted(true, byModerator)
		}
	}
}

// lookAtMutes has the mutes looked at again when the first of them ends.
func (r *room) lookAtMutes(now time.Time) {
	next := int64(0)
	for _, m := range r.cfg.Mutes {
		if m.Until != 0 && !m.over(now) && (next == 0 || m.Until < next) {
			next = m.Until
		}
	}
	if r.muteTimer != nil {
		r.muteTimer.Stop()
		r.muteTimer = nil
	}
	if next != 0 && !r.destroyed {
		r.muteTimer = time.AfterFunc(min(time.UnixMicro(next).Sub(now), muteLook), r.mutesEnded)
	}
}

// mutesEnded looks at the mutes because one may be over.
func (r *room) mutesEnded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.destroyed && (r.held == nil || !r.held.closed) {
		r.enforce()
	}
}

// checkMutes checks the mutes of a record that another node may have written.
func checkMutes(mutes []Mute) error {
	if len(mutes) > maxMutes {
		return fmt.Errorf("%d mutes", len(mutes))
	}
	for i := range mutes {
		m := &mutes[i]
		if _, ok := kindOf(m.Kind); !ok || len(m.ID) > MaxMeshID || len(m.User) > maxMuteUser || m.Until < 0 {
			return fmt.Errorf("mute %d: of %.64q, kind %.16q", i, m.ID, m.Kind)
		}
	}
	return nil
}

// muteInfo is what a moderator is told of a mute.
type muteInfo struct {
	ID       ID      `json:"id"`
	Display  *string `json:"display,omitempty"` // of somebody who is in the room
	Kind     string  `json:"kind"`
	Until    int64   `json:"until,omitempty"`
	TimeLeft int64   `json:"time_left,omitempty"` // seconds
}

// listMutes tells who is muted in a room for longer than a stay.
func (p *Plugin) listMutes(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), janus.Param{Name: "secret", Type: janus.String}); err != nil {
		return nil, err
	}
	return p.manage(ctx, body, func(r *room) (object, error) {
		now := time.Now()
		list := []muteInfo{}
		for i := range r.cfg.Mutes {
			m := &r.cfg.Mutes[i]
			id, ok := p.ids.read(m.ID)
			if m.over(now) || !ok {
				continue
			}
			info := muteInfo{ID: id, Kind: m.Kind, Until: m.Until}
			if m.Until != 0 {
				info.TimeLeft = int64(time.UnixMicro(m.Until).Sub(now) / time.Second)
			}
			if j := slices.IndexFunc(r.members, m.of); j >= 0 {
				info.ID, info.Display = r.members[j].id, r.members[j].display
			}
			list = append(list, info)
		}
		slices.SortStableFunc(list, func(a, b muteInfo) int { return cmp.Compare(a.Until, b.Until) })
		return object{"videoroom": "mutes", "room": r.id, "mutes": list}, nil
	})
}
