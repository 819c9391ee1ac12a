package room

import (
	"encoding/binary"
	"slices"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

const (
	// offerMost is how many records one offer lists.
	offerMost = 4096
	// replyMost is about how long an answer with records, or a message that brings records, becomes.
	replyMost = 512 << 10
	// compareTimeout bounds each call of a comparison: these may be long.
	compareTimeout = 3 * time.Second
	// verifyAfter is when a node makes sure that others have learned of a change, too: whoever made it may not reach all.
	verifyAfter = 1500 * time.Millisecond
	// compareRetry is when a comparison that failed is tried again.
	compareRetry = time.Second
	// patience is how long the node with the higher id leaves a comparison to the other.
	patience = time.Second
	// rounds is how often one comparison begins again because something was different in the end.
	rounds = 4
)

// comparison makes the records of two nodes equal, as far as both are to keep them. If the sums differ, those of the buckets tell
// where; then the caller lists these buckets, learns what the other has that it does not, and brings what the other misses.
type comparison struct {
	c       *core
	p       *peer
	timer   *timer // until it begins
	running bool
	ended   bool
	round   int
	differ  []uint32
}

// compareSoon has a node's records compared with the own ones, by one of the two.
func (c *core) compareSoon(p *peer) {
	wait := time.Duration(c.rand.Int64N(int64(50 * time.Millisecond)))
	if p.id < c.self {
		wait += patience
	}
	c.compareIn(p, wait)
}

// compareAgain compares soon with a node that could not be reached for a while, whatever was planned.
func (c *core) compareAgain(p *peer) {
	p.failed = 0
	if p.sync != nil && !p.sync.running {
		p.sync.end()
	}
	if p.live {
		c.compareSoon(p)
	}
}

func (c *core) compareIn(p *peer, wait time.Duration) {
	if p.sync != nil {
		return
	}
	s := &comparison{c: c, p: p}
	p.sync = s
	s.timer = c.after(wait, func() {
		if p.synced && c.table.sums[p.id].root() == p.agreed {
			s.end() // the other one was faster
			return
		}
		s.begin()
	})
}

// verify has the records compared with those of the others who are to keep one that has changed.
func (c *core) verify(r *record) {
	o := c.keepers(r)
	for _, id := range o.list() {
		if p := c.peers[id]; id != c.self && p != nil {
			c.compareIn(p, verifyAfter+time.Duration(c.rand.Int64N(int64(verifyAfter/4))))
		}
	}
}

// compareNext compares with the next two nodes in turn.
func (c *core) compareNext() {
	c.after(digestEvery, c.compareNext)
	ids := make([]link.NodeID, 0, len(c.peers))
	for id, p := range c.peers {
		if p.live && id != c.self {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for range min(2, len(ids)) {
		i, found := slices.BinarySearch(ids, c.robin)
		if found {
			i++
		}
		c.robin = ids[i%len(ids)]
		if p := c.peers[c.robin]; p.sync == nil {
			p.sync = &comparison{c: c, p: p}
			p.sync.begin()
		}
	}
}

// end is the end of it, whatever the outcome.
func (s *comparison) end() {
	s.ended = true
	s.c.stop(s.timer)
	if s.p.sync == s {
		s.p.sync = nil
	}
}

// fail tries again later.
func (s *comparison) fail() {
	s.end()
	if s.p.live && s.c.peers[s.p.id] == s.p {
		wait := compareRetry << min(s.p.failed, 6)
		s.p.failed++
		s.c.compareIn(s.p, wait+time.Duration(s.c.rand.Int64N(int64(wait))))
	}
}

// call asks the other node, and reads its answer into reply.
func (s *comparison) call(kind link.Kind, request, reply any, f func()) {
	s.c.call(s.p.id, kind, request, compareTimeout, func(b []byte, err error) {
		switch {
		case s.ended:
		case err != nil || wire.Unmarshal(b, reply) != nil:
			s.fail()
		default:
			f()
		}
	})
}

func (s *comparison) begin() {
	own := s.c.table.sums[s.p.id]
	root := own.root()
	s.running = true
	if s.round++; s.round > rounds {
		s.fail() // they differ about who is there, or the records change all the time
		return
	}
	var reply digestReply
	s.call(KindDigest, &digestMessage{Sum: root}, &reply, func() {
		if len(reply.Sums) == 0 {
			s.p.synced, s.p.agreed, s.p.failed = true, root, 0
			s.end()
			return
		}
		if len(reply.Sums) != 8*buckets {
			s.c.m.Malformed.Add(1)
			s.fail()
			return
		}
		s.differ = nil
		own := s.c.table.sums[s.p.id]
		for i := range uint32(buckets) {
			var sum uint64
			if own != nil {
				sum = own[i]
			}
			if binary.BigEndian.Uint64(reply.Sums[8*i:]) != sum {
				s.differ = append(s.differ, i)
			}
		}
		s.offer()
	})
}

// onDigest answers a comparison.
func (c *core) onDigest(from link.NodeID, payload []byte) ([]byte, error) {
	var m digestMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		return nil, err
	}
	own := c.table.sums[from]
	if own.root() == m.Sum {
		if p := c.peers[from]; p != nil {
			p.synced, p.agreed = true, m.Sum
		}
		return nil, nil
	}
	if own == nil {
		own = &sums{}
	}
	reply := make([]byte, 0, 8*buckets)
	for _, v := range own {
		reply = binary.BigEndian.AppendUint64(reply, v)
	}
	return wire.Marshal(&digestReply{Sums: reply}), nil
}

// shared says whether both this node and another are to keep a record.
func (c *core) shared(r *record, with link.NodeID) bool {
	o := c.keepers(r)
	return o.index(c.self) >= 0 && o.index(with) >= 0
}

// offer lists the next buckets that differ.
func (s *comparison) offer() {
	if len(s.differ) == 0 {
		s.begin()
		return
	}
	var m offerMessage
	for len(s.differ) > 0 && (len(m.Records) == 0 || len(m.Records)+len(s.c.table.records[s.differ[0]]) <= offerMost) {
		b := s.differ[0]
		s.differ = s.differ[1:]
		m.Buckets = append(m.Buckets, b)
		for _, id := range sorted(s.c.table.records[b]) {
			if r := s.c.table.records[b][id]; s.c.shared(r, s.p.id) {
				m.Records = append(m.Records, offerRecord{id, r.sum})
			}
		}
	}
	var reply offerReply
	s.call(KindOffer, &m, &reply, func() {
		s.c.exchange(s.p.id, &reply, func(err error) {
			switch {
			case s.ended:
			case err != nil:
				s.fail()
			case reply.More:
				s.differ = append(m.Buckets, s.differ...)
				s.offer()
			default:
				s.offer()
			}
		})
	})
}

// onOffer answers an offer: with what the other node does not have in the buckets that it lists, with what differs, and with what
// is missing here.
func (c *core) onOffer(from link.NodeID, payload []byte) ([]byte, error) {
	var m offerMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		return nil, err
	}
	var reply offerReply
	size := 0
	add := func(r *record) {
		if size >= replyMost {
			reply.More = true
			return
		}
		size += len(r.id) + len(r.value) + 64
		reply.Records = append(reply.Records, *r.message())
	}
	listed := make(map[string]struct{}, len(m.Records))
	for _, o := range m.Records {
		listed[o.ID] = struct{}{}
		if r := c.table.get(o.ID); r == nil {
			reply.Wanted = append(reply.Wanted, o.ID)
		} else if r.sum != o.Sum {
			add(r)
		}
	}
	for i, b := range m.Buckets {
		if b >= buckets || i >= buckets {
			c.m.Malformed.Add(1)
			break
		}
		for _, id := range sorted(c.table.records[b]) {
			r := c.table.records[b][id]
			if _, ok := listed[id]; !ok && c.shared(r, from) {
				add(r)
			}
		}
	}
	return wire.Marshal(&reply), nil
}

// exchange acts on the answer to an offer: takes in what came, and brings what is missing there.
func (c *core) exchange(with link.NodeID, reply *offerReply, done func(error)) {
	var send []*record
	for i := range reply.Records {
		rec, err := reply.Records[i].record(c.now)
		if err != nil {
			c.m.Malformed.Add(1)
			continue
		}
		if c.apply(rec) == nil {
			c.m.Repaired.Add(1)
		}
		if now := merge(c.table.get(rec.id), rec); now.sum != rec.sum {
			send = append(send, now)
		}
	}
	for _, id := range reply.Wanted {
		if r := c.table.get(id); r != nil {
			send = append(send, r)
		}
	}
	c.bring(with, send, done)
}

// bring has a node keep records, message by message.
func (c *core) bring(to link.NodeID, records []*record, done func(error)) {
	if len(records) == 0 {
		done(nil)
		return
	}
	var m storeMessage
	size := 0
	for len(records) > 0 && size < replyMost && len(m.Records) < offerMost {
		m.Records = append(m.Records, *records[0].message())
		size += len(records[0].value) + 64
		records = records[1:]
	}
	c.call(to, KindStore, &m, compareTimeout, func(_ []byte, err error) {
		if err != nil {
			done(err)
			return
		}
		c.bring(to, records, done)
	})
}
