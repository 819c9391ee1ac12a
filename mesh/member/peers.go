package member

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"cardea/relay/link"
)

const (
	maxPeers     = 256                 // remembered
	forgetAfter  = 30 * 24 * time.Hour // a peer that was not seen for so long
	callAtOnce   = 4                   // calls in progress
	leastPause   = 2 * time.Second     // between calls on one address
	longestPause = time.Minute
	lonelyPause  = 10 * time.Second // the longest while no other node is there at all
)

// peer is where a node was last.
type peer struct {
	ID     link.NodeID      `json:"id"`
	Links  []netip.AddrPort `json:"links"`
	Gossip []netip.AddrPort `json:"gossip"`
	Seen   time.Time        `json:"seen"` // when it was last known to live
	// Authority says that it held the authority's key.
	Authority bool `json:"authority,omitempty"`

	next  time.Time // not to be called before
	calls int       // in vain, since it was seen
	using bool      // a call is under way
}

// peers remembers where nodes were, and decides which of those that are missing to call on. Seeds, which come from the
// configuration and from discovery, have no id.
type peers struct {
	byID    map[link.NodeID]*peer
	seeds   map[netip.AddrPort]*peer
	calling int
}

func newPeers(kept []peer) *peers {
	p := &peers{byID: map[link.NodeID]*peer{}, seeds: map[netip.AddrPort]*peer{}}
	for _, k := range kept {
		if _, err := rawID(k.ID); err == nil && len(k.Links) > 0 && len(p.byID) < maxPeers {
			p.byID[k.ID] = &peer{ID: k.ID, Links: cut(k.Links), Gossip: cut(k.Gossip), Seen: k.Seen, Authority: k.Authority}
		}
	}
	return p
}

func cut(a []netip.AddrPort) []netip.AddrPort { return slices.Clone(a[:min(len(a), maxAddresses)]) }

// saw notes that a node is there, or was until now.
func (p *peers) saw(n *Node, now time.Time) {
	k := p.byID[n.ID]
	if k == nil {
		p.makeRoom(now)
		k = &peer{ID: n.ID}
		p.byID[n.ID] = k
	}
	k.Links, k.Gossip, k.Authority, k.Seen, k.calls, k.next = cut(n.Links), cut(n.Gossip), n.Authority, now, 0, time.Time{}
}

// makeRoom forgets whom nobody has seen for long, and the one unseen for longest if that is not enough.
func (p *peers) makeRoom(now time.Time) {
	var oldest *peer
	for id, k := range p.byID {
		if now.Sub(k.Seen) > forgetAfter {
			delete(p.byID, id)
		} else if oldest == nil || k.Seen.Before(oldest.Seen) {
			oldest = k
		}
	}
	if len(p.byID) >= maxPeers && oldest != nil {
		delete(p.byID, oldest.ID)
	}
}

// setSeeds replaces the addresses that configuration and discovery know.
func (p *peers) setSeeds(all []netip.AddrPort) {
	seeds := map[netip.AddrPort]*peer{}
	for _, a := range all {
		if len(seeds) == maxPeers {
			break
		}
		if seeds[a] = p.seeds[a]; seeds[a] == nil {
			seeds[a] = &peer{Links: []netip.AddrPort{a}}
		}
	}
	p.seeds = seeds
}

// due returns whom to call now and takes them as being called: called or met must follow. live are the nodes that are there,
// self included.
func (p *peers) due(live map[link.NodeID]Node, now time.Time) []*peer {
	reached := map[netip.AddrPort]bool{}
	for _, l := range live {
		for _, a := range slices.Concat(l.Links, l.Gossip) {
			reached[a] = true
		}
	}
	var missing []*peer
	for id, k := range p.byID {
		if _, ok := live[id]; !ok {
			missing = append(missing, k)
		}
	}
	for a, k := range p.seeds {
		if !reached[a] {
			missing = append(missing, k)
		}
	}
	missing = slices.DeleteFunc(missing, func(k *peer) bool { return k.using || now.Before(k.next) })
	rand.Shuffle(len(missing), func(i, j int) { missing[i], missing[j] = missing[j], missing[i] })
	slices.SortStableFunc(missing, func(a, b *peer) int { return cmp.Compare(a.calls, b.calls) }) // new hope first
	missing = missing[:max(min(len(missing), callAtOnce-p.calling), 0)]
	for _, k := range missing {
		k.using = true
		p.calling++
	}
	return missing
}

// called notes that a call in vain is over. The pause grows with their number, and with the number of nodes that call too, so
// that one missing node of many is not called by all of them all the time.
func (p *peers) called(k *peer, live int, now time.Time) {
	p.calling--
	k.using = false
	k.calls++
	pause := min(leastPause<<min(k.calls/16, 8), longestPause)
	if live > 1 {
		pause *= time.Duration(1 + live/16)
	} else {
		pause = min(pause, lonelyPause)
	}
	k.next = now.Add(pause*3/4 + rand.N(pause/2))
}

// met notes that a call was answered.
func (p *peers) met(k *peer, now time.Time) {
	p.calling--
	k.using, k.calls, k.next = false, 0, now.Add(leastPause)
}

// kept returns what is to be kept on disk.
func (p *peers) kept() []peer {
	all := make([]peer, 0, len(p.byID))
	for _, k := range p.byID {
		all = append(all, peer{ID: k.ID, Links: k.Links, Gossip: k.Gossip, Seen: k.Seen, Authority: k.Authority})
	}
	slices.SortFunc(all, func(a, b peer) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
