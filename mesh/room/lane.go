package room

import (
	"slices"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// lane is what two nodes that talk about rosters say to each other, in both directions: one ordered conversation each way for
// all rooms.
//
// A notice has the number of its lane (the epoch) and its place in it. The receiver acknowledges; a sender has at most so much
// in flight ([limits.window]), and what has not been said yet stays with the feeds, where changes replace each other. So a
// slow link or node costs no memory, and many rooms that start at once do not break a link's backlog.
//
// Nothing is sent twice. Whatever goes missing (the link broke, a process restarted, somebody lost count) makes the lane begin
// again, and with it each of its feeds: what a feed says is a state, so that costs bytes and nothing else.
type lane struct {
	// what goes out
	epoch    uint64 // 0: begins with the next notice
	seq      uint64
	inflight []flight
	bytes    int       // in flight
	progress time.Time // something was acknowledged, or there was nothing to
	sent     time.Time // the last notice
	hold     time.Time // no new epoch before
	queue    []*feed
	control  []itemMessage // said once, before the queue
	dropped  bool          // it was taken for gone, and may go on following here in vain
	isBusy   bool

	// what comes in
	inEpoch  uint64
	inSeq    uint64
	heard    time.Time // anything
	spoke    time.Time // a notice with a number, of which a node that follows sends one each pingEvery
	owesAck  bool
	owesLost bool
	credit   int       // bytes that may be read now
	credited time.Time // when that was counted
	given    int       // bytes of entries from this node

	silent bool // nothing was heard for too long; it is not followed
	mended *timer
	acking *timer
	pulse  *timer // while it is followed, or follows
	retry  *timer
	feeds  map[feedKey]*feed
}

// flight is a notice that was not acknowledged yet.
type flight struct {
	seq   uint64
	bytes int
}

// feedKey tells the feeds to a node apart.
type feedKey struct {
	room string
	up   bool
}

// noticeSize is about how long a notice becomes; an entry that does not fit makes it longer.
const noticeSize = 32 << 10

// resetEvery is the shortest time between two beginnings of a lane.
const resetEvery = 200 * time.Millisecond

func (l *lane) init(now time.Time) {
	l.heard, l.spoke, l.credited, l.feeds = now, now, now, map[feedKey]*feed{}
	l.credit = 1 << 20
}

// afford says whether a message of the node may be read: it has sent no more than its rate, by twice the bound at which its
// acknowledgements are held back, which keeps an honest node well below.
func (p *peer) afford(n int) bool {
	l := &p.c.limits
	p.refill()
	if p.credit < -2*l.window {
		return false
	}
	p.credit -= n + 256
	return true
}

func (p *peer) refill() {
	l := &p.c.limits
	gained := int(p.c.now.Sub(p.credited).Seconds() * float64(l.rate))
	if gained > 0 {
		p.credited = p.c.now
		p.credit = min(p.credit+gained, l.rate)
	}
}

// notice is the input of a notice.
func (c *core) notice(now time.Time, from link.NodeID, payload []byte) {
	c.enter(now)
	defer c.settle()
	c.m.NoticesReceived.Add(1)
	c.m.BytesReceived.Add(uint64(len(payload)))
	p := c.peer(from)
	if p == nil || from == c.self || !p.afford(len(payload)) {
		c.m.Flooded.Add(1)
		return
	}
	var m noticeMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		c.m.Malformed.Add(1)
		return
	}
	p.alive()
	p.acknowledged(&m)
	if m.Seq == 0 {
		return
	}
	switch {
	case m.Epoch == p.inEpoch && m.Seq == p.inSeq+1:
	case m.Epoch == p.inEpoch && m.Seq <= p.inSeq:
		return
	case m.Epoch != p.inEpoch && m.Seq == 1:
		p.inEpoch = m.Epoch
		p.restarted()
		defer c.reroute() // what it does not follow again may end
	default:
		p.owesLost, p.owesAck = true, true
		p.inEpoch, p.inSeq = m.Epoch, 0
		p.ready()
		return
	}
	p.inSeq, p.spoke = m.Seq, p.c.now
	for i := range m.Items {
		p.item(&m.Items[i])
	}
	p.owesAck = true
	if len(m.Items) == 0 {
		p.ready() // somebody wants to know whether this node is there
	} else if p.acking == nil {
		p.acking = c.after(ackAfter, func() {
			p.acking = nil
			p.ready()
		})
	}
}

// acknowledged reads what a notice says of the own lane.
func (p *peer) acknowledged(m *noticeMessage) {
	if m.AckEpoch != p.epoch || p.epoch == 0 {
		return
	}
	if m.Lost {
		p.c.m.Resets.Add(1)
		p.resetOut()
		return
	}
	n := 0
	for n < len(p.inflight) && p.inflight[n].seq <= m.AckSeq {
		p.bytes -= p.inflight[n].bytes
		n++
	}
	if n > 0 {
		p.inflight, p.progress = slices.Delete(p.inflight, 0, n), p.c.now
		p.ready()
	}
}

// ready has flush called at the end of the input.
func (p *peer) ready() {
	if !p.isBusy {
		p.isBusy = true
		p.c.busy = append(p.c.busy, p)
	}
}

// flush sends what may be sent.
func (p *peer) flush() {
	if p.epoch == 0 && p.c.now.Before(p.hold) {
		if p.retry == nil {
			p.retry = p.c.after(p.hold.Sub(p.c.now), func() {
				p.retry = nil
				p.ready()
			})
		}
		return
	}
	l := &p.c.limits
	for (len(p.queue) > 0 || len(p.control) > 0) && p.bytes < l.window && len(p.inflight) < l.notices {
		p.send(p.fill())
	}
	if p.owesAck && p.affordable() {
		var items []itemMessage
		if p.dropped {
			items = []itemMessage{} // with which the lane begins again, and the other follows anew
		}
		p.send(items)
	}
}

// affordable says whether the node may be told to go on. It is what slows it down.
func (p *peer) affordable() bool {
	p.refill()
	if p.credit >= 0 {
		return true
	}
	if p.acking == nil {
		p.acking = p.c.after(ackAfter, func() {
			p.acking = nil
			p.ready()
		})
	}
	return false
}

// fill takes what fits into a notice from the queue.
func (p *peer) fill() []itemMessage {
	n := min(len(p.control), 64)
	items := slices.Clone(p.control[:n])
	p.control = slices.Delete(p.control, 0, n)
	size := 0
	for len(p.queue) > 0 && size < noticeSize {
		f := p.queue[0]
		p.queue = p.queue[1:]
		f.queued = false
		item, n := f.produce(noticeSize - size)
		items = append(items, item)
		if size += n; f.due() {
			f.enqueue()
		}
	}
	return items
}

// send sends a notice; nil items only acknowledge.
func (p *peer) send(items []itemMessage) {
	m := noticeMessage{Items: items}
	if items != nil {
		if p.epoch == 0 {
			p.epoch, p.seq, p.dropped = p.c.clock.next(p.c.now), 0, false
			p.hold = p.c.now.Add(resetEvery)
		}
		p.seq++
		m.Epoch, m.Seq = p.epoch, p.seq
		p.sent = p.c.now
	}
	if p.inEpoch != 0 && (items == nil || p.credit >= 0) {
		m.AckEpoch, m.AckSeq, m.Lost = p.inEpoch, p.inSeq, p.owesLost
		p.owesAck, p.owesLost = false, false
	}
	payload := wire.Marshal(&m)
	if items != nil {
		if len(p.inflight) == 0 {
			p.progress = p.c.now
		}
		p.inflight = append(p.inflight, flight{p.seq, len(payload)})
		p.bytes += len(payload)
	}
	p.c.m.NoticesSent.Add(1)
	p.c.m.BytesSent.Add(uint64(len(payload)))
	p.c.out = append(p.c.out, output{to: p.id, kind: KindNotice, payload: payload})
}

// ping asks for a sign of life.
func (p *peer) ping() {
	if p.epoch == 0 && p.c.now.Before(p.hold) {
		return
	}
	if len(p.inflight) < p.c.limits.notices {
		p.send([]itemMessage{})
	}
}

// probe tries a silent node.
func (p *peer) probe() {
	if p.silent && p.live {
		p.resetOut()
		p.ping()
	}
	p.beat()
}

// resetOut makes the own lane begin again.
func (p *peer) resetOut() {
	p.epoch, p.bytes, p.inflight, p.control = 0, 0, nil, nil
	for _, f := range p.sortedFeeds() {
		f.restart()
	}
}

// broken is the end of a link: what was in flight counts as lost.
func (p *peer) broken() {
	if p.epoch != 0 {
		p.c.m.Resets.Add(1)
		p.resetOut()
	}
	if !p.live && len(p.feeds) == 0 {
		p.gone()
	}
}

// restarted is the beginning of a new lane of the other side. Whatever it follows here it will say again. What it is followed for
// may have ended there meanwhile without word, so it is asked again.
func (p *peer) restarted() {
	for _, f := range p.sortedFeeds() {
		if f.up {
			f.restart()
		} else {
			f.roster.unfollowed(p, stopMoved)
		}
	}
}

func (p *peer) sortedFeeds() []*feed {
	feeds := make([]*feed, 0, len(p.feeds))
	for _, f := range p.feeds {
		feeds = append(feeds, f)
	}
	slices.SortFunc(feeds, func(a, b *feed) int {
		if a.roster.id < b.roster.id || a.roster.id == b.roster.id && a.up && !b.up {
			return -1
		}
		return 1
	})
	return feeds
}

// alive notes that the node was heard.
func (p *peer) alive() {
	p.heard = p.c.now
	if p.silent && p.mended == nil {
		p.mended = p.c.after(trustAfter, func() {
			p.mended = nil
			p.silent = false
			p.c.compareAgain(p)
			p.c.reroute()
		})
	}
}

// beat looks after the node as long as there is something to look after: it is followed, or follows, or was silent and may come back.
func (p *peer) beat() {
	if p.pulse != nil {
		return
	}
	if len(p.feeds) == 0 && !(p.silent && p.live && len(p.c.rosters) > 0) {
		return
	}
	every := pingEvery
	if p.silent {
		every = probeEvery
	} else if left := p.heard.Add(silence).Sub(p.c.now); left > 0 {
		every = min(every, left)
	}
	p.pulse = p.c.after(every, func() {
		p.pulse = nil
		p.look()
		p.beat()
	})
}

// look is one beat.
func (p *peer) look() {
	quiet := p.c.now.Sub(p.heard)
	switch {
	case p.silent:
		if quiet >= probeEvery {
			p.resetOut()
		}
		if p.live {
			p.ping()
		}
	case quiet >= silence:
		p.hush()
	case p.followed() && p.c.now.Sub(p.spoke) >= silence:
		// It lives and does not say what a follower says: it was restarted and knows nothing of what it followed. Should its notices be late
		// only, then the new beginning has it follow again.
		p.dropFeeds()
		p.resetOut()
		p.ping()
		p.c.reroute()
	case len(p.inflight) > 0 && p.c.now.Sub(p.progress) >= stuckAfter:
		// The last of what was said is missing there, and nothing followed by which that would show.
		p.c.m.Resets.Add(1)
		p.resetOut()
	case p.follows() && p.c.now.Sub(p.sent) >= pingEvery:
		p.ping()
		if quiet > silence/2 {
			p.warm()
		}
	}
}

// warm has links made to those who are followed next if this one stays silent.
func (p *peer) warm() {
	for _, f := range p.sortedFeeds() {
		if !f.up {
			continue
		}
		o := p.c.ranking.first(f.roster.hash, replicas)
		for _, id := range o.list()[o.index(p.id)+1:] {
			if next := p.c.peers[id]; id != p.c.self && p.c.usable(id) && p.c.now.Sub(next.sent) >= pingEvery {
				next.ping()
			}
			break
		}
	}
}

// follows says whether this node follows the other in some room.
func (p *peer) follows() bool {
	for k := range p.feeds {
		if k.up {
			return true
		}
	}
	return false
}

// followed says whether the other follows this node in some room.
func (p *peer) followed() bool {
	for k := range p.feeds {
		if !k.up {
			return true
		}
	}
	return false
}

// hush is what happens when nothing was heard for too long.
func (p *peer) hush() {
	p.silent = true
	p.c.stop(p.mended)
	p.mended = nil
	p.dropFeeds()
	p.resetOut()
	p.c.reroute()
}

// dropFeeds ends all that is said to the node. The lane has to begin again, by which the node learns of it.
func (p *peer) dropFeeds() {
	for _, f := range p.sortedFeeds() {
		if f.up {
			f.roster.unfollow(p.id, 0)
		} else {
			f.roster.unfollowed(p, stopMoved)
			p.dropped = true
		}
	}
}
