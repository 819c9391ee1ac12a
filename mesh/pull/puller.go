package pull

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cardea/mesh/route"
	"cardea/relay"
	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

// Config says what a puller works with. All of it is set once; Log may be nil.
type Config struct {
	// Self is this node.
	Self link.NodeID
	// Endpoint has the links to other nodes. It must not run yet when the puller is made.
	Endpoint *link.Endpoint
	// Far is the media plane's. Its directory of streams must not be in use yet when the puller is made.
	Far relay.Far
	// Home returns the node on which a stream is, or would be, published. It is called often and must not wait.
	Home func(plane.StreamID) (link.NodeID, bool)
	// Table knows whom to ask for streams of a node.
	Table *route.Table
	Log   *slog.Logger
}

const (
	// stallPeriod is how often links are looked at.
	stallPeriod = 50 * time.Millisecond
	// wantPeriod is how often streams that come from elsewhere are looked at, and homePeriod how often others are.
	wantPeriod, homePeriod = int64(100 * time.Millisecond), int64(time.Second)
	// dialTime bounds how long making a link may take.
	dialTime = 5 * time.Second
	// warmTime is how often a link that is only to be there is dialled.
	warmTime = int64(10 * time.Second)
)

// Puller brings streams from other nodes and serves other nodes. One goroutine, Run's, does all of it.
type Puller struct {
	self    link.NodeID
	streams *stream.Directory[*stream.Stream]
	now     func() int64
	home    func(plane.StreamID) (link.NodeID, bool)
	table   *route.Table
	dial    dialer
	fault   func(k stream.Sink, reason any, stack []byte)
	log     *slog.Logger
	inbox   *inbox
	done    chan struct{}  // closed when Run has ended
	dials   sync.WaitGroup // of Run
	gates   sync.Map       // of *gate, by hop
	metrics Metrics

	// Owned by Run.
	courses    map[plane.StreamID]*course
	rooms      map[string]map[plane.StreamID]*course
	neighbours map[hop]*neighbour
	nodes      map[link.NodeID]*neighbour
	dialling   map[link.NodeID]*dialling
	judged     map[link.NodeID]judged // by the publisher's node
	hints      map[*neighbour]*hintsMessage
}

// Metrics counts what a puller does.
type Metrics struct {
	Opened    atomic.Uint64 // streams that came from another node
	Asked     atomic.Uint64 // wants sent
	Failovers atomic.Uint64 // parents left because they failed
	Moves     atomic.Uint64 // parents left for a better one
	Refusals  atomic.Uint64 // wants of others refused
	Malformed atomic.Uint64 // notices that make no sense
	Flooded   atomic.Uint64 // notices dropped because a neighbour sent too many
}

// New makes a puller. It registers with the endpoint and the directory.
func New(cfg Config) *Puller {
	e := cfg.Endpoint
	p := newPuller(cfg, func(ctx context.Context, to link.NodeID) (hop, error) {
		l, err := e.Link(ctx, to)
		if err != nil {
			return nil, err
		}
		return linkHop{l}, nil
	})
	for kind := range notices {
		e.HandleNotice(kind, func(l *link.Link, payload []byte) { p.notice(linkHop{l}, kind, payload) })
	}
	e.Watch(func(l *link.Link, up bool) { p.changed(linkHop{l}, up) })
	return p
}

func newPuller(cfg Config, dial dialer) *Puller {
	p := &Puller{
		self: cfg.Self, streams: cfg.Far.Streams, now: cfg.Far.Now, home: cfg.Home, table: cfg.Table, dial: dial, log: cfg.Log,
		fault: cfg.Far.Fault,
		inbox: newInbox(), done: make(chan struct{}),
		courses: make(map[plane.StreamID]*course), rooms: make(map[string]map[plane.StreamID]*course),
		neighbours: make(map[hop]*neighbour), nodes: make(map[link.NodeID]*neighbour),
		dialling: make(map[link.NodeID]*dialling), judged: make(map[link.NodeID]judged),
		hints: make(map[*neighbour]*hintsMessage),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.streams.Demand(func(id plane.StreamID, wanted bool) {
		p.inbox.post(func() { p.demanded(id, wanted) })
	})
	return p
}

// Metrics returns the counters.
func (p *Puller) Metrics() *Metrics { return &p.metrics }

// HomesChanged tells that streams of a room may be published elsewhere now. It does not wait.
func (p *Puller) HomesChanged(room string) {
	p.inbox.post(func() {
		for _, c := range p.rooms[room] {
			p.locate(c)
			p.settled(c)
		}
	})
}

// Pulled is a stream that comes from another node.
type Pulled struct {
	ID   plane.StreamID
	Path []link.NodeID // from the publisher's node to this one; the last but one is the parent
}

// Pulled returns the streams that come from other nodes, in no order. There are none unless the puller runs.
func (p *Puller) Pulled(ctx context.Context) []Pulled {
	answer := make(chan []Pulled, 1)
	p.inbox.post(func() {
		var all []Pulled
		for _, c := range p.courses {
			if path := c.want.path(); c.stream != nil && path != nil {
				all = append(all, Pulled{c.id, path})
			}
		}
		answer <- all
	})
	select {
	case all := <-answer:
		return all
	case <-p.done:
	case <-ctx.Done():
	}
	return nil
}

// Run works until ctx ends. Then it takes back what it asked for, and withdraws the streams it brought.
func (p *Puller) Run(ctx context.Context) error {
	defer close(p.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ticker := time.NewTicker(stallPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			p.stop()
			cancel()
			p.dials.Wait()
			return nil
		case <-p.inbox.wake:
			for _, f := range p.inbox.take() {
				f()
			}
			p.connect(ctx)
		case <-ticker.C:
			p.tick()
			p.connect(ctx)
		}
	}
}

// stop ends everything.
func (p *Puller) stop() {
	p.inbox.close()
	for _, c := range p.courses {
		for _, ch := range slices.Clone(c.children) {
			p.dismiss(ch)
		}
		c.want.drop()
		p.perform(c)
	}
	for _, nb := range p.neighbours {
		nb.settle()
	}
}

// tick does what is due.
func (p *Puller) tick() {
	now := p.now()
	for _, nb := range p.neighbours {
		if on := nb.hop.Stalled(); on != nb.stalled {
			nb.stalled = on
			for _, l := range nb.legs {
				l.course.want.stalled(l.node, on, now)
				p.settled(l.course)
			}
		}
	}
	for _, c := range p.courses {
		if now >= c.due {
			p.attend(c, now)
		}
	}
	p.tell()
}

// dialling is a link that is being made.
type dialling struct {
	legs    []*leg // that wait for it
	at      int64  // ns, when it was begun
	running bool
	fresh   bool // it is to be begun
}

// reach has a link to the node made unless there is one; then l can ask, if it is not nil.
func (p *Puller) reach(node link.NodeID, l *leg) {
	d := p.dialling[node]
	if d == nil {
		d = &dialling{}
		p.dialling[node] = d
	}
	if l != nil {
		d.legs = append(d.legs, l)
	} else if now := p.now(); d.at != 0 && now-d.at < warmTime {
		return
	}
	if !d.running {
		d.at, d.running, d.fresh = p.now(), true, true
	}
}

// connect makes the links that are to be made.
func (p *Puller) connect(ctx context.Context) {
	for node, d := range p.dialling {
		if !d.running && p.now()-d.at > warmTime {
			delete(p.dialling, node)
		}
		if !d.fresh {
			continue
		}
		d.fresh = false
		p.dials.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, dialTime)
			defer cancel()
			h, err := p.dial(ctx, node)
			p.inbox.post(func() { p.dialled(node, h, err) })
		})
	}
}

// dialled goes on with those that waited for a link.
func (p *Puller) dialled(node link.NodeID, h hop, err error) {
	d := p.dialling[node]
	d.running = false
	waiting := d.legs
	d.legs = nil
	var nb *neighbour
	if err == nil {
		nb = p.neighbours[h] // nil: it is gone already
	} else {
		p.log.Debug("no link to ask over", "peer", string(node), "error", err)
	}
	for _, l := range waiting {
		if l.course.legs[node] != l {
			continue // it is not needed any more
		}
		if nb == nil {
			l.course.want.failed(node, p.now())
		} else {
			p.ask(l, nb)
		}
		p.settled(l.course)
	}
}
