package link

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sync/semaphore"

	"cardea/relay/shield"
	"cardea/relay/shield/queue"
)

const (
	// StallTime is the silence after which a link counts as stalled: keepalives come each 150 ms or so.
	StallTime = 450 * time.Millisecond
	// quietTime is the silence after which the other side is made to speak: what arrives there is reported on each 20 ms for a second, so
	// that keepalives lost in a row are not taken for its death.
	quietTime = 250 * time.Millisecond
	// silentTime is the silence after which a link is taken down.
	silentTime = 1800 * time.Millisecond
	// idleTime is for how long nobody uses a link before it is closed.
	idleTime = 5 * time.Minute
	// retainPeriod is how often a link that somebody retains says so.
	retainPeriod = time.Minute

	// initialRate is what a link may send before its shield knows more, bit/s.
	initialRate = 4e6
)

// Link is the connection to one other node. It is safe for concurrent use.
type Link struct {
	e          *Endpoint
	port       *port
	conn       *quic.Conn
	control    *quic.Stream
	peer       NodeID
	version    string
	features   []string
	instance   uint64
	generation uint64

	ready chan struct{} // closed when it is up and may be used
	done  chan struct{} // closed when it is to end
	ended chan struct{} // closed when it has: everybody was told
	once  sync.Once
	why   *closedError // once done

	began    time.Time
	used     atomic.Int64 // when it was last used, ns since began
	retained atomic.Int64
	said     time.Time // when it last said that it is retained; owned by tick

	notices  notices
	calls    chan struct{}       // a place for each call that is answered
	memory   *semaphore.Weighted // bytes of calls that are answered
	queue    *queue.Queue
	out      atomic.Pointer[quic.Conn] // what carries the datagrams
	carriers carriers
	flows    flows
	exports  exports
	scratch  sync.Pool // of *scratch
	warmth   warmth
	counters linkCounters
}

// newLink returns a link that is not up yet. h is the other side's hello.
func newLink(e *Endpoint, p *port, conn *quic.Conn, control *quic.Stream, peer NodeID, h *hello, generation uint64) *Link {
	l := &Link{
		e: e, port: p, conn: conn, control: control, peer: peer, version: h.Version, features: h.Features, instance: h.Instance, generation: generation,
		ready: make(chan struct{}), done: make(chan struct{}), ended: make(chan struct{}), began: time.Now(),
		calls: make(chan struct{}, maxCalls), memory: semaphore.NewWeighted(maxCallMemory), queue: queue.New(initialRate),
	}
	l.scratch.New = func() any { return new(scratch) }
	l.notices.wake = make(chan struct{}, 1)
	l.flows.init()
	l.exports.init()
	l.out.Store(conn)
	return l
}

// Peer returns who is at the other end.
func (l *Link) Peer() NodeID { return l.peer }

// Version returns the version of the other side's program.
func (l *Link) Version() string { return l.version }

// Has tells whether the other side has a feature.
func (l *Link) Has(feature string) bool { return slices.Contains(l.features, feature) }

// Done is closed when the link begins to end. Those who watch the endpoint are told soon after.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err returns why the link ended, nil while it has not.
func (l *Link) Err() error {
	if !l.closed() {
		return nil
	}
	return l.why
}

// Close ends the link. It does not wait for that.
func (l *Link) Close() { l.close(codeShutdown) }

func (l *Link) close(why code) { l.end(&closedError{code: why}) }

func (l *Link) end(why *closedError) {
	l.once.Do(func() {
		l.why = why
		close(l.done)
	})
}

func (l *Link) closed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// up tells whether the link may be used.
func (l *Link) up() bool {
	select {
	case <-l.ready:
		return !l.closed()
	default:
		return false
	}
}

// use notes that somebody uses the link.
func (l *Link) use() { l.used.Store(int64(time.Since(l.began))) }

// Retain keeps the link from being closed for idleness, by either side, until release is called, which may be repeated.
func (l *Link) Retain() (release func()) {
	l.retained.Add(1)
	return sync.OnceFunc(func() {
		l.use()
		l.retained.Add(-1)
	})
}

// serve works for the link until it or ctx ends.
func (l *Link) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, work := range []func(context.Context){l.readNotices, l.writeNotices, l.answerCalls, l.send, l.pace} {
		wg.Go(func() { work(ctx) })
	}
	wg.Go(func() { l.receive(ctx, l.conn) })
	select {
	case <-l.done:
	case <-ctx.Done():
		l.close(codeShutdown)
	case <-l.conn.Context().Done():
		l.end(reason(context.Cause(l.conn.Context())))
	}
	cancel()
	closeConn(l.conn, l.why.code)
	l.carriers.close()
	wg.Wait()
	l.exports.close()
	l.flows.close()
	l.e.log.Info("link down", "peer", string(l.peer), "reason", l.why.Error())
	l.e.tell(l, false)
	l.abandon()
}

// abandon takes the link out of the endpoint's books.
func (l *Link) abandon() {
	closeConn(l.conn, l.why.code)
	l.e.mu.Lock()
	m := l.e.members[l.peer]
	if m == nil || m.link == l {
		l.port.shield.Forget(l.remote())
	}
	if m != nil && m.link == l {
		m.link = nil
	}
	l.e.mu.Unlock()
	close(l.ended)
}

// remote returns where the other side is now.
func (l *Link) remote() netip.AddrPort {
	a, _ := l.conn.RemoteAddr().(*net.UDPAddr)
	return a.AddrPort()
}

// tick looks after the link. It is called each [tickPeriod].
func (l *Link) tick(now time.Time) {
	row := l.Row()
	if row.Heard > silentTime {
		l.close(codeSilent)
		return
	}
	if row.Heard > quietTime {
		l.queue.Push([]byte{wirePadding}, queue.Feedback)
	}
	if l.flows.any() || l.exports.any() {
		l.use()
	} else if l.retained.Load() > 0 && now.Sub(l.said) > retainPeriod {
		l.said = now
		_ = l.Notify(kindInUse, nil)
	}
	if now.Sub(l.began)-time.Duration(l.used.Load()) > idleTime {
		l.close(codeIdle)
		return
	}
	l.warm(row, now)
}

// Row is what is known about the way to the other node.
type Row struct {
	RTT      time.Duration // smoothed; 0: not known yet
	LeastRTT time.Duration // the least seen
	Queue    time.Duration // how long packets to the other side wait on the way, of late
	Loss     float64       // share of packets to the other side lost, before repair
	Late     float64       // share that parity did not repair in time, of late
	Budget   int           // what may be sent, bit/s
	Heard    time.Duration // since anything valid came
	Overhead float64       // parity and repeats sent, as a share of what they are for
	Size     int           // largest UDP payload that gets through

	Duplicates uint64 // packets that were here already: overtaken by their repair, or played again
	Forged     uint64 // packets dropped for a wrong tag
	Malformed  uint64 // packets with a right tag that make no sense
	Policed    uint64 // packets dropped for exceeding the budget for long
}

// Row returns what is known about the way to the other node.
func (l *Link) Row() Row {
	r, ok := l.port.shield.Row(l.remote())
	if !ok {
		r = shield.Row{Heard: time.Since(l.began)}
	}
	return Row{
		RTT: r.RTT, LeastRTT: r.LeastRTT, Queue: r.Queue, Loss: r.Loss, Late: r.Late, Budget: r.Budget, Heard: r.Heard, Overhead: r.Overhead,
		Size: r.Size, Duplicates: r.Duplicates, Forged: r.Forged, Malformed: r.Malformed + r.Corrupt, Policed: r.Policed,
	}
}

// Stalled tells whether nothing was heard for [StallTime].
func (l *Link) Stalled() bool { return l.Row().Heard > StallTime }

// linkCounters count what passes, and what does not.
type linkCounters struct {
	in, out                   atomic.Uint64
	bytesIn, bytesOut         atomic.Uint64
	malformed, unknown, early atomic.Uint64
	cut, paddings, faults     atomic.Uint64
	callsIn, callsOut         atomic.Uint64
	noticesIn, noticesOut     atomic.Uint64
}

// LinkStats counts what passed a link since it came up, and what did not.
type LinkStats struct {
	In, Out             uint64 // datagrams, padding not included
	BytesIn, BytesOut   uint64 // of datagrams
	Malformed           uint64 // datagrams dropped that make no sense
	Unknown             uint64 // datagrams dropped that are of no flow
	Early               uint64 // datagrams dropped that came before their flow was known and were too many
	Cut                 uint64 // datagrams sent in two parts, before QUIC knew what the path carries
	Paddings            uint64 // datagrams sent to keep the window open
	Late                uint64 // datagrams not sent that had waited too long
	Faults              uint64 // panics survived
	CallsIn, CallsOut   uint64
	Notices, NoticesOut uint64
	Carriers            uint64 // connections dialled beside the first, because its window was shut
	Window              uint64 // QUIC's congestion window, bytes
}

// Stats returns the counters.
func (l *Link) Stats() LinkStats {
	c := &l.counters
	s := LinkStats{
		In: c.in.Load(), Out: c.out.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Malformed: c.malformed.Load(), Unknown: c.unknown.Load(), Early: c.early.Load(), Cut: c.cut.Load(),
		Paddings: c.paddings.Load(), Faults: c.faults.Load(), CallsIn: c.callsIn.Load(), CallsOut: c.callsOut.Load(),
		Notices: c.noticesIn.Load(), NoticesOut: c.noticesOut.Load(), Carriers: l.carriers.dialled.Load(),
		Window: l.out.Load().ConnectionStats().CongestionWindow,
	}
	for class := range queue.Padding {
		st := l.queue.Stats(class)
		s.Late += st.Late + st.Full
	}
	return s
}
