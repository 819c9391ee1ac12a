package route

import (
	"fmt"
	"math"
	"slices"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// KindRow is a [Row], a notice.
const KindRow link.Kind = 64

const (
	maxRow     = 1 << 20 // bytes of a message
	maxTold    = 512     // entries of a message that is sent
	maxMoved   = 32      // entries of a Tell of which nothing but a figure has changed
	maxEntries = 8192    // of a row, all messages together
	maxID      = 64      // bytes of an id

	// figuresEvery is how often figures that have moved a little are told. A message a second on a link that is idle otherwise costs
	// much more than its bytes: the link takes it for traffic and reports on it.
	figuresEvery = 5 * time.Second
	// beatEvery is how often something is said if there is nothing to say.
	beatEvery = 30 * time.Second
	// askEvery is how often somebody is asked to tell everything again.
	askEvery = 2 * time.Second
)

// Row is what a node tells another, with which it has a link, of its links and ways. See [Table.Tell]. Empty, it says that what was told
// before still holds.
type Row struct {
	Whole bool     `pb:"1"` // nothing that was told before holds: the first message on a link
	Told  []Told   `pb:"2"` // new or changed
	Gone  []string `pb:"3"` // nothing is known of these any more
	Again bool     `pb:"4"` // something that the other side told was missed; it should tell all, as at first
}

// Told is what a node tells of another one.
type Told struct {
	To    string   `pb:"1"`
	Up    bool     `pb:"2"` // there is a link, and the figures are its
	RTT   uint32   `pb:"3"` // microseconds
	Queue uint32   `pb:"4"` // microseconds
	Loss  uint32   `pb:"5"` // parts per million
	Late  uint32   `pb:"6"` // parts per million
	Via   []string `pb:"7"` // no link, or one that is worse than the way over these, nearest first; the figures are the way's
	Seek  uint8    `pb:"8"` // 1: the teller cannot open a link with it; n+1: somebody n hops behind the teller cannot
}

// Append appends the encoded message to b.
func (r *Row) Append(b []byte) []byte { return wire.Append(b, r) }

// ParseRow reads a message of any member.
func ParseRow(b []byte) (Row, error) {
	var r Row
	if len(b) > maxRow {
		return r, fmt.Errorf("row of %d bytes: %w", len(b), wire.ErrMalformed)
	}
	if err := wire.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("row: %w", err)
	}
	if len(r.Told)+len(r.Gone) > maxEntries {
		return r, fmt.Errorf("row of %d entries: %w", len(r.Told)+len(r.Gone), wire.ErrMalformed)
	}
	for i := range r.Told {
		if !r.Told[i].proper() {
			return r, fmt.Errorf("row: improper entry: %w", wire.ErrMalformed)
		}
	}
	return r, nil
}

// proper tells whether the entry says something that can be so.
func (e *Told) proper() bool {
	if e.To == "" || len(e.To) > maxID || len(e.Via) > MaxHops || e.Up && len(e.Via) > 0 {
		return false
	}
	for i, id := range e.Via {
		if id == "" || len(id) > maxID || id == e.To || slices.Contains(e.Via[:i], id) {
			return false
		}
	}
	return true
}

func (e *Told) entry() entry {
	r := entry{seek: e.Seek, Edge: Edge{
		To: link.NodeID(e.To), Up: e.Up,
		RTT: time.Duration(e.RTT) * time.Microsecond, Queue: time.Duration(e.Queue) * time.Microsecond,
		Loss: float64(e.Loss) / 1e6, Late: float64(e.Late) / 1e6,
	}.bounded()}
	for _, id := range e.Via {
		r.via = append(r.via, link.NodeID(id))
	}
	return r
}

func (e entry) tell() Told {
	told := Told{
		To: string(e.To), Up: e.Up, Seek: e.seek,
		RTT: microseconds(e.RTT), Queue: microseconds(e.Queue), Loss: millionths(e.Loss), Late: millionths(e.Late),
	}
	for _, id := range e.via {
		told.Via = append(told.Via, string(id))
	}
	return told
}

func microseconds(d time.Duration) uint32 { return uint32(d.Round(time.Microsecond).Microseconds()) } // within maxTime
func millionths(f float64) uint32         { return uint32(math.Round(f * 1e6)) }

// Hear takes a message from a node with which there is a link. It returns an error if the message is malformed; what the
// node told before then still holds. Messages of nodes that gossip does not know are ignored; they are told again as soon as it does.
func (t *Table) Hear(from link.NodeID, message []byte, now time.Time) error {
	m, err := ParseRow(message)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	n := t.nodes[from]
	if n == nil || n == t.self {
		return nil
	}
	if err != nil {
		n.missed = true
		return fmt.Errorf("from %s: %w", from, err)
	}
	n.again = n.again || m.Again
	if m.Whole {
		n.row, n.missed = nil, false
	}
	if n.row == nil {
		n.row = &row{entries: make(map[link.NodeID]entry, len(m.Told))}
		n.missed = !m.Whole
		t.changed()
	}
	n.row.heard = now
	t.believe(now.Add(RowLife))
	if n.row.take(from, &m) {
		t.changed()
	}
	return nil
}

// take takes in a message and says whether there was anything in it.
func (r *row) take(from link.NodeID, m *Row) bool {
	for _, id := range m.Gone {
		delete(r.entries, link.NodeID(id))
	}
	for i := range m.Told {
		e := m.Told[i].entry()
		// Nodes that gossip has not brought yet are kept, since they will not be told again.
		if _, known := r.entries[e.To]; (known || len(r.entries) < maxEntries) && e.To != from && !slices.Contains(e.via, from) {
			r.entries[e.To] = e
		}
	}
	return len(m.Told)+len(m.Gone) > 0
}

// Telling is what the other end of one link has been told. It begins and ends with the link, and belongs to one goroutine.
type Telling struct {
	to      link.NodeID
	told    map[link.NodeID]entry
	last    time.Time // message
	figures time.Time // when those that had moved a little were told
	asked   time.Time // when it was last asked to tell everything again
}

// NewTelling returns a Telling to a node with which a link is up.
func NewTelling(to link.NodeID) *Telling { return &Telling{to: to} }

// Tell returns the messages, often none, that bring the other end up to date: to be sent in order, as [KindRow]. It is to be asked about
// once a second and when a link goes up, goes down or stalls. What has come, gone or changed its way is told at once; figures if they
// have moved by as much as would make somebody change his mind, or every five seconds, and at most 32 at a time:
// otherwise it would cost links x links bytes.
func (t *Table) Tell(l *Telling, now time.Time) [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	m := Row{}
	if l.told == nil {
		l.asked = now // its first message may be on its way
	}
	if n := t.nodes[l.to]; n != nil {
		if (n.missed || n.row == nil) && now.Sub(l.asked) >= askEvery {
			m.Again, l.asked = true, now
		}
		if n.again {
			n.again, l.told = false, nil
		}
	}
	if l.told == nil {
		m.Whole, l.told = true, map[link.NodeID]entry{}
	}
	var messages [][]byte
	flush := func() {
		messages = append(messages, m.Append(nil))
		m = Row{}
	}
	present := t.tellable(l.to, now)
	for id := range l.told {
		if _, still := present[id]; !still {
			delete(l.told, id)
			m.Gone = append(m.Gone, string(id))
		}
	}
	moved, trifles := 0, now.Sub(l.figures) >= figuresEvery
	if trifles {
		l.figures = now
	}
	for id, e := range present {
		before, told := l.told[id]
		if told && !e.differs(before) {
			if moved == maxMoved || !e.moved(before, trifles) {
				continue
			}
			moved++
		}
		l.told[id] = e
		if m.Told = append(m.Told, e.tell()); len(m.Told) == maxTold {
			flush()
		}
	}
	if len(m.Told)+len(m.Gone) > 0 || m.Whole || m.Again || len(messages) == 0 && now.Sub(l.last) >= beatEvery {
		flush()
	}
	if len(messages) > 0 {
		l.last = now
	}
	return messages
}

// tellable returns what a neighbour may know: all own links, and whom others seek. Where there is a way that is better than the link,
// or in place of it, and that does not lead over the neighbour, it is told instead: who asks this node will get the streams by it.
func (t *Table) tellable(to link.NodeID, now time.Time) map[link.NodeID]entry {
	ways := t.allWays(now)
	list := make(map[link.NodeID]entry, len(t.linked)+len(ways))
	for _, n := range t.linked {
		list[n.ID] = entry{Edge: n.own.Edge}
	}
	for id, e := range ways {
		if id == to {
			continue // it knows where it is; but it shall know how the link looks from here
		}
		if e.seeker == to {
			e.seek = 0 // it said so itself
		}
		_, linked := list[id]
		if slices.Contains(e.via, to) {
			e.Edge, e.via = Edge{To: id}, nil
		}
		if len(e.via) > 0 || e.seek > 0 && !linked {
			list[id] = e
		}
	}
	return list
}
