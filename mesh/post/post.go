package post

import (
	crand "crypto/rand"
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/sctp"

	"cardea/relay/link"
	"cardea/relay/peer"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

const (
	// tick is how often what is due is done.
	tick = 100 * time.Millisecond
	// idleAfter is how long an association is kept that nobody subscribes over.
	idleAfter = time.Minute
	// keepFor is how long messages are kept for a node without an association.
	keepFor = time.Minute
	// askAfter is how long a node may be silent until a listener's node asks it for a sign of life, so that it learns when a
	// publisher's node has restarted.
	askAfter = 2 * time.Second
	// stuckAfter is how long a node may be silent until the association is made anew.
	stuckAfter = 30 * time.Second
	// askAgain is how long to wait until a node that refused a subscription is asked again.
	askAgain = 2 * time.Second
	// maxSubscriptions is how many subscriptions one node may have here.
	maxSubscriptions = 1 << 14
)

// Defaults of [Config].
const (
	DefaultRoomBytes  = 8 << 20
	DefaultRoomRate   = 2000
	DefaultTotalBytes = 256 << 20
	DefaultSourceRate = 5000
)

// Config says who this node is and how it reaches others. The functions are safe for concurrent use, do not wait, and do
// not call the Post.
type Config struct {
	Self link.NodeID
	// Send hands a datagram of at most [link.MaxDatagram] bytes to a neighbour, over the link to it. The bytes are the caller's
	// again when it returns. An error only means that it is lost, which is made good.
	Send func(to link.NodeID, datagram []byte) error
	// Next returns the neighbour on the way to a node, other than avoid, which the datagram came from ("" if from here).
	Next func(to, avoid link.NodeID) (link.NodeID, bool)
	// Member says whether a node is one of the mesh.
	Member func(id link.NodeID) bool
	// Home returns the node where a line's publisher is; false if that is not known.
	Home func(id plane.StreamID) (link.NodeID, bool)
	// Channels finds published data lines. Its Demand is set by [New].
	Channels *stream.Directory[*peer.Channel]
	Log      *slog.Logger // default: nothing is logged

	// RoomBytes is what is kept of a room's messages that some node has not taken yet, counted once however many nodes there
	// are, with 256 bytes for each on top. Beyond it the oldest are dropped. More rides out longer stalls. Default 8 MiB.
	RoomBytes int
	// RoomRate is how many messages a second, and at once, are taken from a room's publishers here for other nodes. More are
	// dropped. Default 2000.
	RoomRate float64
	// TotalBytes is as RoomBytes, for all rooms together. Default 256 MiB.
	TotalBytes int64
	// SourceRate is how many datagrams a second, and at once, are taken from each other node, for here or to pass on; eight
	// times as many from all that come through one neighbour. Default 5000, some 45 Mbit/s.
	SourceRate float64
}

func (c Config) withDefaults() Config {
	if c.RoomBytes <= 0 {
		c.RoomBytes = DefaultRoomBytes
	}
	if c.RoomRate <= 0 {
		c.RoomRate = DefaultRoomRate
	}
	if c.TotalBytes <= 0 {
		c.TotalBytes = DefaultTotalBytes
	}
	if c.SourceRate <= 0 {
		c.SourceRate = DefaultSourceRate
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Post carries messages between this node and others. It is safe for concurrent use.
type Post struct {
	cfg     Config // set once, as the next four
	router  router
	quota   quota
	epoch   uint64
	started time.Time

	counts counters
	kept   atomic.Int64
	over   atomic.Bool // Run has ended
	todo   todo
	lines  sync.WaitGroup // run by Run

	mu             sync.RWMutex // guards below
	correspondents map[address]*correspondent
	intakes        map[plane.StreamID]*intake
	lastNumber     uint64 // given to a subscription last
	rooms          map[string]*room
	incarnation    uint64 // given last
}

// correspondent is another node that there is, or was, an association with.
type correspondent struct {
	id      link.NodeID
	address address

	// Guarded by Post.mu.
	line        *line                  // over which to subscribe
	epoch       uint64                 // of its process; 0: not known
	intakes     map[uint64]*intake     // whose home it is, by subscription
	subscribers map[uint64]*subscriber // of it, by subscription
	used        time.Time              // when there was last a subscription either way
	asked       time.Time              // when it was last asked for a sign of life

	mu      sync.Mutex // guards below
	contact contact
	made    *line // the contact's association
}

// todo is what others left for Run to do.
type todo struct {
	wake chan struct{}

	mu     sync.Mutex // guards below
	demand map[plane.StreamID]bool
	rooms  map[string]bool
	lines  []*line // to be run
}

// note has Run do what f notes down.
func (t *todo) note(f func()) {
	t.mu.Lock()
	f()
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// New returns a Post; nothing happens until [Post.Run].
func New(cfg Config) (*Post, error) {
	self, err := addressOf(cfg.Self)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p := &Post{
		cfg:            cfg,
		epoch:          random(),
		started:        time.Now(),
		incarnation:    random() >> 24, // so that an earlier process's are not met again
		router:         router{self: self, member: cfg.Member, next: cfg.Next, limits: newLimits(cfg.SourceRate)},
		todo:           todo{wake: make(chan struct{}, 1), demand: make(map[plane.StreamID]bool), rooms: make(map[string]bool)},
		correspondents: make(map[address]*correspondent),
		intakes:        make(map[plane.StreamID]*intake),
		rooms:          make(map[string]*room),
	}
	p.quota = quota{bytes: cfg.RoomBytes, rate: cfg.RoomRate, total: cfg.TotalBytes, kept: &p.kept, counts: &p.counts}
	cfg.Channels.Demand(func(id plane.StreamID, wanted bool) {
		p.todo.note(func() { p.todo.demand[id] = wanted })
	})
	return p, nil
}

// random returns a number that nobody can guess and that is not 0.
func random() uint64 {
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) | 1<<63
}

// fresh makes up a tag and SCTP's parameters for an association.
func fresh() (tag uint32, parameters []byte) {
	parameters, err := sctp.GenerateOutOfBandToken(common()...)
	if err != nil {
		panic(err) // only of options that are wrong
	}
	return uint32(random()>>32) | 1, parameters //nolint:gosec // half of it is enough
}

// HomesChanged tells that Home may say something else of a room's publishers than it did.
func (p *Post) HomesChanged(room string) {
	p.todo.note(func() { p.todo.rooms[room] = true })
}

// Received takes a datagram that a neighbour handed us, whose bytes are the Post's then. It does not wait.
func (p *Post) Received(via link.NodeID, datagram []byte) {
	if p.over.Load() {
		return
	}
	now := time.Now()
	v, h, payload, next := p.router.route(via, datagram, now)
	p.counts.datagrams[v].Add(1)
	switch v {
	case here:
		c := p.correspondent(h.from)
		c.mu.Lock()
		s := c.contact.receive(h, payload, now)
		p.follow(c, s, payload, now)
		c.mu.Unlock()
		if s.refused {
			p.counts.refused.Add(1)
		}
	case onward:
		datagram[hopsAt]--
		if p.cfg.Send(next, datagram) != nil {
			p.counts.unsent.Add(1)
		}
	default:
	}
}

// correspondent returns the node of that address.
func (p *Post) correspondent(a address) *correspondent {
	p.mu.RLock()
	c := p.correspondents[a]
	p.mu.RUnlock()
	if c != nil {
		return c
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acquaint(a)
}

// acquaint is correspondent for those who hold mu.
func (p *Post) acquaint(a address) *correspondent {
	c := p.correspondents[a]
	if c == nil {
		c = &correspondent{
			id: a.id(), address: a, contact: contact{fresh: fresh}, used: time.Now(),
			intakes: make(map[uint64]*intake), subscribers: make(map[uint64]*subscriber),
		}
		p.correspondents[a] = c
	}
	return c
}

// follow does a step of the contact. The caller holds c.mu.
func (p *Post) follow(c *correspondent, s step, payload []byte, now time.Time) {
	for _, g := range s.send {
		p.send(header{kind: g.kind, to: c.address, from: p.router.self, source: g.source, dest: g.dest}, g.parameters)
	}
	if s.end && c.made != nil {
		c.made.close()
		c.made = nil
	}
	if s.begin != nil {
		l := newLine(p, c, *s.begin, now)
		c.made = l
		p.todo.note(func() { p.todo.lines = append(p.todo.lines, l) })
	}
	if s.deliver && c.made != nil && !c.made.conn.push(payload, now) {
		p.counts.unread.Add(1)
	}
}

// send sends a datagram on its way.
func (p *Post) send(h header, payload []byte) {
	next, ok := p.cfg.Next(h.to.id(), "")
	if !ok {
		p.counts.unsent.Add(1)
		return
	}
	h.hops = maxHops
	b := datagrams.Get().(*[maxDatagram]byte) //nolint:forcetypeassert // only these are pooled
	defer datagrams.Put(b)
	if p.cfg.Send(next, h.append(b[:0], payload)) != nil {
		p.counts.unsent.Add(1)
	}
}

var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}
