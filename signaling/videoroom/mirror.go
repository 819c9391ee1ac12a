package videoroom

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// How participants go, as they tell the others.
const (
	partLeaving = "leaving"
	partKicked  = "kicked"
	partMoved   = "moved" // to another node, which will tell of it; nobody is told
)

// doubled is how often the end of a publisher is announced when its handle goes without a word: Janus does so twice.
const doubled = 2

// shared is what the nodes tell each other of a participant beyond what clients see. The room's mutex guards it.
type shared struct {
	version    uint64 // of the entry
	joined     int64  // when it joined, microseconds of the Unix clock of its node
	seat       int64  // since when it counts as a publisher, likewise; 0 when it does not
	left       string // how it left, while its PeerConnection still feeds subscribers
	privateTag string // of a participant of another node
	reported   []byte // the entry that was put last
	lost       bool   // another node's participant has its id now: nothing is to be reported any more

	announced, unpublished, renamed uint64
}

// stamp is the time as the room's entries have it; 0 when no other node reads them.
func (r *room) stamp() int64 {
	if r.held == nil {
		return 0
	}
	return time.Now().UnixMicro()
}

// farewell is why a participant is removed: how it went, and how often it was told that it publishes no more.
func (p *participant) farewell(how string) string {
	return how + " " + strconv.FormatUint(p.shared.unpublished, 10)
}

// readFarewell reads that; ok is false for whatever else a node, or the mesh about a node that is gone, has to say.
func readFarewell(why string) (how string, unpublished uint64, ok bool) {
	how, count, _ := strings.Cut(why, " ")
	unpublished, err := strconv.ParseUint(count, 10, 64)
	return how, unpublished, err == nil && (how == partLeaving || how == partKicked || how == partMoved)
}

// mirror returns the participant of another node that goes by an id here: one in the room, or one who left but may feed
// subscribers.
func (r *room) mirror(id ID) *participant {
	if p := r.byID[id]; p != nil && p.remote {
		return p
	}
	if p := r.departed[id]; p != nil && p.remote {
		return p
	}
	return nil
}

// present takes over what another node tells of its participant, and has happen here what has happened there.
func (r *room) present(ctx context.Context, id ID, e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.byID[id]; p != nil && p.contested && p.shared.joined != e.Joined {
		p.yieldID()
	}
	m := r.mirror(id)
	if m != nil && m.shared.joined != e.Joined { // gone and come again, or another of its id
		r.bury(ctx, m, partLeaving, m.shared.unpublished)
		m = nil
	}
	if r.destroyed || m == nil && r.byID[id] != nil {
		return
	}
	if m != nil && m.unseen {
		r.recognise(ctx, m, e)
		return
	}
	if m == nil {
		if e.Left != "" {
			return // it feeds nobody here
		}
		m = r.meet(id, e)
	}
	m.until = time.Time{}
	r.update(ctx, m, e)
}

// meet takes in a participant of another node that was not known.
func (r *room) meet(id ID, e *entry) *participant {
	r.makeWay(id)
	m := newMirror(id, e)
	r.add(m)
	m.adopt()
	if r.cfg.NotifyJoining {
		m.announceJoining()
	}
	return m
}

// newMirror makes a participant of another node, not in a room yet.
func newMirror(id ID, e *entry) *participant {
	m := newParticipant(id)
	m.remote, m.display, m.metadata, m.userTag = true, e.Display, e.Metadata, e.UserTag
	m.shared = shared{joined: e.Joined, unpublished: e.Unpublished, renamed: e.Renamed, privateTag: e.PrivateTag}
	return m
}

// update brings the mirror of a participant up to an entry. The mutex is let go of while subscribers get offers and when
// forwarders are stopped.
func (r *room) update(ctx context.Context, m *participant, e *entry) {
	if e.Version <= m.shared.version {
		return // known already
	}
	fresh := m.shared.version == 0
	m.shared.version = e.Version
	m.display, m.metadata = e.Display, e.Metadata
	if e.Renamed != m.shared.renamed {
		m.announceName()
	}
	if len(m.streams) > 0 && (len(e.Streams) == 0 || e.Seat != m.shared.seat) {
		r.endMirrored(ctx, m)
		if r.mirror(m.id) != m || m.shared.version != e.Version {
			return // what came meanwhile counts
		}
	}
	m.announceEnd(e.Unpublished - min(e.Unpublished, m.shared.unpublished))
	m.shared.renamed, m.shared.unpublished = e.Renamed, e.Unpublished
	m.shared.privateTag, m.e2ee, m.started = e.PrivateTag, e.E2EE, e.Started && m.present
	seated := e.Seat != 0 && e.Seat != m.shared.seat
	m.shared.seat, m.negotiating = e.Seat, e.Seat != 0
	changed := m.copyStreams(e.Streams)
	stopped := m.copyForwarders(e.Forwarders)
	if e.Announced != m.shared.announced && (!fresh || m.started && len(m.streams) > 0) {
		m.announce()
	}
	m.shared.announced = e.Announced
	for _, tell := range changed {
		tell()
	}
	if e.Left != "" && m.present {
		m.partAs(e.Left)
	}
	if seated {
		r.contend(m)
	}
	if len(stopped) > 0 {
		r.mu.Unlock()
		defer r.mu.Lock()
		r.held.plugin.stopForwarders(ctx, stopped)
	}
}

// endMirrored ends the streams of a participant of another node, telling the subscribers. The mutex is let go of meanwhile.
func (r *room) endMirrored(ctx context.Context, m *participant) {
	subs, forwarders := m.endStreams()
	r.mu.Unlock()
	defer r.mu.Lock()
	r.held.plugin.stopForwarders(ctx, forwarders)
	renegotiateAll(ctx, subs)
}

// copyStreams gives the mirror the streams of an entry, and returns what has to be told of them.
func (p *participant) copyStreams(streams []streamEntry) (tell []func()) {
	for i := range streams {
		e := &streams[i]
		kind, _ := kindOf(e.Kind)
		if i == len(p.streams) {
			st := newStream(p, kind, i, e.Mid)
			st.moderated = e.Moderated
			p.streams = append(p.streams, st)
		}
		st := p.streams[i]
		if st.kind != kind {
			continue // a line keeps its kind
		}
		st.mid, st.negotiated, st.description, st.muted = e.Mid, e.negotiated(), e.Description, e.Muted
		least, most := -1, -1
		if e.Delay != nil {
			least, most = e.Delay.Min, e.Delay.Max
		}
		st.delay(least, most)
		if e.Moderated != st.moderated {
			st.moderated = e.Moderated
			tell = append(tell, st.announceModeration)
		}
		st.level = e.Level
		if e.Talking != st.talking {
			st.talking = e.Talking
			tell = append(tell, st.announceTalking)
		}
	}
	return tell
}

// gone takes over that a participant of another node is no more.
func (r *room) gone(ctx context.Context, id ID, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.mirror(id)
	if m == nil {
		return
	}
	switch how, unpublished, ok := readFarewell(why); {
	case !ok:
		m.await(swapTime)
	case how == partMoved:
		m.await(reclaimTime)
	default:
		r.bury(ctx, m, how, unpublished)
	}
}

// bury ends the stay of a participant of another node, who was told to publish no more so many times in all. The mutex is
// let go of while subscribers get offers.
func (r *room) bury(ctx context.Context, m *participant, how string, unpublished uint64) {
	r.endMirrored(ctx, m)
	if m.present {
		m.announceEnd(unpublished - min(unpublished, m.shared.unpublished))
		m.partAs(how)
	}
	if r.departed[m.id] == m {
		delete(r.departed, m.id)
	}
}

// partAs takes a participant of another node out of the room as its node did.
func (p *participant) partAs(how string) {
	p.part(how)
	if how == partKicked {
		p.endPrivate()
	}
}

// lose takes over that another node's participant has the id of one of ours: ours is told as if it was kicked, unless the other
// may be itself.
func (r *room) lose(id ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.held.claims[id]; c != nil {
		c.lost = true
		delete(r.held.claims, id)
	}
	if p := r.departed[id]; p != nil && !p.remote {
		p.shared.lost = true
		delete(r.departed, id)
		p.closePeer()
	}
	p := r.byID[id]
	switch {
	case p == nil || p.remote || p.dummy:
	case p.moved:
		p.shared.lost, p.contested = true, true
		r.held.plugin.workers.Go(p.insist)
	default:
		p.shared.lost = true
		p.expel()
	}
}

// withdraw tells the other nodes that the participant is no more.
func (p *participant) withdraw() {
	if h := p.room.held; h != nil && !p.remote && !p.shared.lost {
		h.mesh.Remove(p.id.String(), p.farewell(p.shared.left))
	}
}

// place finds where the participant belongs among the members, who are in the order of joining.
func (r *room) place(p *participant) int {
	i := len(r.members)
	for i > 0 && r.members[i-1].shared.joined > p.shared.joined {
		i--
	}
	return i
}
