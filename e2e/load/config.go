package load

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"
)

// Bounds that keep a mistyped number from taking the machine down.
const (
	maxParticipants = 20_000
	maxPublishers   = 64 // in a room
)

// Config says what load to make. Start from [Default].
type Config struct {
	URL         string // of the Janus API: ws://HOST:PORT or wss://
	APISecret   string // if the server wants one
	Token       string // if the server wants one
	AdminKey    string // for creating rooms, if the server wants one
	Rooms       int
	Publishers  int // in each room
	Subscribers int // in each room; each gets all publishers of its room
	// JoinRate is how many clients join in a second.
	JoinRate float64
	// JoinTimeout is how long one client may take to join.
	JoinTimeout time.Duration
	// WarmUp is the time between the last join and the beginning of the measurement.
	WarmUp time.Duration
	// Duration is how long to measure.
	Duration time.Duration

	Bitrate          int           // of a publisher's video, bit/s; with simulcast that of its best layer
	FPS              int           // frames a second
	KeyframeInterval time.Duration // a keyframe at least so often; 0: only when asked for
	Simulcast        bool          // three layers (rids h, m, l)
	Trickle          bool          // candidates are sent behind the session description rather than in it
	Local            netip.Addr    // address of the clients' sockets; not valid: the one that leads to the server
	PID              int           // of the server, when it runs on this machine and is to be measured; 0: not
}

// Default returns the load of one room with a publisher and ten subscribers. URL is empty.
func Default() Config {
	return Config{
		Rooms: 1, Publishers: 1, Subscribers: 10,
		JoinRate: 20, JoinTimeout: 20 * time.Second, WarmUp: 3 * time.Second, Duration: 20 * time.Second,
		Bitrate: 2_000_000, FPS: 30, KeyframeInterval: 10 * time.Second,
	}
}

// Validate reports all that is wrong with a configuration.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(c.URL)
	check(err == nil && (u.Scheme == "ws" || u.Scheme == "wss") && u.Host != "", "url %q: want ws://HOST:PORT", c.URL)
	check(c.Rooms >= 1, "rooms: want at least 1")
	check(c.Publishers >= 1 && c.Publishers <= maxPublishers, "publishers: want 1 to %d in a room", maxPublishers)
	check(c.Subscribers >= 0, "subscribers: want at least 0")
	check(c.Rooms <= maxParticipants && c.Subscribers <= maxParticipants && c.Rooms*(c.Publishers+c.Subscribers) <= maxParticipants,
		"rooms, publishers, subscribers: want at most %d clients in all", maxParticipants)
	check(c.JoinRate >= 0.1 && c.JoinRate <= 10_000, "join-rate: want 0.1 to 10000 a second")
	check(c.JoinTimeout >= time.Second, "join-timeout: want at least 1s")
	check(c.WarmUp >= 0, "warm-up: want at least 0s")
	check(c.Duration >= time.Second, "duration: want at least 1s")
	check(c.Bitrate >= 50_000 && c.Bitrate <= 50_000_000, "bitrate: want 50000 to 50000000 bit/s")
	check(c.FPS >= 1 && c.FPS <= 120, "fps: want 1 to 120")
	check(c.KeyframeInterval == 0 || c.KeyframeInterval >= 500*time.Millisecond, "keyframe-interval: want 0 or at least 500ms")
	check(c.PID >= 0, "pid: want a process id")
	return errors.Join(errs...)
}
