package far

import (
	"maps"
	"slices"

	"cardea/relay/link"
	"cardea/relay/plane"
)

// place is where a peer is, and what it is there for.
type place struct {
	node       link.NodeID
	session    string
	publishes  []plane.StreamID
	subscribes []plane.StreamID
	forwarders []string // of what it publishes
}

// places knows which peer is where. It is pure: callers lock it.
type places struct {
	peers      map[plane.PeerID]*place
	nodes      map[link.NodeID]map[plane.PeerID]struct{}
	sessions   map[string]map[link.NodeID]int // peers of each session at each node
	published  map[plane.StreamID]plane.PeerID
	publishers map[plane.StreamID]map[link.NodeID]int // lines published, by stream without its mid, at each node
	wanted     map[plane.StreamID]map[link.NodeID]int // peers that subscribe, at each node
	forwarders map[string]plane.PeerID
}

func newPlaces() *places {
	return &places{
		peers: make(map[plane.PeerID]*place), nodes: make(map[link.NodeID]map[plane.PeerID]struct{}),
		sessions: make(map[string]map[link.NodeID]int), published: make(map[plane.StreamID]plane.PeerID),
		publishers: make(map[plane.StreamID]map[link.NodeID]int),
		wanted:     make(map[plane.StreamID]map[link.NodeID]int), forwarders: make(map[string]plane.PeerID),
	}
}

// add puts a peer at a node; moved tells whether the session is at another set of nodes now.
func (s *places) add(id plane.PeerID, node link.NodeID, session string) (moved bool) {
	s.peers[id] = &place{node: node, session: session}
	if s.nodes[node] == nil {
		s.nodes[node] = make(map[plane.PeerID]struct{})
	}
	s.nodes[node][id] = struct{}{}
	return session != "" && count(s.sessions, session, node, 1)
}

// remove forgets a peer; moved is add's.
func (s *places) remove(id plane.PeerID) (moved bool) {
	p := s.peers[id]
	if p == nil {
		return false
	}
	s.publish(id, nil)
	s.subscribe(id, nil)
	for _, f := range p.forwarders {
		delete(s.forwarders, f)
	}
	delete(s.peers, id)
	if delete(s.nodes[p.node], id); len(s.nodes[p.node]) == 0 {
		delete(s.nodes, p.node)
	}
	return p.session != "" && count(s.sessions, p.session, p.node, -1)
}

// count counts what a key has at a node, and tells whether that began or ended.
func count[K comparable](m map[K]map[link.NodeID]int, key K, node link.NodeID, by int) (changed bool) {
	at := m[key]
	if at == nil {
		at = make(map[link.NodeID]int)
		m[key] = at
	}
	before := at[node]
	at[node] += by
	if at[node] <= 0 {
		if delete(at, node); len(at) == 0 {
			delete(m, key)
		}
	}
	return before <= 0 || before+by <= 0
}

// session returns the nodes where a session has peers, the one with most of them first.
func (s *places) session(name string) []link.NodeID {
	at := s.sessions[name]
	return slices.SortedFunc(maps.Keys(at), func(a, b link.NodeID) int {
		if at[a] != at[b] {
			return at[b] - at[a]
		}
		if a < b {
			return -1
		}
		return 1
	})
}

// publish notes what a peer publishes.
func (s *places) publish(id plane.PeerID, streams []plane.StreamID) {
	p := s.peers[id]
	if p == nil {
		return
	}
	for _, stream := range p.publishes {
		if s.published[stream] == id {
			delete(s.published, stream)
		}
		count(s.publishers, publisher(stream), p.node, -1)
	}
	p.publishes = streams
	for _, stream := range streams {
		s.published[stream] = id
		count(s.publishers, publisher(stream), p.node, 1)
	}
}

// publisher is what all streams of a publisher have in common.
func publisher(id plane.StreamID) plane.StreamID {
	return plane.StreamID{Room: id.Room, Publisher: id.Publisher}
}

// subscribe notes what a peer is sent.
func (s *places) subscribe(id plane.PeerID, streams []plane.StreamID) {
	p := s.peers[id]
	if p == nil {
		return
	}
	for _, stream := range p.subscribes {
		count(s.wanted, stream, p.node, -1)
	}
	p.subscribes = streams
	for _, stream := range streams {
		count(s.wanted, stream, p.node, 1)
	}
}

// stream returns the node to ask about a stream: where a peer of ours publishes it, else one where a peer of ours is sent it.
func (s *places) stream(id plane.StreamID) (link.NodeID, bool) {
	if peer, ok := s.published[id]; ok {
		return s.peers[peer].node, true
	}
	if at := s.wanted[id]; len(at) > 0 {
		return slices.Min(slices.Collect(maps.Keys(at))), true
	}
	return "", false
}

// forward notes that a forwarder copies a stream that a peer of ours publishes; false when none does.
func (s *places) forward(id string, stream plane.StreamID) (link.NodeID, bool) {
	peer, ok := s.published[stream]
	if !ok {
		return "", false
	}
	s.stopForward(id)
	s.forwarders[id] = peer
	p := s.peers[peer]
	p.forwarders = append(p.forwarders, id)
	return p.node, true
}

// forwarder returns the node where a forwarder is.
func (s *places) forwarder(id string) (link.NodeID, bool) {
	if p := s.peers[s.forwarders[id]]; p != nil {
		return p.node, true
	}
	return "", false
}

// stopForward forgets a forwarder.
func (s *places) stopForward(id string) {
	if p := s.peers[s.forwarders[id]]; p != nil {
		p.forwarders = slices.DeleteFunc(p.forwarders, func(f string) bool { return f == id })
	}
	delete(s.forwarders, id)
}
