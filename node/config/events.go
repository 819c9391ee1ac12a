package config

import (
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Events tell other programs what happens at the node, in the JSON of Janus's event handlers, by as many of the ways below as are
// configured; without any, no events are made. What could not be delivered is kept on disk below node.data_dir, also over
// restarts, within the bounds here; the oldest goes first, and is counted.
type Events struct {
	// Types lists the types of events that are made at all: all, or some of sessions, handles, external, jsep, webrtc, media, plugins,
	// transports, core (Janus's) and users. Session descriptions (jsep) and media statistics (media) are by far the most.
	Types []string `yaml:"types"`
	// Emitter is the node's name in events. Empty: janus.server_name, or the node's name.
	Emitter string `yaml:"emitter"`
	// Label is the key under which user events (joined, left, published, ...) have their object.
	Label string `yaml:"label"`
	// IDs gives Janus's events an id in their JSON, as user events have it, by which a receiver knows one that came before. Off: they
	// are as Janus's, and Kafka's header "id" has it alone.
	IDs bool `yaml:"ids"`
	// StatsPeriod is how often media events tell what flows, and core events how many sessions, handles and PeerConnections there are
	// if that has changed (unchanged: once a minute); 0 never does. Shorter costs processor time for each publisher and subscriber.
	StatsPeriod time.Duration `yaml:"stats_period"`
	// MaxDisk bounds what is kept on disk for all ways together. An event takes about 400 bytes.
	MaxDisk Size `yaml:"max_disk"`
	// MaxMemory bounds what is kept in memory, where events wait when the disk takes none.
	MaxMemory Size `yaml:"max_memory"`
	// RoomListWait is how long a node that starts waits, before it takes clients, for every way to have taken the list of the rooms
	// that it had before. It is the first event in any case. 0 does not wait.
	RoomListWait time.Duration `yaml:"room_list_wait"`
	// FlushTimeout is how long a node that stops goes on to deliver events; what is left is delivered after the next
	// start. It is a part of node.stop_timeout.
	FlushTimeout time.Duration `yaml:"flush_timeout"`
	// Kafka is a topic of a Kafka cluster.
	Kafka EventsKafka `yaml:"kafka"`
	// Webhook is an HTTP server.
	Webhook EventsWebhook `yaml:"webhook"`
	// WebSocket is a WebSocket server.
	WebSocket EventsWebSocket `yaml:"websocket"`
	// Log is a file.
	Log EventsLog `yaml:"log"`
}

// EventsKafka sends events to a Kafka topic, at least once, keyed by room ("videoroom/1234"), else by session.
type EventsKafka struct {
	// Brokers lists some of the cluster's brokers, HOST:PORT. Empty: no events go to Kafka.
	Brokers []string `yaml:"brokers"`
	// Topic is the name of the topic; brokers that make topics on demand make it.
	Topic string `yaml:"topic"`
	// Types are as events.types, for this way alone.
	Types []string `yaml:"types"`
	// Acks says who has an event before it counts as delivered: all replicas in sync, the leader, or none, which loses some.
	Acks string `yaml:"acks"`
	// Compression is zstd, lz4, snappy, gzip or none.
	Compression string `yaml:"compression"`
	// Batch is how many events are sent at a time at most. Larger is faster over long ways, and repeats more after a failure.
	Batch int `yaml:"batch"`
	// TLS encrypts connections to the brokers.
	TLS bool `yaml:"tls"`
	// CA is the PEM file of the authorities that brokers' certificates are checked against. Empty: the system's.
	CA string `yaml:"ca"`
	// Certificate is a PEM file with this client's certificate, if the brokers want one.
	Certificate string `yaml:"certificate"`
	// Key is the PEM file of its private key.
	Key string `yaml:"key"`
	// Mechanism is how to authenticate (SASL): PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Empty: not at all.
	Mechanism string `yaml:"mechanism"`
	// User is the name to authenticate as.
	User string `yaml:"user"`
	// Password is what proves it to the brokers.
	Password Secret `yaml:"password"`
	// AllowPlaintext lets PLAIN, which sends the password as it is, do so without tls to brokers that are not on this machine. Whoever
	// sees the network's packets has the password.
	AllowPlaintext bool `yaml:"allow_plaintext"`
}

// EventsWebhook posts events to an HTTP server, at least once, as arrays of up to 100, as Janus's sampleevh does; here with a signature,
// and the answer's status counts: 2xx confirms, 400, 413, 415 and 422 refuse, everything else is tried again.
type EventsWebhook struct {
	// URL is where to post to, http or https. Empty: no events are posted. Redirects are not followed.
	URL string `yaml:"url"`
	// Types are as events.types, for this way alone.
	Types []string `yaml:"types"`
	// Allowed lists the private networks that the URL's host may turn out to be in, beside an address that stands in the URL itself:
	// a name that leads to a private address is not connected to otherwise.
	Allowed []Network `yaml:"allowed"`
	// Secret signs requests as Standard Webhooks says (webhook-id, webhook-timestamp, webhook-signature: HMAC-SHA256); as it is, or
	// base64 after "whsec_".
	Secret Secret `yaml:"secret"`
	// User is the name for basic authentication. Empty: none.
	User string `yaml:"user"`
	// Password is for basic authentication.
	Password Secret `yaml:"password"`
	// Grouping posts arrays of events; without, each event in a request of its own.
	Grouping bool `yaml:"grouping"`
	// Compress compresses requests by gzip.
	Compress bool `yaml:"compress"`
	// AnyStatus has every answer confirm, whatever its status, as with sampleevh.
	AnyStatus bool `yaml:"any_status"`
	// Timeout is how long a request may take.
	Timeout time.Duration `yaml:"timeout"`
}

// EventsWebSocket sends events as a WebSocket client, in arrays of up to 100 a message, as Janus's wsevh does. They count as
// delivered when the pong to a later ping is back.
type EventsWebSocket struct {
	// URL is where to connect to, ws or wss. Empty: no events are sent.
	URL string `yaml:"url"`
	// Types are as events.types, for this way alone.
	Types []string `yaml:"types"`
	// Allowed is as events.webhook.allowed.
	Allowed []Network `yaml:"allowed"`
	// Subprotocol is asked for, if it is not empty.
	Subprotocol string `yaml:"subprotocol"`
	// User is the name for basic authentication. Empty: none.
	User string `yaml:"user"`
	// Password is for basic authentication.
	Password Secret `yaml:"password"`
	// Grouping sends arrays of events; without, each event in a message of its own.
	Grouping bool `yaml:"grouping"`
}

// EventsLog writes events to a file, a JSON object a line.
type EventsLog struct {
	// File is the path of the file. Empty: none is written. It is opened again when it was renamed (logrotate).
	File string `yaml:"file"`
	// Types are as events.types, for this way alone.
	Types []string `yaml:"types"`
	// MaxSize is how large the file gets until it is renamed to FILE.1; 0 never renames it.
	MaxSize Size `yaml:"max_size"`
	// Keep is how many renamed files are kept.
	Keep int `yaml:"keep"`
}

// Configured tells whether events go anywhere.
func (e *Events) Configured() bool {
	return len(e.Kafka.Brokers) > 0 || e.Webhook.URL != "" || e.WebSocket.URL != "" || e.Log.File != ""
}

func defaultEvents() Events {
	all := func() []string { return []string{"all"} }
	return Events{
		Types: all(), Label: "TGG_USER_EVENT", StatsPeriod: time.Second, MaxDisk: 256 << 20, MaxMemory: 16 << 20,
		RoomListWait: 5 * time.Second, FlushTimeout: 3 * time.Second,
		Kafka:     EventsKafka{Topic: "cardea-events", Types: all(), Acks: "all", Compression: "zstd", Batch: 1000},
		Webhook:   EventsWebhook{Types: all(), Grouping: true, Timeout: 10 * time.Second},
		WebSocket: EventsWebSocket{Types: all(), Grouping: true},
		Log:       EventsLog{Types: all(), MaxSize: 128 << 20, Keep: 4},
	}
}

// eventTypes are the names of types of events.
var eventTypes = []string{"all", "none", "sessions", "handles", "external", "jsep", "webrtc", "media", "plugins", "transports", "core", "users"}

func (f *Faults) eventTypes(path string, types []string) {
	for _, t := range types {
		f.check(slices.Contains(eventTypes, t), path, "%q: want all, none or some of %s", t, strings.Join(eventTypes[2:], ", "))
		f.check(len(types) == 1 || t != "all" && t != "none", path, "%s stands alone", t)
	}
}

// eventURL checks the URL of a sink. It is not shown: it may hold a secret.
func (f *Faults) eventURL(path, text string, schemes ...string) {
	u, err := url.Parse(text)
	ok := err == nil && slices.Contains(schemes, u.Scheme) && u.Hostname() != ""
	f.check(text == "" || ok, path, "want a URL that begins with %s://", strings.Join(schemes, ":// or "))
	f.check(!ok || u.User == nil, path, "name and password do not belong in a URL: there are user and password")
}

func (c *Config) validateEvents(v *Faults) {
	e := &c.Events
	v.eventTypes("events.types", e.Types)
	v.check(len(e.Emitter) <= 256, "events.emitter", "longer than 256 bytes")
	reserved := []string{"id", "emitter", "type", "subtype", "timestamp", "session_id", "handle_id", "opaque_id", "room"}
	v.check(e.Label != "" && len(e.Label) <= 64 && !slices.Contains(reserved, e.Label), "events.label", "%q: want 1 to 64 bytes, and none of an event's own keys", e.Label)
	v.between("events.stats_period", e.StatsPeriod, 100*time.Millisecond, time.Hour, true)
	v.check(e.MaxDisk >= 16<<20, "events.max_disk", "%v is less than 16MiB", e.MaxDisk)
	v.check(e.MaxMemory >= 2<<20 && e.MaxMemory <= e.MaxDisk, "events.max_memory", "%v is less than 2MiB or more than max_disk", e.MaxMemory)
	v.between("events.room_list_wait", e.RoomListWait, 100*time.Millisecond, 10*time.Minute, true)
	v.between("events.flush_timeout", e.FlushTimeout, 100*time.Millisecond, time.Hour, true)
	v.check(!e.Configured() || e.FlushTimeout < c.Node.StopTimeout, "events.flush_timeout", "is not below node.stop_timeout")
	c.validateEventsKafka(v)
	w := &e.Webhook
	v.eventURL("events.webhook.url", w.URL, "http", "https")
	v.eventTypes("events.webhook.types", w.Types)
	v.check(w.User != "" || w.Password == "", "events.webhook.password", "has no effect without user")
	v.between("events.webhook.timeout", w.Timeout, time.Second, 5*time.Minute, false)
	s := &e.WebSocket
	v.eventURL("events.websocket.url", s.URL, "ws", "wss")
	v.eventTypes("events.websocket.types", s.Types)
	v.check(s.User != "" || s.Password == "", "events.websocket.password", "has no effect without user")
	l := &e.Log
	v.eventTypes("events.log.types", l.Types)
	v.check(l.File == "" || filepath.IsAbs(l.File), "events.log.file", "%q: want an absolute path", l.File)
	v.check(l.MaxSize == 0 || l.MaxSize >= 1<<20, "events.log.max_size", "%v is less than 1MiB", l.MaxSize)
	v.check(l.Keep >= 0 && l.Keep <= 100, "events.log.keep", "want 0 to 100")
}

func (c *Config) validateEventsKafka(v *Faults) {
	k := &c.Events.Kafka
	for i, b := range k.Brokers {
		_, _, err := net.SplitHostPort(b)
		v.check(err == nil && isHost(b), "events.kafka.brokers["+strconv.Itoa(i)+"]", "%q: want HOST:PORT", b)
	}
	topic := k.Topic != "" && len(k.Topic) <= 249 && strings.Trim(k.Topic, nameCharacters+".") == ""
	v.check(topic && k.Topic != "." && k.Topic != "..", "events.kafka.topic", "%q: want up to 249 letters, digits, and . _ -", k.Topic)
	v.eventTypes("events.kafka.types", k.Types)
	v.check(slices.Contains([]string{"all", "leader", "none"}, k.Acks), "events.kafka.acks", "%q: want all, leader or none", k.Acks)
	v.check(slices.Contains([]string{"zstd", "lz4", "snappy", "gzip", "none"}, k.Compression), "events.kafka.compression", "%q: want zstd, lz4, snappy, gzip or none", k.Compression)
	v.check(k.Batch >= 1 && k.Batch <= 10_000, "events.kafka.batch", "want 1 to 10000")
	v.check(k.TLS || k.CA == "" && k.Certificate == "", "events.kafka.tls", "is off: ca and certificate have no effect")
	v.check((k.Certificate == "") == (k.Key == ""), "events.kafka", "certificate and key are needed together")
	v.check(slices.Contains([]string{"", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}, k.Mechanism), "events.kafka.mechanism", "%q: want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", k.Mechanism)
	v.check(k.Mechanism != "PLAIN" || k.TLS || k.AllowPlaintext || !slices.ContainsFunc(k.Brokers, isElsewhere), "events.kafka.mechanism", "PLAIN would send the password unencrypted: set events.kafka.tls, or allow_plaintext")
	v.check((k.Mechanism == "") == (k.User == "") && (k.Mechanism == "") == (k.Password == ""), "events.kafka", "mechanism, user and password are needed together")
}

// isElsewhere tells whether HOST:PORT is not for certain on this machine.
func isElsewhere(broker string) bool {
	host, _, err := net.SplitHostPort(broker)
	return err == nil && host != "localhost" && !net.ParseIP(host).IsLoopback()
}
