package detour

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

const (
	// noticeTime is how long a parcel of notices may take.
	noticeTime = 3 * time.Second
	// maxWaiting and maxWaitingBytes bound the notices that wait for one node.
	maxWaiting, maxWaitingBytes = maxNotices, 1 << 20
	// maxSenders bounds the nodes whose serial numbers are remembered.
	maxSenders = 8192
)

// Config is what [New] needs. All of it but Now is required.
type Config struct {
	Self link.NodeID
	// Sign signs with this node's key, and returns its public part as well.
	Sign func(content []byte) (key, signature []byte)
	// Verify says whether a member signed content, and key is its own.
	Verify func(member link.NodeID, key, content, signature []byte) bool
	// Next returns the neighbour that leads to a node, other than avoid, if that is not empty. For the last one on the way that is the node itself.
	Next func(to, avoid link.NodeID) (link.NodeID, bool)
	// Call asks a neighbour. It obeys the context's deadline.
	Call func(ctx context.Context, to link.NodeID, k link.Kind, request []byte) ([]byte, error)
	// Request answers a request that has arrived.
	Request func(ctx context.Context, from link.NodeID, k link.Kind, request []byte) ([]byte, error)
	// Notice takes a notice that has arrived. Those of one node come one at a time, in order.
	Notice func(from link.NodeID, k link.Kind, payload []byte)
	// Failed says that notices to a node have been lost.
	Failed func(to link.NodeID)
	// Now is the time of day; nil: time.Now.
	Now func() time.Time
}

// Stats counts what happened since the start.
type Stats struct {
	Sent    uint64 // parcels of this node's
	Carried uint64 // parcels of others, passed on
	Arrived uint64 // parcels for this node
	Refused uint64 // parcels and replies that were forged, repeated or unreadable
	Failed  uint64 // parcels of this node's without a reply
}

// Detours is a node's part: what it sends, passes on and receives. It is safe for concurrent use.
type Detours struct {
	cfg    Config
	serial atomic.Uint64

	sent, carried, arrived, refused, failed atomic.Uint64

	mu      sync.Mutex
	context context.Context //nolint:containedctx // of what Notify begins; nil unless it runs
	sending sync.WaitGroup
	queues  map[link.NodeID]*queue
	senders map[link.NodeID]*sender
}

// queue is the notices that wait for a node while a parcel is under way to it.
type queue struct {
	kind     link.Kind
	payloads [][]byte
	bytes    int
}

// sender is a node that parcels have come from.
type sender struct {
	mu     sync.Mutex // held while its notices are delivered
	window window
}

// New makes it. [Detours.Run] must follow.
func New(cfg Config) *Detours {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Detours{cfg: cfg, queues: map[link.NodeID]*queue{}, senders: map[link.NodeID]*sender{}}
	d.serial.Store(uint64(cfg.Now().UnixNano())) // above all of a former process
	return d
}

// Stats returns what was counted.
func (d *Detours) Stats() Stats {
	return Stats{d.sent.Load(), d.carried.Load(), d.arrived.Load(), d.refused.Load(), d.failed.Load()}
}

// Run sends notices until ctx ends, and returns when nothing of it runs any more.
func (d *Detours) Run(ctx context.Context) error {
	d.mu.Lock()
	d.context = ctx
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	d.context = nil // nothing begins any more
	d.mu.Unlock()
	d.sending.Wait()
	return nil
}

// Call asks a node by way of others. Errors of the node that was asked are [*link.RemoteError].
func (d *Detours) Call(ctx context.Context, to link.NodeID, k link.Kind, request []byte) ([]byte, error) {
	return d.send(ctx, &parcel{To: string(to), Kind: uint64(k), Payloads: [][]byte{request}})
}

// Notify sends a notice to a node by way of others. It does not wait. Notices to one node are all of one kind.
func (d *Detours) Notify(to link.NodeID, k link.Kind, payload []byte) error {
	if next, ok := d.cfg.Next(to, ""); !ok || next == to {
		return ErrNoWay
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.context == nil {
		return ErrNoWay
	}
	q := d.queues[to]
	if q == nil {
		q = &queue{kind: k}
		d.queues[to] = q
		ctx := d.context
		d.sending.Go(func() { d.work(ctx, to, q) })
	}
	if q.kind != k || len(q.payloads) >= maxWaiting || q.bytes+len(payload) > maxWaitingBytes {
		return ErrFull
	}
	q.payloads = append(q.payloads, payload)
	q.bytes += len(payload)
	return nil
}

// work sends what waits for a node until nothing does.
func (d *Detours) work(ctx context.Context, to link.NodeID, q *queue) {
	for {
		d.mu.Lock()
		payloads := q.payloads
		q.payloads, q.bytes = nil, 0
		if len(payloads) == 0 {
			delete(d.queues, to)
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
		sending, cancel := context.WithTimeout(ctx, noticeTime)
		_, err := d.send(sending, &parcel{To: string(to), Kind: uint64(q.kind), Notice: true, Payloads: payloads})
		cancel()
		if err != nil {
			d.mu.Lock()
			delete(d.queues, to)
			d.mu.Unlock()
			d.cfg.Failed(to)
			return
		}
	}
}

// send sends a parcel and returns what its receiver answers.
func (d *Detours) send(ctx context.Context, p *parcel) ([]byte, error) {
	p.From, p.Serial = string(d.cfg.Self), d.serial.Add(1)
	next, ok := d.cfg.Next(link.NodeID(p.To), "")
	if !ok || next == link.NodeID(p.To) {
		return nil, ErrNoWay // none that is a detour
	}
	d.sent.Add(1)
	p.Key, p.Signature = d.cfg.Sign(p.content())
	b, err := d.cfg.Call(ctx, next, Kind, wire.Marshal(p))
	if err != nil {
		d.failed.Add(1)
		if remote := (*link.RemoteError)(nil); errors.As(err, &remote) {
			err = errors.New(remote.Text) // of one on the way: it does not pass for an answer
		}
		return nil, fmt.Errorf("to %s by way of %s: %w", p.To, next, err)
	}
	var r reply
	if err := wire.Unmarshal(b, &r); err != nil || !d.cfg.Verify(link.NodeID(p.To), r.Key, r.content(p), r.Signature) {
		d.refused.Add(1)
		return nil, fmt.Errorf("reply of %s by way of %s: %w", p.To, next, ErrForged)
	}
	if r.Code != 0 {
		return nil, &link.RemoteError{Code: r.Code, Text: r.Text}
	}
	return r.Payload, nil
}

// HandleCall is the input of a parcel that a neighbour hands over.
func (d *Detours) HandleCall(ctx context.Context, neighbour link.NodeID, request []byte) ([]byte, error) {
	p, err := readParcel(request)
	if err != nil {
		d.refused.Add(1)
		return nil, err
	}
	if link.NodeID(p.To) != d.cfg.Self {
		return d.pass(ctx, neighbour, p)
	}
	r, err := d.receive(ctx, p)
	if err != nil {
		d.refused.Add(1)
		return nil, err
	}
	r.Key, r.Signature = d.cfg.Sign(r.content(p))
	return wire.Marshal(r), nil
}

// pass hands a parcel to the next node, and back what that answers.
func (d *Detours) pass(ctx context.Context, neighbour link.NodeID, p *parcel) ([]byte, error) {
	if p.Hops++; p.Hops >= maxHops || link.NodeID(p.From) == d.cfg.Self {
		return nil, ErrNoWay
	}
	next, ok := d.cfg.Next(link.NodeID(p.To), neighbour)
	if !ok {
		return nil, ErrNoWay
	}
	d.carried.Add(1)
	return d.cfg.Call(ctx, next, Kind, wire.Marshal(p))
}

// receive takes in a parcel for this node. An error says that nothing of it was.
func (d *Detours) receive(ctx context.Context, p *parcel) (*reply, error) {
	from := link.NodeID(p.From)
	if !d.cfg.Verify(from, p.Key, p.content(), p.Signature) {
		return nil, ErrForged
	}
	s := d.sender(from)
	s.mu.Lock()
	if !s.window.take(p.Serial) {
		s.mu.Unlock()
		return nil, ErrRepeated
	}
	d.arrived.Add(1)
	if p.Notice {
		for _, payload := range p.Payloads {
			d.cfg.Notice(from, link.Kind(p.Kind), payload)
		}
		s.mu.Unlock()
		return &reply{}, nil
	}
	s.mu.Unlock()
	answer, err := d.cfg.Request(ctx, from, link.Kind(p.Kind), p.Payloads[0])
	if err != nil {
		r := &reply{Code: link.CodeFailed, Text: err.Error()}
		if remote := (*link.RemoteError)(nil); errors.As(err, &remote) && remote.Code != 0 {
			r.Code = remote.Code
		}
		return r, nil
	}
	return &reply{Payload: answer}, nil
}

// sender returns what is known of a member that a parcel is from.
func (d *Detours) sender(id link.NodeID) *sender {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.senders[id]
	if s == nil {
		if len(d.senders) >= maxSenders { // far more than there can be members at a time
			for old := range d.senders {
				delete(d.senders, old)
				break
			}
		}
		s = &sender{}
		d.senders[id] = s
	}
	return s
}
