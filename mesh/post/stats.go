package post

import "sync/atomic"

// counters count since the Post was made.
type counters struct {
	said, sent, received                   atomic.Uint64
	overQuota, forgotten, expired, missing atomic.Uint64
	duplicates, stale, malformed           atomic.Uint64
	datagrams                              [lost + 1]atomic.Uint64 // by verdict
	refused, unsent, unread                atomic.Uint64
}

// Stats is what a Post has done since it was made, and what it has now.
type Stats struct {
	Said     uint64 // messages taken from publishers here, for any number of nodes
	Sent     uint64 // messages handed to SCTP, for each node
	Received uint64 // messages of publishers elsewhere, said here

	OverQuota  uint64 // messages not taken because their room said too much, or they were too large
	Forgotten  uint64 // messages dropped before a node had them, because their room's memory was full; for each node
	Expired    uint64 // messages that took longer than their sender wanted, here or on the way, or found no stream
	Missing    uint64 // ordered messages that were announced by their successor and never came
	Duplicates uint64 // messages that came again
	Stale      uint64 // messages of a subscription that was over
	Malformed  uint64 // messages that were none, of other nodes

	Datagrams Datagrams

	Rooms, Subscribers, Intakes int   // rooms and subscriptions of others here, and ours at others
	Nodes                       int   // nodes there is, or was lately, an association with
	Kept                        int64 // bytes of messages kept, with 256 for each on top
}

// Datagrams counts routed datagrams.
type Datagrams struct {
	Here      uint64 // for this node
	Onward    uint64 // passed on
	Malformed uint64 // no routed datagram, or of another version
	Strangers uint64 // from or to a node that is no member
	Flood     uint64 // beyond what a source may send
	Lost      uint64 // without a way to go
	Refused   uint64 // of an association that is over, or that make no sense in it
	Unsent    uint64 // that the link did not take, or without a way to go from here
	Unread    uint64 // more than SCTP had time to read
}

// Stats tells what went on so far.
func (p *Post) Stats() Stats {
	c := &p.counts
	s := Stats{
		Said: c.said.Load(), Sent: c.sent.Load(), Received: c.received.Load(),
		OverQuota: c.overQuota.Load(), Forgotten: c.forgotten.Load(), Expired: c.expired.Load(), Missing: c.missing.Load(),
		Duplicates: c.duplicates.Load(), Stale: c.stale.Load(), Malformed: c.malformed.Load(),
		Datagrams: Datagrams{
			Here: c.datagrams[here].Load(), Onward: c.datagrams[onward].Load(), Malformed: c.datagrams[malformed].Load(),
			Strangers: c.datagrams[stranger].Load(), Flood: c.datagrams[flood].Load(), Lost: c.datagrams[lost].Load(),
			Refused: c.refused.Load(), Unsent: c.unsent.Load(), Unread: c.unread.Load(),
		},
		Kept: p.kept.Load(),
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	s.Rooms, s.Nodes = len(p.rooms), len(p.correspondents)
	for _, c := range p.correspondents {
		s.Subscribers += len(c.subscribers)
		s.Intakes += len(c.intakes)
	}
	return s
}
