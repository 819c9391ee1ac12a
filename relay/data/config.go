package data

import (
	"net"

	"github.com/pion/logging"
)

// Defaults and fixed limits.
const (
	// DefaultMaxMessage is the largest message where a side does not say (RFC 8841 section 6.1).
	DefaultMaxMessage = 64 << 10

	// DefaultLabel is the label of the channel that gets stream 0 when the numbering allows it, as Janus clients expect.
	DefaultLabel = "JanusDataChannel"

	// MaxChannels is how many channels may be open at a time; further ones the peer opens are closed at once.
	MaxChannels = 150
	// MaxStreams is how many stream identifiers there are: each side numbers its channels with every second.
	MaxStreams = 2 * MaxChannels
	// MaxName bounds a label or protocol in bytes; a channel with longer ones is closed at once.
	MaxName = 1 << 10

	defaultReceiveBuffer = 256 << 10
	defaultQueue         = 1 << 20
	defaultBuffered      = 256 << 10

	// maxBufferedMessages bounds what SCTP holds by number too: a pending message of one byte costs 200.
	maxBufferedMessages = 1024
	// maxQueuedChunks bounds the received but incomplete or unread chunks of a stream by number, for the same reason and
	// because SCTP looks at all of them for each further one. A peer that exceeds it is cut off; no honest one does, as
	// long as handlers do not fall behind by thousands of messages.
	maxQueuedChunks = 4096
	// messageOverhead is what an empty message counts in the queue.
	messageOverhead = 128
)

// Config configures an [Association]. Zero fields take their defaults. The handlers may be nil; they are called one at a
// time, from the goroutines that read the channels: one that takes long holds up the peer (its window closes) and nobody
// else. They may call Send, and must not call Close.
type Config struct {
	// Conn is the established DTLS connection. The association is its only reader and writer until Close returns, and
	// goes on reading, to throw away, when SCTP ended before. It is never closed here; its read deadline is in the past
	// after Close. Its Write must not block for long.
	Conn net.Conn
	// Client says that this end is the DTLS client, whose channels have even stream identifiers (RFC 8832 section 6).
	Client bool

	// MaxMessage is the largest message taken from the peer, in bytes; a larger one is dropped and counted. Default 64 KiB.
	MaxMessage int
	// PeerMaxMessage is the largest message the peer takes. Default 64 KiB.
	PeerMaxMessage int
	// ReceiveBuffer is SCTP's receive window in bytes. What is received but not yet handled may take as much memory, and a
	// round trip moves no more than this. A message larger than it can never be completed, and stops its sender. Default 256
	// KiB, or twice MaxMessage if that is more.
	ReceiveBuffer int
	// Queue bounds the messages waiting to be sent, in bytes, each counted with 128 bytes on top. Larger rides out longer
	// stalls of the peer and costs as much memory meanwhile. Default 1 MiB.
	Queue int
	// Buffered is how many bytes SCTP may hold that the peer has not acknowledged; it bounds the rate to so much per round
	// trip. Default 256 KiB.
	Buffered int

	// OnReady is called when the association is up.
	OnReady func()
	// OnOpen is called when the peer opened a channel, before any message of it.
	OnOpen func(c *Channel)
	// OnMessage is called for each message; m is valid during the call. text tells a string from binary data.
	OnMessage func(c *Channel, m []byte, text bool)
	// OnClose is called when the peer closed a channel, whoever opened it, and for each open one when the association ends
	// other than by Close, before or after OnEnd.
	OnClose func(c *Channel)
	// OnEnd is called once when the association ended other than by Close, or could not be established. It cannot be
	// revived; the DTLS connection may go on.
	OnEnd func(err error)

	// LoggerFactory takes SCTP's log. Default: nothing is logged.
	LoggerFactory logging.LoggerFactory
}

func (c Config) withDefaults() Config {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&c.MaxMessage, DefaultMaxMessage)
	set(&c.PeerMaxMessage, DefaultMaxMessage)
	set(&c.ReceiveBuffer, max(defaultReceiveBuffer, 2*c.MaxMessage))
	set(&c.Queue, defaultQueue)
	set(&c.Buffered, defaultBuffered)
	if c.LoggerFactory == nil {
		c.LoggerFactory = silence
	}
	return c
}

// silent is a logger that drops everything; one serves all, where pion's own takes 500 bytes in each association.
type silent struct{}

var silence logging.LoggerFactory = silent{}

func (silent) NewLogger(string) logging.LeveledLogger { return silent{} }
func (silent) Trace(string)                           {}
func (silent) Tracef(string, ...any)                  {}
func (silent) Debug(string)                           {}
func (silent) Debugf(string, ...any)                  {}
func (silent) Info(string)                            {}
func (silent) Infof(string, ...any)                   {}
func (silent) Warn(string)                            {}
func (silent) Warnf(string, ...any)                   {}
func (silent) Error(string)                           {}
func (silent) Errorf(string, ...any)                  {}
