package room

import (
	"fmt"
	"strings"
)

// dump says what a node knows of a room, for those who look for the reason of a failure.
func (n *simNode) dump(id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s keepers %v up %v skew %v\n", n.id, n.keepers(id), n.up, n.skew)
	if rec := n.core.table.get(id); rec != nil {
		fmt.Fprintf(&b, "  record %q stamp %x born %x ended %x dead %v\n", rec.value, rec.stamp, rec.born, rec.ended, rec.dead)
	}
	for _, p := range sorted(n.core.peers) {
		q := n.core.peers[p]
		fmt.Fprintf(&b, "  peer %s live %v silent %v synced %v epoch %x/%d in %x/%d flight %d queue %d heard %v\n", p, q.live, q.silent, q.synced, q.epoch,
			q.seq, q.inEpoch, q.inSeq, len(q.inflight), len(q.queue), n.clock().Sub(q.heard))
	}
	r := n.core.rosters[id]
	if r == nil {
		return b.String()
	}
	fmt.Fprintf(&b, "  above %q settled %v views %d opens %d\n", r.above, r.settled(), len(r.views), len(r.opens))
	for _, up := range sorted(r.ups) {
		fmt.Fprintf(&b, "  up %s given %v complete %v current %v pulse %v\n", up, sorted(r.ups[up].src.given), r.ups[up].src.complete,
			n.core.peers[up] == r.ups[up].peer, r.ups[up].peer.pulse)
	}
	for _, down := range sorted(r.downs) {
		fmt.Fprintf(&b, "  down %s given %v dirty %v\n", down, sorted(r.downs[down].src.given), r.downs[down].dirty)
	}
	fmt.Fprintf(&b, "  own %v\n", sorted(r.own.given))
	for _, p := range sorted(r.seats) {
		s := r.seats[p]
		fmt.Fprintf(&b, "  seat %s", p)
		for _, o := range s.offers {
			fmt.Fprintf(&b, " [%s %d from %q]", o.entry.home, o.src.kind, o.src.peer)
		}
		if s.all.entry != nil {
			fmt.Fprintf(&b, " = %s from %q", s.all.entry.home, s.all.src.peer)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// dumpFault dumps the first room that a fault is about.
func (c *chaos) dumpFault(err error) {
	id, _, _ := strings.Cut(err.Error(), " ")
	id = strings.TrimSuffix(id, ":")
	for _, n := range c.ids {
		c.t.Log(c.nodes[n].dump(id))
	}
}
