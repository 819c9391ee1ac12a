package data

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pion/sctp"
)

var (
	// ErrClosed says that the association has ended, or that Close was called.
	ErrClosed = errors.New("data: association is closed")
	// ErrFull says that a message was dropped because the peer does not take messages fast enough.
	ErrFull = errors.New("data: send queue is full")
	// ErrTooLarge says that a message is larger than the peer takes.
	ErrTooLarge = errors.New("data: message is larger than the peer takes")
	// ErrName says that a label or protocol is longer than [MaxName].
	ErrName = errors.New("data: label or protocol is too long")
	// ErrStreams says that the association ended because the peer kept opening channels that were refused.
	ErrStreams = errors.New("data: peer opens too many channels")
)

// Association is one end of an SCTP association with its data channels. Its methods are safe for concurrent use.
//
// Locks: handling is taken before mu, and mu before any lock of SCTP, which calls back only to the room channel.
type Association struct {
	cfg     Config // set once
	carrier *carrier
	cancel  context.CancelFunc // ends the handshake
	ended   chan struct{}      // closed when nothing more is sent
	done    chan struct{}      // closed by Close
	room    chan struct{}      // told when SCTP's buffer went down
	workers sync.WaitGroup     // every goroutine of ours; none is added once closed or over is set

	handling sync.Mutex // held while a handler runs

	inSCTP backlog // owned by the writer

	mu       sync.Mutex // guards below
	sctp     *sctp.Association
	closed   bool // Close was called
	over     bool // the association ended, by Close or by itself
	channels map[uint16]*Channel
	labels   map[string]*Channel
	lastID   uint16 // of the channel last opened from here
	refused  int
	queue    []Message
	queued   int // bytes, with overhead
	writing  bool

	stats counters
}

// counters count since the association was made.
type counters struct {
	messagesSent, bytesSent         atomic.Uint64
	messagesReceived, bytesReceived atomic.Uint64
	dropped, refused, ignored       atomic.Uint64
}

// Stats is what went through an association.
type Stats struct {
	MessagesSent, BytesSent         uint64 // handed to SCTP
	MessagesReceived, BytesReceived uint64 // handed to OnMessage
	Dropped                         uint64 // messages not sent: queue full, too old, no channel, or the association ended
	Refused                         uint64 // messages of the peer that were too large, and channels that were too many
	Ignored                         uint64 // messages of the peer on no open channel or of an unknown kind
	Channels                        int    // open now
	Queued                          int    // bytes waiting, with overhead
}

// New starts an association over an established DTLS connection and returns at once; OnReady or OnEnd tells how it went.
// Messages may be sent from now on. The caller closes it before the connection.
func New(cfg Config) *Association {
	ctx, cancel := context.WithCancel(context.Background()) // the association's own: it ends with Close
	a := &Association{
		cfg:      cfg.withDefaults(),
		carrier:  &carrier{Conn: cfg.Conn},
		cancel:   cancel,
		ended:    make(chan struct{}),
		done:     make(chan struct{}),
		room:     make(chan struct{}, 1),
		channels: make(map[uint16]*Channel),
		labels:   make(map[string]*Channel),
	}
	a.lastID = a.firstID() - 2
	a.workers.Go(func() {
		defer cancel()
		a.run(ctx)
	})
	return a
}

// run establishes the association, accepts channels until it ends, and then keeps the connection drained.
func (a *Association) run(ctx context.Context) {
	err := a.establish(ctx)
	if err == nil {
		a.handle(func() {
			if a.cfg.OnReady != nil {
				a.cfg.OnReady()
			}
		})
		err = a.accept()
	}
	a.end(err)
	a.carrier.drain(a.done)
}

// establish does the handshake. Both ends take the active part: RFC 8841 section 9.3 has neither wait for the other, and
// SCTP sorts out that their first packets cross.
func (a *Association) establish(ctx context.Context) error {
	s, err := sctp.ClientContext(ctx,
		sctp.WithNetConn(a.carrier),
		sctp.WithLoggerFactory(a.cfg.LoggerFactory),
		sctp.WithName("data"),
		sctp.WithMaxMessageSize(uint32(a.cfg.PeerMaxMessage)),
		sctp.WithMaxReceiveBufferSize(uint32(a.cfg.ReceiveBuffer)),
		sctp.WithMaxReassemblyQueueEntries(maxQueuedChunks),
		// Interleaved messages (RFC 8260) are reassembled without a bound on fragments by number, see maxQueuedChunks.
		sctp.WithEnableInterleaving(false),
		// DTLS has authenticated every byte already (RFC 9653).
		sctp.WithEnableZeroChecksum(true),
	)
	if err != nil {
		return fmt.Errorf("data: establishing SCTP: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sctp = s
	a.startWriting()
	return nil
}

// accept takes the streams the peer opens until the association ends.
func (a *Association) accept() error {
	for {
		stream, err := a.sctp.AcceptStream() // sctp was set by this goroutine and stays
		if err != nil {
			return fmt.Errorf("data: SCTP ended: %w", err)
		}
		c := &Channel{id: stream.StreamIdentifier(), stream: stream, remote: true}
		switch a.admit(c) {
		case admitted:
		case refusedOne:
			a.stats.refused.Add(1)
			_ = stream.Close() // fails when the association has ended, which the next round tells
		case refusedTooMany:
			a.sctp.Abort(ErrStreams.Error())
			return ErrStreams
		}
	}
}

// admission is what becomes of a stream the peer opened.
type admission int

const (
	admitted admission = iota
	refusedOne
	refusedTooMany
)

// admit enters a channel the peer opened and starts reading it.
func (a *Association) admit(c *Channel) admission {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return refusedOne
	}
	if c.id >= MaxStreams || len(a.channels) >= MaxChannels {
		// A refused stream stays in SCTP's table until the peer closes it too, so their number is bounded as well.
		if a.refused++; a.refused > MaxStreams {
			return refusedTooMany
		}
		return refusedOne
	}
	a.start(c)
	return admitted
}

// start enters a channel and reads it. The caller holds mu and has checked that the association is not over.
func (a *Association) start(c *Channel) {
	a.channels[c.id] = c
	c.stream.SetBufferedAmountLowThreshold(uint64(a.cfg.Buffered / 4))
	c.stream.OnBufferedAmountLow(a.signalRoom)
	a.workers.Go(func() { a.read(c) })
}

// signalRoom tells the writer that SCTP's buffer went down. It is called with locks of SCTP held.
func (a *Association) signalRoom() {
	select {
	case a.room <- struct{}{}:
	default:
	}
}

// remove takes a channel out of the tables; false if it is not there.
func (a *Association) remove(c *Channel) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.channels[c.id] != c {
		return false
	}
	delete(a.channels, c.id)
	if a.labels[c.label] == c {
		delete(a.labels, c.label)
	}
	return true
}

// stop marks the association as over and drops what is queued. It returns SCTP's association, if there is one yet.
func (a *Association) stop() *sctp.Association {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		a.over = true
		close(a.ended)
	}
	a.stats.dropped.Add(uint64(len(a.queue)))
	a.queue, a.queued = nil, 0
	return a.sctp
}

// release lets go of the connection and waits for SCTP's reader. Both errors only say that the connection is gone.
func (a *Association) release(s *sctp.Association) {
	_ = a.carrier.Close()
	if s != nil {
		_ = s.Close()
	}
}

// end cleans up after the association ended by itself, or Close made it, and reports the former.
func (a *Association) end(err error) {
	a.release(a.stop())
	a.handle(func() {
		if a.cfg.OnEnd != nil {
			a.cfg.OnEnd(err)
		}
	})
}

// handle calls a handler, one at a time, unless Close was called.
func (a *Association) handle(call func()) {
	a.handling.Lock()
	defer a.handling.Unlock()
	if !a.isClosed() {
		call()
	}
}

func (a *Association) isClosed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closed
}

// Close ends the association and waits for its goroutines; no handler is called afterwards. The peer is not told: the
// DTLS connection, which the caller closes next, tells it. Closing twice does no harm.
func (a *Association) Close() {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.done)
	}
	a.mu.Unlock()
	a.cancel()
	a.release(a.stop())
	a.carrier.wake()
	a.workers.Wait()
}

// Stats tells what went through so far.
func (a *Association) Stats() Stats {
	a.mu.Lock()
	channels, queued := len(a.channels), a.queued
	a.mu.Unlock()
	return Stats{
		MessagesSent:     a.stats.messagesSent.Load(),
		BytesSent:        a.stats.bytesSent.Load(),
		MessagesReceived: a.stats.messagesReceived.Load(),
		BytesReceived:    a.stats.bytesReceived.Load(),
		Dropped:          a.stats.dropped.Load(),
		Refused:          a.stats.refused.Load(),
		Ignored:          a.stats.ignored.Load(),
		Channels:         channels,
		Queued:           queued,
	}
}
