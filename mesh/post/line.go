package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
	"github.com/pion/sctp"

	"cardea/relay/data"
)

const (
	// receiveBuffer is SCTP's receive window, in bytes: what may be on the way to us.
	receiveBuffer = 1 << 20
	// maxQueuedChunks bounds the received but incomplete or unread chunks of a stream by number; SCTP gives up the association
	// beyond. A small chunk costs much more memory than its bytes.
	maxQueuedChunks = 8192
	// ahead is how many bytes SCTP may hold at least beyond its congestion window. It has to have something to send, but what
	// waits does so better in the room's memory, where it can still expire.
	ahead = 16 << 10
	// recheck is how long the writer waits for SCTP to tell of room before it looks by itself.
	recheck = 10 * time.Millisecond

	// stallTime, and twice the round trip beyond it, is how long nothing may come from a node that has something to acknowledge until nothing
	// more is given to SCTP: what waits in a room's memory can still expire.
	stallTime = 300 * time.Millisecond

	// longestTimeout bounds the wait for an acknowledgement, in ms: after a partition SCTP goes on within this.
	longestTimeout = 2000
	// leastWindow is the least congestion window, in bytes. SCTP takes every loss for congestion, but links see to congestion
	// themselves, and datagrams are lost where routes fail as well.
	leastWindow = 32 << 10

	// ackDelay and ackEvery say when messages are acknowledged: after so long or so many.
	ackDelay = 100 * time.Millisecond
	ackEvery = 64
)

// line is one SCTP association with another node and what waits to be said over it.
type line struct {
	post    *Post
	remote  *correspondent
	ends    ends
	conn    *conn
	lower   bool // our id is the lower one
	greeted bool // hello came; owned by the reader of the control lane
	delays  delays

	association atomic.Pointer[sctp.Association] // nil until it is established

	work  chan struct{} // tells the writer that there is something to do
	ended chan struct{} // closed when SCTP has ended

	// Owned by the writer.
	streams [lanesEnd]*sctp.Stream
	lanes   lanes
	buffer  []byte
	heard   uint64    // bytes that have come, when that was looked at last
	heardAt time.Time // they were fewer, or nothing was to be acknowledged

	mu     sync.Mutex // guards below
	says   []control
	ready  []*subscriber // have something to take, in turn
	listed map[*subscriber]bool
	due    map[*intake]bool // to be acknowledged
	count  int              // messages to be acknowledged
	dueAt  time.Time
}

func newLine(p *Post, remote *correspondent, e ends, now time.Time) *line {
	l := &line{
		post: p, remote: remote, ends: e, lower: p.cfg.Self < remote.id,
		work: make(chan struct{}, 1), ended: make(chan struct{}),
		listed: make(map[*subscriber]bool), due: make(map[*intake]bool),
	}
	head := header{kind: carry, to: remote.address, from: p.router.self, source: e.source, dest: e.dest}
	l.conn = newConn(now, func(packet []byte) { p.send(head, packet) })
	return l
}

// close ends the association; run returns then.
func (l *line) close() { _ = l.conn.Close() } // never fails

// silence returns for how long nothing came.
func (l *line) silence(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, l.conn.heard.Load()))
}

// ask makes the other end give a sign of life.
func (l *line) ask() {
	if a := l.association.Load(); a != nil {
		a.ActiveHeartbeat()
	}
}

// options are SCTP's for both ends of an association. Its parameters are exchanged in greetings, and both ends begin in the
// established state (draft-hancke-tsvwg-snap).
func (l *line) options() []sctp.ClientOption {
	return append(common(),
		sctp.WithNetConn(l.conn),
		sctp.WithName(string(l.remote.id)),
		sctp.WithMTU(maxPayload),
		sctp.WithMaxMessageSize(maxFrame),
		sctp.WithMaxReassemblyQueueEntries(maxQueuedChunks),
		sctp.WithRTOMax(longestTimeout),
		sctp.WithMinCwnd(leastWindow),
		sctp.WithSNAP(l.ends.parameters, l.ends.theirs))
}

// common are the options that the parameters in a greeting tell of.
func common() []sctp.ClientOption {
	return []sctp.ClientOption{
		sctp.WithLoggerFactory(noLog),
		sctp.WithMaxReceiveBufferSize(receiveBuffer),
		// Interleaved messages (RFC 8260) are reassembled without a bound on fragments by number.
		sctp.WithEnableInterleaving(false),
		// Links have authenticated every byte already (RFC 9653).
		sctp.WithEnableZeroChecksum(true),
	}
}

var errStream = errors.New("post: stream that is no lane of the other node's")

// run speaks SCTP until the association ends or is closed; the error says why if it ended by itself.
func (l *line) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, l.close)()
	association, err := sctp.ClientContext(ctx, l.options()...)
	if err != nil {
		l.close()
		close(l.ended)
		return fmt.Errorf("post: SCTP with %s: %w", l.remote.id, err)
	}
	l.association.Store(association)
	var workers sync.WaitGroup
	workers.Go(func() { l.write(association) })
	err = l.accept(association, &workers)
	l.close()
	_ = association.Close() // only says that the connection is closed
	close(l.ended)
	workers.Wait()
	return err
}

// accept reads the streams that the other node sends on.
func (l *line) accept(association *sctp.Association, workers *sync.WaitGroup) error {
	for {
		stream, err := association.AcceptStream()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("post: SCTP with %s: %w", l.remote.id, err)
		}
		lane, lower := laneOf(stream.StreamIdentifier())
		if lane >= lanesEnd || lower == l.lower {
			return errStream
		}
		// SCTP must know it to forget what the sender has given up (RFC 3758), of which it hears a round trip later at the earliest.
		stream.SetReliabilityParams(unorderedOn(lane), byte(data.Reliable), 0)
		workers.Go(func() { l.read(lane, stream) })
	}
}

// pooled is the size of the buffers that a stream's reader keeps.
const pooled = 2 << 10

// read takes a lane's messages until the association ends.
func (l *line) read(lane int, stream *sctp.Stream) {
	var kept []byte
	for {
		// Asking without a buffer waits for a message and tells its size.
		n, _, err := stream.ReadSCTP(nil)
		if err != nil && !errors.Is(err, io.ErrShortBuffer) {
			return
		}
		if n > maxFrame {
			l.post.counts.malformed.Add(1)
			l.close()
			return
		}
		b := kept
		if n > cap(kept) {
			b = make([]byte, max(n, pooled))
			if n <= pooled {
				kept = b
			}
		}
		if n, _, err = stream.ReadSCTP(b[:cap(b)]); err != nil {
			return
		}
		l.receive(lane, b[:n])
	}
}

func (l *line) receive(lane int, b []byte) {
	if lane == controlLane {
		c, err := parseControl(b)
		if err != nil || (c.Hello == nil && !l.greeted) {
			l.post.counts.malformed.Add(1)
			return
		}
		l.greeted = true
		l.post.heard(l, &c)
		return
	}
	f, err := parseFrame(b)
	if err != nil {
		l.post.counts.malformed.Add(1)
		return
	}
	if f.Partial == data.Lifetime && l.delays.late(f.Said, time.Now()) > time.Duration(f.Limit)*time.Millisecond {
		l.post.counts.expired.Add(1)
		return
	}
	l.post.delivered(l, &f)
}

// silentLog is a log that drops everything: SCTP's is about packets.
type silentLog struct{}

var noLog logging.LoggerFactory = silentLog{}

func (silentLog) NewLogger(string) logging.LeveledLogger { return silentLog{} }
func (silentLog) Trace(string)                           {}
func (silentLog) Tracef(string, ...any)                  {}
func (silentLog) Debug(string)                           {}
func (silentLog) Debugf(string, ...any)                  {}
func (silentLog) Info(string)                            {}
func (silentLog) Infof(string, ...any)                   {}
func (silentLog) Warn(string)                            {}
func (silentLog) Warnf(string, ...any)                   {}
func (silentLog) Error(string)                           {}
func (silentLog) Errorf(string, ...any)                  {}
