package route

import (
	"math"
	"time"

	"cardea/relay/link"
)

const (
	// LatePrice is what it costs when every packet of an edge is late: 1 % late is worth 40 ms. The E-model of speech
	// quality (ITU-T G.107, packet loss robustness of a codec that conceals losses) takes 3.6 points for 1 % of loss, as much
	// as for 150 ms of one-way delay while that is below 177 ms, and as for 27 ms above it. Video suffers more from loss.
	LatePrice = 4 * time.Second

	// HopPrice is what a node on the way costs beside its edges: the work, the batch a packet waits for, one more that can
	// fail.
	HopPrice = 3 * time.Millisecond

	// DetourPrice is how much better a third node must be than the straight way to be asked in its place: it carries
	// the stream twice, in and out.
	DetourPrice = 10 * time.Millisecond

	// GuessPrice is added for an edge that nobody has measured: coordinates err by that much, and opening a link takes time.
	GuessPrice = 10 * time.Millisecond

	// drainPrice sets nodes that are about to go behind everybody else.
	drainPrice = 10 * time.Second

	// unknownRTT is assumed of two nodes of which nothing is known, nearUnknownRTT if they are of one region.
	unknownRTT     = 200 * time.Millisecond
	nearUnknownRTT = 10 * time.Millisecond

	// maxTime bounds every time that somebody states.
	maxTime = time.Minute
	// maxCost is more than anything costs.
	maxCost = time.Hour
)

// Edge is what one node says of its link to another.
type Edge struct {
	To   link.NodeID
	RTT  time.Duration // of the network, without queues of our own
	Loss float64       // share of packets lost on the way, before repair, 0 to 1; for information, costs nothing by itself
	Late float64       // share of packets that came too late even after repair or not at all, 0 to 1
	// Queue is how long a packet waits before it leaves.
	Queue time.Duration
	// Up says that the link works. An edge that is not up is one that the node has tried in vain, or that was lost or is stalled.
	Up bool
}

// Cost returns the price of the edge for one packet: half of the round trip, the queue, and [LatePrice] for the share that is late.
func (e Edge) Cost() time.Duration {
	return e.RTT/2 + e.Queue + time.Duration(e.Late*float64(LatePrice))
}

// bounded returns the edge with every figure within its range: figures come from other machines.
func (e Edge) bounded() Edge {
	e.RTT = min(max(e.RTT, 0), maxTime)
	e.Queue = min(max(e.Queue, 0), maxTime)
	e.Loss = share(e.Loss)
	e.Late = share(e.Late)
	return e
}

func share(f float64) float64 {
	if math.IsNaN(f) {
		return 1
	}
	return min(max(f, 0), 1)
}

// worse returns what counts of an edge of which both ends tell.
func worse(a, b Edge) Edge {
	a.RTT = max(a.RTT, b.RTT)
	a.Queue = max(a.Queue, b.Queue)
	a.Loss = max(a.Loss, b.Loss)
	a.Late = max(a.Late, b.Late)
	return a
}

// then returns the two edges as if they were one, which leads where b leads.
func (e Edge) then(b Edge) Edge {
	b.RTT += e.RTT
	b.Queue += e.Queue
	b.Loss = 1 - (1-e.Loss)*(1-b.Loss)
	b.Late = 1 - (1-e.Late)*(1-b.Late)
	return b
}

// smoothing is how long it takes for 63 % of a change to show in a node's own edges. A row a second with 20 % of noise has a
// third of that noise left.
const smoothing = 4 * time.Second

// toward returns the edge moved toward a new measurement that comes so long after the last one.
func (e Edge) toward(m Edge, elapsed time.Duration) Edge {
	w := 1 - math.Exp(-float64(max(elapsed, 0))/float64(smoothing))
	mix := func(a, b float64) float64 { return a + w*(b-a) }
	m.RTT = time.Duration(mix(float64(e.RTT), float64(m.RTT)))
	m.Queue = time.Duration(mix(float64(e.Queue), float64(m.Queue)))
	m.Loss = mix(e.Loss, m.Loss)
	m.Late = mix(e.Late, m.Late)
	return m
}

// margin is how much better than the cost something must be to be worth a change.
func margin(cost time.Duration) time.Duration {
	return max(15*time.Millisecond, cost*15/100)
}

// sharePrice is what it is worth not to carry a stream of that cost into a region once more. With the first burden it is
// more than the margin, HopPrice and 10 ms within the region, so that sharing by itself is a reason to change.
func sharePrice(cost time.Duration) time.Duration {
	return 45*time.Millisecond + cost*15/100
}
