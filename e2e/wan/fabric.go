package wan

import (
	"net/netip"
	"time"
)

// maxPackets bounds what may be under way in a network: at 1,500 bytes about 200 MB, at 200 Mbit/s eight seconds.
const maxPackets = 1 << 17

// fabric is the whole link without devices or clock: packets go in with the time, and come out when they are due. Times are
// since the start of the network and do not go back. Not safe for concurrent use.
type fabric struct {
	prefixes   []route
	sites      int
	directions []*direction // [from*sites+to]; nil on the diagonal
	partitions [][]bool     // one each; true for the sites on the named side
	largest    int          // packet, bytes
	deliver    func(site int, packet []byte) bool

	queue   events
	number  uint64 // of the latest event
	free    *packet
	packets int // made so far

	late       lateness
	exhausted  uint64
	unroutable uint64
	notice     []byte // ICMP message being made
}

// route says which site has a prefix.
type route struct {
	prefix netip.Prefix
	site   int
}

// newFabric makes the link of a valid topology. deliver hands a packet to a site, must not keep it, and reports whether the
// site took it.
func newFabric(t Topology, deliver func(site int, packet []byte) bool) *fabric {
	f := &fabric{sites: len(t.Sites), largest: t.mtu(), deliver: deliver}
	f.directions = make([]*direction, f.sites*f.sites)
	for i, site := range t.Sites {
		for _, p := range t.prefixes(i) {
			f.prefixes = append(f.prefixes, route{p, i})
		}
		for j, other := range t.Sites {
			if i == j {
				continue
			}
			f.directions[i*f.sites+j] = newDirection(t.Seed, i, j, [2]string{site.Name, other.Name})
			f.set(0, i, j, t.conditions(site.Name, other.Name))
		}
	}
	return f
}

func (f *fabric) way(from, to int) *direction { return f.directions[from*f.sites+to] }

// take returns an empty packet to fill and enter, or nil when maxPackets are under way.
func (f *fabric) take() *packet {
	p := f.free
	switch {
	case p != nil:
		f.free, p.next = p.next, nil
	case f.packets == maxPackets:
		f.exhausted++
	default:
		f.packets++
		p = &packet{data: make([]byte, f.largest)}
	}
	return p
}

func (f *fabric) release(p *packet) {
	p.next = f.free
	f.free = p
}

// enter takes a packet from a site: the first p.size bytes of what take returned.
func (f *fabric) enter(now time.Duration, from int, p *packet) {
	to := f.route(p.bytes())
	if to < 0 || to == from {
		f.unroutable++
		f.tell(from, p, prohibited, 0)
		f.release(p)
		return
	}
	d := f.way(from, to)
	c := &d.conditions
	d.stats.Packets++
	d.stats.Bytes += uint64(p.size)
	if d.entering != nil {
		d.entering(now, p.bytes())
	}
	switch {
	case d.closed():
		d.stats.Cut++
		f.release(p)
	case c.MTU > 0 && p.size > c.MTU:
		d.stats.TooLarge++
		if !c.Blackhole {
			f.tell(from, p, tooLarge, c.MTU)
		}
		f.release(p)
	case c.Rate > 0:
		f.wait(now, d, p)
	default:
		f.fly(now, d, p)
	}
}

// route returns the site that the packet is for, or -1.
func (f *fabric) route(b []byte) int {
	var to netip.Addr
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		to = netip.AddrFrom4([4]byte(b[16:20]))
	case len(b) >= 40 && b[0]>>4 == 6:
		to = netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return -1
	}
	for i := range f.prefixes {
		if f.prefixes[i].prefix.Contains(to) {
			return f.prefixes[i].site
		}
	}
	return -1
}

// tell hands the sender of p an ICMP message about it, where ICMP allows one.
func (f *fabric) tell(site int, p *packet, reason notice, mtu int) {
	f.notice = appendNotice(f.notice[:0], p.bytes(), reason, mtu)
	if len(f.notice) > 0 {
		f.deliver(site, f.notice)
	}
}

// wait puts p in line at the bottleneck.
func (f *fabric) wait(now time.Duration, d *direction, p *packet) {
	if d.stats.QueuedBytes+p.size > d.limit {
		d.stats.QueueDropped++
		f.release(p)
		return
	}
	p.entered = now
	d.line(p)
	if d.head == p {
		f.send(now, d)
	}
}

// send begins to send the head of the line.
func (f *fabric) send(now time.Duration, d *direction) {
	d.started, d.done = now, now+d.sending(d.head.size)
	d.service = f.schedule(d.done, d, nil)
}

// sent ends what send began. It counts from the moment that was due, not from the later one at which the engine got to it, so the
// rate is exact.
func (f *fabric) sent(d *direction) {
	at := d.done
	f.fly(at, d, d.unline(d.started))
	if d.head != nil {
		f.send(max(at, d.head.entered), d)
	}
}

// fly sends p over the long way behind the bottleneck.
func (f *fabric) fly(now time.Duration, d *direction, p *packet) {
	c := &d.conditions
	if d.loss.next() {
		d.stats.Lost++
		f.release(p)
		return
	}
	due := now + c.Delay + d.jitter.at(now, c.Jitter)
	if c.Reorder > 0 && d.reorder.Float64() < c.Reorder {
		d.stats.Reordered++
		due += c.reorderBy()
	} else {
		// Also when the delay has just become less: what is under way stays in front.
		due = max(due, d.last)
		d.last = due
	}
	d.stats.Flying++
	f.schedule(due, d, p)
	if c.Duplicate > 0 && d.duplicate.Float64() < c.Duplicate {
		if twin := f.take(); twin != nil {
			twin.size = copy(twin.data, p.bytes())
			d.stats.Duplicated++
			d.stats.Flying++
			f.schedule(due, d, twin)
		}
	}
}

// schedule makes an event and returns its number.
func (f *fabric) schedule(due time.Duration, d *direction, p *packet) uint64 {
	f.number++
	f.queue.push(event{due: due, number: f.number, way: d, packet: p})
	return f.number
}

// next returns when advance has something to do again.
func (f *fabric) next() (due time.Duration, ok bool) {
	if len(f.queue) == 0 {
		return 0, false
	}
	return f.queue[0].due, true
}

// advance does what is due by now, at most limit events, and reports whether there may be more.
func (f *fabric) advance(now time.Duration, limit int) (more bool) {
	for range limit {
		if len(f.queue) == 0 || f.queue[0].due > now {
			return false
		}
		e := f.queue.pop()
		switch {
		case e.packet != nil:
			f.late.add(now - e.due)
			f.arrive(now, e.way, e.packet)
		case e.number == e.way.service && e.way.head != nil:
			f.sent(e.way)
		}
	}
	return true
}

// arrive hands p to the site at the far end.
func (f *fabric) arrive(now time.Duration, d *direction, p *packet) {
	d.stats.Flying--
	switch {
	case d.closed():
		d.stats.Cut++
	case f.deliver(d.to, p.bytes()):
		d.stats.Delivered++
		d.stats.DeliveredBytes += uint64(p.size)
		if d.leaving != nil {
			d.leaving(now, p.bytes())
		}
	default:
		d.stats.Refused++
	}
	f.release(p)
}

// set changes the conditions of a direction to c, which are valid. A new rate holds for what is in the queue as well; what is
// already behind the bottleneck arrives when it was going to.
func (f *fabric) set(now time.Duration, from, to int, c Conditions) {
	d := f.way(from, to)
	old := d.conditions.Rate
	d.conditions = c
	d.loss.set(c)
	d.limit = c.queueLimit(f.largest)
	d.stats.LongestWait = 0
	if d.head == nil || c.Rate == old {
		return
	}
	if c.Rate == 0 {
		d.service = 0
		for start := d.started; d.head != nil; start = now {
			f.fly(now, d, d.unline(start))
		}
		return
	}
	if left := d.done - now; left > 0 { // otherwise the head is out already, at the old rate
		d.done = now + time.Duration(float64(left)*float64(old)/float64(c.Rate))
		d.service = f.schedule(d.done, d, nil)
	}
}

// partition cuts the sites on one side off from those on the other, on top of the partitions there are.
func (f *fabric) partition(side []bool) {
	f.partitions = append(f.partitions, side)
	f.count()
}

// heal ends all partitions.
func (f *fabric) heal() {
	f.partitions = nil
	f.count()
}

// count tells each direction how many partitions it crosses.
func (f *fabric) count() {
	for _, d := range f.directions {
		if d == nil {
			continue
		}
		d.cuts = 0
		for _, side := range f.partitions {
			if side[d.from] != side[d.to] {
				d.cuts++
			}
		}
	}
}
