package janus

import (
	"log/slog"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/events"
)

// Config is what a [Server] is made of. The zero value of a field means its default.
type Config struct {
	// Node is this node's name, unique in the mesh and for each start of the process: it begins the ids of peers.
	Node string
	// Plane is the media plane. It must be set.
	Plane plane.Plane
	// Plugins are what clients can attach to.
	Plugins []Plugin
	// Mesh reaches the sessions of other nodes; nil means that there are none. With it, sessions are kept beside their media
	// so that another node can adopt them.
	Mesh Mesh
	// MediaOutlives tells whether a session's media goes on when this process stops: then the session is not ended but left to
	// be claimed at another node. nil: no session's does. It needs Mesh.
	MediaOutlives func(session uint64) bool
	// Log is where the server logs; nil means slog.Default.
	Log *slog.Logger
	// Events is where what happens is told to event handlers; nil tells nobody.
	Events *events.Bus
	// StatsPeriod is how often events tell what flows. Default 1 s; negative never. It costs a question to the media plane for each
	// PeerConnection, but nothing while nobody takes these events.
	StatsPeriod time.Duration
	// CombineMediaStats makes one event of what flows in all lines of a PeerConnection instead of one for each.
	CombineMediaStats bool

	// APISecret must come with every request, but for info and ping; "" asks for none.
	APISecret string
	// TokenAuth asks for a token with every request, but for info and ping; a correct APISecret does as well.
	TokenAuth bool
	// TokenSecret is the key of signed tokens; "" means that tokens are those stored in [Server.Tokens].
	TokenSecret string

	// SessionTimeout is the time without a request after which a session ends. Default 60 s; negative never. Longer
	// keeps sessions of vanished clients longer, shorter asks clients for more keepalives.
	SessionTimeout time.Duration
	// ReclaimTimeout is the time a session waits to be claimed after its connection broke. Default 10 s; negative ends
	// it with its connection, as Janus does unless configured.
	ReclaimTimeout time.Duration
	// CandidatesTimeout is the time trickled candidates wait for a session description. Default 45 s.
	CandidatesTimeout time.Duration
	// NoMediaTimer is the silence after which a line is reported as not receiving. Default 1 s.
	NoMediaTimer time.Duration
	// SlowLinkThreshold is the number of packets lost in a second that makes a slowlink event. Default 0: none.
	SlowLinkThreshold int
	// OpaqueIDInAPI adds the opaque_id to what is sent about a handle.
	OpaqueIDInAPI bool

	// MaxSessions bounds the sessions. Default 100,000; each weighs some kilobytes.
	MaxSessions int
	// MaxHandles bounds the handles of a session. Default 4096: servers run thousands of users over one session.
	MaxHandles int
	// CreateRate bounds the sessions a second that one source address (one /64 of IPv6) creates. Default 0: no bound,
	// since thousands of users may be behind one address.
	CreateRate float64
	// CreateBurst is the number of sessions an address may create at once under CreateRate. Default 100.
	CreateBurst int
	// MaxEvents and MaxEventBytes bound the events kept of a session that nobody reads just now: HTTP between two
	// polls, or until a claim. The oldest are dropped. Defaults 256 and 256 KiB.
	MaxEvents     int
	MaxEventBytes int
	// Admit is asked before each new session; an error refuses it. nil admits all.
	Admit func() error

	// Info is what the info request tells beyond what the server knows itself.
	Info Info
}

func (c Config) withDefaults() Config {
	duration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
		*d = max(*d, 0)
	}
	number := func(n *int, def int) {
		if *n <= 0 {
			*n = def
		}
	}
	duration(&c.SessionTimeout, 60*time.Second)
	duration(&c.ReclaimTimeout, 10*time.Second)
	duration(&c.CandidatesTimeout, 45*time.Second)
	duration(&c.NoMediaTimer, time.Second)
	duration(&c.StatsPeriod, time.Second)
	number(&c.MaxSessions, 100_000)
	number(&c.MaxHandles, 4096)
	number(&c.CreateBurst, 100)
	number(&c.MaxEvents, 256)
	number(&c.MaxEventBytes, 256<<10)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}
