package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// Config is the whole configuration of a node. The zero value is not usable: start from [Default].
type Config struct {
	Node      Node      `yaml:"node"`
	Log       Log       `yaml:"log"`
	Janus     Janus     `yaml:"janus"`
	VideoRoom VideoRoom `yaml:"videoroom"`
	Media     Media     `yaml:"media"`
	TURN      TURN      `yaml:"turn"`
	Mesh      Mesh      `yaml:"mesh"`
	Geo       Geo       `yaml:"geo"`
	DNS       DNS       `yaml:"dns"`
	Registry  Registry  `yaml:"registry"`
	Events    Events    `yaml:"events"`
	Quality   Quality   `yaml:"quality"`
	TLS       TLS       `yaml:"tls"`
	Console   Console   `yaml:"console"`
	Limits    Limits    `yaml:"limits"`
}

// Node says who this node is and where it listens.
type Node struct {
	// Name is the node's name in logs, metrics and the console. Empty: the host's name.
	Name string `yaml:"name"`
	// Region is where the node stands, a free label such as eu-west, shown in the console.
	Region string `yaml:"region"`
	// Planes are the roles of the node: signaling (the Janus API), media, turn. All of them make a node that needs no other. A node
	// without media has its clients' media at the nearest node that has; one without signaling serves such nodes, and media
	// goes on there while signaling is restarted.
	Planes []string `yaml:"planes"`
	// DataDir is the directory of what must survive a restart. It is created, readable by its owner alone, when
	// something is first written. A node does not start when it cannot use a directory that was named; without the default one it
	// runs, with a warning, and forgets when it stops.
	DataDir string `yaml:"data_dir"`
	// Bind is the local address of every listener whose own section names no other. Empty: all addresses. With an
	// address of its own (127.0.0.2, 127.0.0.3, ...) each, several nodes run on one machine.
	Bind netip.Addr `yaml:"bind"`
	// Advertise lists addresses under which clients reach this node when they are not the machine's own (a cloud's or a
	// router's one-to-one NAT): PUBLIC for all local addresses of the same family, PUBLIC/LOCAL for one of them. Ports
	// must be forwarded unchanged.
	Advertise []Mapping `yaml:"advertise"`
	// StopTimeout is how long a clean stop may take before connections are cut. Longer lets slow clients take their
	// last messages; the service manager's own limit must be above it.
	StopTimeout time.Duration `yaml:"stop_timeout"`
	// DrainTimeout is how long SIGTERM, or "cardea drain" unless it says otherwise, lets present clients stay while other nodes take
	// the new ones: clients with nearest.js move meanwhile without a gap, others leave, and who is still there at the end is hung
	// up. The node ends earlier when it is empty. Longer cuts fewer calls and makes upgrades slower; the service manager's own limit
	// must be above this and stop_timeout together. 0, or no other node in the mesh: SIGTERM stops the node at once.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
}

// The roles of a node.
const (
	PlaneSignaling = "signaling"
	PlaneMedia     = "media"
	PlaneTURN      = "turn"
)

// Has tells whether the node has a role.
func (n *Node) Has(plane string) bool { return slices.Contains(n.Planes, plane) }

// ServesTURN tells whether the node is a TURN server.
func (c *Config) ServesTURN() bool { return c.TURN.Enabled && c.Node.Has(PlaneTURN) }

// Log says what is logged, on standard error.
type Log struct {
	// Level is the least severe level logged: debug, info, warn or error. Debug costs a noticeable part of the CPU.
	Level slog.Level `yaml:"level"`
	// Format is text for people (key=value) or json for collectors (one object a line).
	Format string `yaml:"format"`
}

// TLS names the certificate of every listener that speaks TLS or DTLS on behalf of the node: wss, https, turns. Without
// one these listeners stay closed. Calls themselves are encrypted either way, with keys of their own.
type TLS struct {
	// Certificate is a PEM file: the node's certificate, then those that lead to its authority. Both files are read again
	// when they change.
	Certificate string `yaml:"certificate"`
	// Key is the PEM file of the certificate's private key.
	Key string `yaml:"key"`
}

// Console is the HTTP server for people and their tools: a page with a call to try, and the node's state. The page,
// /healthz, /readyz, and what clients find their node by (/nearest, /nearest.js, /probe) are open to everybody who reaches the port;
// metrics and the JSON API are not.
type Console struct {
	// Address is the local address to listen on. Empty: node.bind.
	Address netip.Addr `yaml:"address"`
	// Port is the port for HTTP; 0 opens none, and then status and rooms do not work.
	Port uint16 `yaml:"port"`
	// HTTPSPort serves the same over TLS when tls.certificate is set; 0 opens none. Browsers give a page the camera only
	// over HTTPS or from localhost.
	HTTPSPort uint16 `yaml:"https_port"`
	// Page says whether the call page is offered; the rest of the console stays without it.
	Page bool `yaml:"page"`
	// Allowed lists the networks (or single addresses) that may, without a token, read metrics and the node's state, and invite
	// nodes, drain them and replace the gossip key. What comes through a proxy never counts as allowed, whatever the proxy's address.
	Allowed []Network `yaml:"allowed"`
	// Token lets its bearer ("Authorization: Bearer TOKEN") do the same from anywhere. Empty: only the allowed networks may.
	Token Secret `yaml:"token"`
	// Password lets operators, among those who may see the console, drain nodes and remove participants from rooms on its page, of
	// the whole mesh. At least 8 characters. Empty: the page only shows.
	Password Secret `yaml:"password"`
}

// Limits bound what clients can take from the node. New sessions are refused before present calls suffer.
type Limits struct {
	// CPU is the share of the process's processor time (its cgroup's quota, else all cores) above which new sessions are
	// refused, until it is a tenth below again; 0 never refuses. Higher packs more calls, and their delay starts to vary.
	CPU float64 `yaml:"cpu"`
	// SchedulingLatency is how late runnable work may start (99th percentile over some seconds) before new sessions are
	// refused; 0 never refuses. It notices a machine that others keep busy, which the node's own CPU time does not show.
	SchedulingLatency time.Duration `yaml:"scheduling_latency"`
	// Memory is the size the heap is kept below at the price of more collection (Go's GOMEMLIMIT, which wins when set in
	// the environment). 0: 90 % of the cgroup's limit, or of the machine's memory.
	Memory Size `yaml:"memory"`
	// Sessions is how many Janus sessions the node holds; an idle one costs some tens of kilobytes.
	Sessions int `yaml:"sessions"`
	// SessionRate is how many sessions a second one client address (IPv6: one /64) may create; 0 sets no limit. Offices
	// and schools share one address, so bursts of ten seconds' worth pass.
	SessionRate float64 `yaml:"session_rate"`
	// HandlesPerSession is how many plugin handles a session may hold. Servers that act for many users over one session
	// need thousands.
	HandlesPerSession int `yaml:"handles_per_session"`
	// RequestsPerSecond is how many requests one connection may make on average; bursts of ten times as many pass. Above it the
	// connection is read more slowly.
	RequestsPerSecond int `yaml:"requests_per_second"`
	// MessageSize bounds one request, SDP included. A session description takes about 3 KiB a media line.
	MessageSize Size `yaml:"message_size"`
}

// Default returns the configuration of a node to which nothing was said.
func Default() Config {
	return Config{
		Node: Node{Planes: []string{PlaneSignaling, PlaneMedia, PlaneTURN}, DataDir: "/var/lib/cardea", StopTimeout: 10 * time.Second, DrainTimeout: 30 * time.Second},
		Log:  Log{Level: slog.LevelInfo, Format: "text"},
		Janus: Janus{
			WSPort: 8188, WSSPort: 8989, HTTPPort: 8088, HTTPSPort: 8089, AdminPort: 7088,
			SessionTimeout:        60 * time.Second,
			ReclaimSessionTimeout: 10 * time.Second,
			CandidatesTimeout:     45 * time.Second,
			NoMediaTimer:          time.Second,
			Redirect:              RedirectOff,
		},
		Media: Media{
			Port: 3478, TCP: true, ReadBuffer: 4 << 20, WriteBuffer: 4 << 20,
			StartBitrate: 2_500_000, MinBitrate: 60_000, MaxBitrate: 50_000_000,
			HoldLayers: true,
		},
		TURN: TURN{
			Enabled: true, Realm: "cardea", MinPort: 49152, MaxPort: 65535, TLSPort: 5349, DTLS: true,
			MaxLifetime: time.Hour,
		},
		Geo:      Geo{MediaGain: 30 * time.Millisecond},
		Mesh:     Mesh{Enabled: true, GossipPort: 7946, LinkPort: 7947},
		DNS:      DNS{Port: 53, TTL: 20 * time.Second, RateLimit: 500},
		Registry: Registry{TTL: 30 * time.Second},
		Events:   defaultEvents(), Quality: defaultQuality(),
		Console: Console{
			Port: 9600, HTTPSPort: 9643, Page: true,
			Allowed: []Network{network("127.0.0.0/8"), network("::1")},
		},
		Limits: Limits{
			CPU: 0.85, SchedulingLatency: 200 * time.Millisecond,
			Sessions: 20_000, SessionRate: 100, HandlesPerSession: 4096, RequestsPerSecond: 200,
			MessageSize: 512 << 10,
		},
	}
}
