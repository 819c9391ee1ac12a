// Package route decides which way media and messages go through the mesh: whom to ask for a node's streams, when to change
// to somebody else, and to whom to hand a datagram for a node that is not linked.
//
// It only decides. There are no sockets, no goroutines and no clock: a [Table] is told who is there ([Table.SetNodes]) and
// what was measured ([Table.SetRow], [Table.Hear]), with the time, and answers questions. Every node decides for itself,
// from its own measurements, from the rows of those it has links with, and, for links that do not exist yet, from the
// network coordinates and regions that gossip carries. Nobody plans for others; that they decide alike where they must is
// the work of the rules below.
//
// # Cost
//
// Costs are times. An edge costs
//
//	RTT/2 + queueing + LatePrice * late        ([Edge.Cost])
//
// where late is the share of packets that neither came in time nor were repaired in time. A route costs the sum of its edges
// and [HopPrice] for each node that passes the packets on. An edge has two ends that measure; the worse of what they say
// counts, since media and requests need both directions.
//
// # Whom to ask
//
// Let a stream's origin be the node where it is published. Whoever wants it asks one other node for it, a candidate:
//
//   - the origin itself, if the node is in the origin's region;
//   - otherwise the gateway that all nodes of the region agree on without a word: the nodes of the region have an order
//     for every origin (highest rendezvous hash first), and the first of them that is there, does not drain and reaches
//     the origin is the gateway. So a stream crosses an ocean once, and different origins burden different nodes;
//   - the gateway asks the origin;
//   - any of them may ask a third node instead, if that is cheaper now: a detour.
//
// These are preferences with a price and not laws. A candidate ranks by its cost plus
//
//	share * burden      for whoever crosses into the region: 0 for the gateway, 0.6 for the second in the order, 0.9 for
//	                    the third, 1 for others; share is 45 ms + 15 % of the cost: what sparing a crossing is worth
//	DetourPrice         for a third node that spares no crossing
//	GuessPrice          for an edge that nobody has measured
//	a very high price   for a node that drains, so that it passes media on only if nobody else can
//
// The node's own way to the origin, or to a detour, is a crossing like any other: it costs share for its own place in the
// order. So a gateway with a bad link is given up for the second in the order rather than by everybody for himself.
// Whenever all see the same, a node's choice ranks strictly better than the node itself, hence the choices of all never
// form a circle. When they do not see the same, which lasts a second, the protocol that asks refuses the circle.
//
// # Regions
//
// Nodes with the same region's name are a region. A node without a name belongs to the region of the nearest node that has
// one, if the coordinates say that it is nearer than [NearRTT]; otherwise to the nameless nodes around it: going through
// them by id, each joins the first group whose first member is nearer than NearRTT, or begins one. All nodes see the same
// coordinates through gossip and so come to the same groups, give or take the moment in which a coordinate spreads; a
// disagreement costs a second crossing for that moment. A node with neither name nor coordinate is a region by itself.
//
// # Changing
//
// [Table.Keep] says when to leave a candidate for a better one: at once if it is out of reach, otherwise if the other was
// better by 15 ms and 15 % all the time for [SwitchAfter], or for [SwitchSoon] if it is four times as much. A node's own
// measurements are averaged over a few seconds. What is policy and no measurement, such as the order of a region, does not
// waver with the noise, and the price of a crossing is larger than the margin, so streams gather at a new gateway by
// the same rule.
//
// # What nodes tell each other
//
// Nodes with a link tell each other what they measured: a [Row]. After the first message only what has changed is told: within a second
// if it matters, within five if it is a figure that has moved a little, since rows told again and again would cost links x
// links. Whoever has missed something asks for everything again. A row does not count while the link to its teller is down, and
// is forgotten [RowLife] after its last message.
//
// That is enough wherever any two nodes can open a link or have a neighbour in common. For nodes behind firewalls that let
// only some pairs through, rows also carry ways: a node that cannot reach another says that it seeks it, that word is passed on
// for [MaxHops] hops, and whoever has a way to the sought node tells it, with every node on it. A node that finds itself on
// a way does not take it. Where nothing is sought, no ways are told.
package route
