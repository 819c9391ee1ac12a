package mesh

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"cardea/mesh/far"
	"cardea/mesh/member"
	"cardea/mesh/session"
	"cardea/relay/link"
	"cardea/relay/plane"
)

// serve makes what sessions need of the other nodes, and what these need of ours.
func (m *Mesh) serve(cfg Config) {
	m.sessions = session.New(session.Config{
		Self: m.self, Call: m.links.Call, Notify: m.tell, Log: cfg.Log, Handle: m.links.Handle,
		Connect: func(ctx context.Context, to link.NodeID) error {
			_, err := m.links.Link(ctx, to)
			return err
		},
		HandleNotice: func(k link.Kind, h func(from link.NodeID, payload []byte)) {
			m.links.HandleNotice(k, func(l *link.Link, payload []byte) { h(l.Peer(), payload) })
		},
	})
	if !cfg.Signaling {
		m.sessions.Serve(nobodys)
		return
	}
	m.nearest = cfg.Nearest
	pc := far.Config{
		Self: m.self, Call: m.links.Call, Choose: m.choose, Log: cfg.Log,
		Placed: func(s string, at []link.NodeID) {
			if id, err := strconv.ParseUint(s, 10, 64); err == nil {
				m.sessions.Placed(id, at)
			}
		},
		Places: func(ctx context.Context, s string) []link.NodeID {
			id, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				return nil
			}
			return m.sessions.Places(ctx, id)
		},
	}
	if m.server != nil {
		pc.Local = m.server.Local()
	}
	m.planes = far.New(pc)
}

// nobodys are the sessions of a node without signaling: none.
var nobodys = session.Local{
	Call: func(context.Context, uint64, string, string, []byte) ([]byte, bool) { return nil, false },
	Poll: func(context.Context, uint64, int) ([][]byte, bool) { return nil, false },
	Connect: func(string, func([]byte)) (session.Handler, func()) {
		return func(context.Context, uint64, string, []byte, func([]byte)) bool { return false }, func() {}
	},
	Lost: func(uint64) {},
}

// Plane returns the media plane of the whole mesh as this node's signaling sees it.
func (m *Mesh) Plane() plane.Plane { return m.planes }

// Sessions returns the sessions of the whole mesh. Whoever serves this node's has to say so to it before [Mesh.Run].
func (m *Mesh) Sessions() *session.Sessions { return m.sessions }

// tell sends a notice over the link that there is; it never makes one.
func (m *Mesh) tell(id link.NodeID, k link.Kind, payload []byte) error {
	m.mu.RLock()
	l := m.live[id]
	m.mu.RUnlock()
	if l == nil {
		return ErrNoLink
	}
	return l.Notify(k, payload)
}

// choose names the media node for a client's new peer: the one that the others of its session are at; else one that is much nearer to
// the client than what comes next; else this one; else the nearest to here that takes clients, for most clients talk to signaling that
// is near. A node that drains has it only if there is no other.
func (m *Mesh) choose(_ context.Context, w far.Wish) link.NodeID {
	able := m.able(w.Not)
	is := func(id link.NodeID) func(member.Node) bool { return func(n member.Node) bool { return n.ID == id } }
	if slices.ContainsFunc(able, is(w.Beside)) {
		return w.Beside
	}
	at := m.self
	if !slices.ContainsFunc(able, is(m.self)) {
		at = m.nearHere(able)
	}
	return cmp.Or(m.nearClient(w, able, at), at)
}

// able returns the nodes that take clients' media: those that are ready or, if there are none, this one.
func (m *Mesh) able(not []link.NodeID) (able []member.Node) {
	var draining []member.Node
	for _, n := range m.cluster.Nodes() {
		switch {
		case n.Planes&member.Media == 0 || slices.Contains(not, n.ID):
		case n.State == member.Ready:
			able = append(able, n)
		case n.ID == m.self:
			draining = append(draining, n)
		}
	}
	if len(able) == 0 {
		return draining
	}
	return able
}

// nearClient returns a node that is much nearer to the client than otherwise; "" if there is none, and after a refusal: a client that
// has waited for one of them shall not wait for another.
func (m *Mesh) nearClient(w far.Wish, able []member.Node, otherwise link.NodeID) link.NodeID {
	client, err := netip.ParseAddr(w.Options.Client)
	if m.nearest == nil || err != nil || len(able) < 2 || len(w.Not) > 0 {
		return ""
	}
	ids := make([]link.NodeID, 0, len(able))
	m.mu.RLock()
	for i := range able {
		id := able[i].ID
		_, failed := m.failed[id]
		if l := m.live[id]; id == otherwise || !failed && (l == nil || !l.Stalled()) {
			ids = append(ids, id)
		}
	}
	m.mu.RUnlock()
	to := m.nearest(client, ids, otherwise)
	if !slices.Contains(ids, to) {
		return ""
	}
	if to != m.self {
		m.to(to) // if no link can be made, the next client's choice knows
	}
	return to
}

// nearHere returns the nearest node to this one, "" if there is none.
func (m *Mesh) nearHere(able []member.Node) link.NodeID {
	if len(able) == 0 {
		return ""
	}
	region := m.cluster.Self().Region
	abroad := func(n *member.Node) int {
		if n.Region == region {
			return 0
		}
		return 1
	}
	return slices.MinFunc(able, func(a, b member.Node) int {
		return cmp.Or(
			cmp.Compare(abroad(&a), abroad(&b)),
			cmp.Compare(m.distance(a.ID), m.distance(b.ID)),
			cmp.Compare(a.Load, b.Load),
			cmp.Compare(a.ID, b.ID),
		)
	}).ID
}

// distance is the round trip to a node in steps of 10 ms: what differs by less is as near.
func (m *Mesh) distance(id link.NodeID) time.Duration {
	rtt, ok := m.cluster.RTT(id)
	if !ok {
		return time.Hour
	}
	return rtt.Truncate(10 * time.Millisecond)
}

// ownClock is the clock of a node without a media plane.
func ownClock() link.Clock {
	began := time.Now()
	return link.Clock{
		Now: func() int64 { return int64(time.Since(began)) },
		NTP: func(now int64) uint64 {
			const toNTP = 2_208_988_800 // seconds from 1900 (RFC 5905 section 6) to 1970
			t := began.Add(time.Duration(now))
			return uint64(t.Unix()+toNTP)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second) //nolint:gosec // era 0
		},
	}
}
