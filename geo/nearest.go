package geo

import (
	"context"
	_ "embed" // nearest.js
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Paths that [Nearest] serves.
const (
	NearestPath = "/nearest"
	ModulePath  = "/nearest.js"
	ProbePath   = "/probe"
	WatchPath   = "/nearest/watch"
)

//go:embed nearest.js
var module []byte

// NearestConfig is what [Nearest] answers from. Functions are called from many goroutines.
type NearestConfig struct {
	// Self returns this node's id.
	Self func() string
	// Nodes are all nodes, this one among them.
	Nodes func() []Node
	// Chooser counts the clients that are sent to nodes.
	Chooser *Chooser
	// Locate tells where an address is; nil: it is not known of any.
	Locate func(a netip.Addr) (Location, bool)
	// Room tells where the participants of a room are; it may ask other nodes and should give up soon. Nil: rooms do not count.
	Room func(ctx context.Context, room string) []Members
	// Credentials mints a user and a password for TURN at any of the nodes, which expire after [CredentialsTTL]; an empty user for none.
	// Nil: no TURN.
	Credentials func(now time.Time) (user, password string)
	// Client tells who asks; not valid if that cannot be told.
	Client func(r *http.Request) netip.Addr
	// Origins are the web origins whose pages may ask; nil lets all.
	Origins func() []string
	// Ready is nil when new clients are welcome here.
	Ready func() error
	// Watch answers clients that want to know when they should move to another node; nil: none are told.
	Watch http.Handler
}

// CredentialsTTL is how long TURN credentials are good for new allocations. Those that exist outlive them.
const CredentialsTTL = 10 * time.Minute

// Nearest is the HTTP interface for clients that look for their node. It is an http.Handler for [NearestPath], [ModulePath],
// [ProbePath] and [WatchPath].
type Nearest struct {
	cfg     NearestConfig
	served  *sources
	counted *sources
	mux     *http.ServeMux

	lists, probes, refused atomic.Uint64
}

// Counts tells whether a client of that address may count as one that is sent to a node: a stranger must not make nodes look
// full. Whoever sends clients elsewhere asks here before each [Chooser.Sent].
func (n *Nearest) Counts(client netip.Addr, now time.Time) bool { return n.counted.take(client, now) }

// Stats counts requests.
type Stats struct {
	Lists, Probes uint64 // answered
	Refused       uint64 // since one address sent too many
}

// Stats returns what was counted so far.
func (n *Nearest) Stats() Stats { return Stats{n.lists.Load(), n.probes.Load(), n.refused.Load()} }

const (
	// maxListed is how many nodes are listed at most: who cannot reach any of these has another problem.
	maxListed = 16
	// What one source may ask, a second and at once. Many people share an address in offices and schools.
	serveRate, serveBurst = 50, 500
	// What of it counts as clients that are sent to nodes, and gets TURN credentials: a stranger must not make a node look full.
	countRate, countBurst = 5, 100
	// maxParameter bounds parameters of requests, in bytes.
	maxParameter = 256
	// roomWait is how long to wait for news of a room.
	roomWait = 500 * time.Millisecond
)

// NewNearest makes the handler.
func NewNearest(cfg NearestConfig) *Nearest {
	n := &Nearest{cfg: cfg, served: newSources(serveRate, serveBurst), counted: newSources(countRate, countBurst), mux: http.NewServeMux()}
	n.mux.HandleFunc("GET "+NearestPath, n.nearest)
	n.mux.HandleFunc("GET "+ModulePath, n.module)
	n.mux.HandleFunc("GET "+ProbePath, n.probe)
	if cfg.Watch != nil {
		n.mux.Handle("GET "+WatchPath, cfg.Watch)
	}
	for _, path := range []string{NearestPath, ModulePath, ProbePath, WatchPath} {
		n.mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	}
	return n
}

// ServeHTTP serves one request.
func (n *Nearest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !n.cors(w, r) {
		http.Error(w, "pages of this origin may not ask (janus.allowed_origins)", http.StatusForbidden)
		return
	}
	n.mux.ServeHTTP(w, r)
}

// cors writes the headers that let pages ask; false if the page's origin may not.
func (n *Nearest) cors(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	welcome := "*"
	if origins := n.cfg.Origins(); origins != nil {
		h.Set("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if origin == "" || sameOrigin(origin, r) { // no page, or the one that this server sent
			return true
		}
		if !slices.ContainsFunc(origins, func(o string) bool { return strings.EqualFold(o, origin) }) {
			return false
		}
		welcome = origin
	}
	h.Set("Access-Control-Allow-Origin", welcome)
	h.Set("Timing-Allow-Origin", welcome)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET")
		h.Set("Access-Control-Max-Age", "86400")
	}
	return true
}

func sameOrigin(origin string, r *http.Request) bool {
	_, host, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(host, r.Host)
}

// module serves nearest.js.
func (n *Nearest) module(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(module) // a client that is gone needs no answer
}

// probe answers as fast as it can.
func (n *Nearest) probe(w http.ResponseWriter, _ *http.Request) {
	n.probes.Add(1)
	w.Header().Set("Cache-Control", "no-store")
	if err := n.cfg.Ready(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// Answer is what GET /nearest answers.
type Answer struct {
	Client Whereabouts `json:"client"`
	// Nodes are those that take clients, the best first; but behind the first come those that are worth probing.
	Nodes []Listed `json:"nodes"`
	// Probes is how many of the first are worth measuring.
	Probes int `json:"probes"`
	// SpreadMS is by how much two nodes may differ, in ms, for the one that comes first in the list to be as good.
	SpreadMS float64 `json:"spread_ms"`
	// TTL is for how many seconds the ICE servers' credentials are good.
	TTL int `json:"ttl_s"`
}

// Whereabouts is where the client is taken to be.
type Whereabouts struct {
	By        string  `json:"by"` // "hint", "address", or "" where nothing says it
	Country   string  `json:"country,omitempty"`
	Latitude  float64 `json:"latitude,omitempty"`
	Longitude float64 `json:"longitude,omitempty"`
}

// Listed is a node for a client.
type Listed struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Region string   `json:"region,omitempty"`
	Janus  []string `json:"janus"` // URLs of the Janus API, the best first
	Probe  string   `json:"probe"` // what to fetch to see how far the node is
	// ICEServers are its TURN server, if it is one, as browsers take it (W3C RTCIceServer).
	ICEServers []ICEServer `json:"ice_servers"`
	// RTTMS is the round trip, ExtraMS what counts beside it: load, and the way on to the others in the room. A client that measures the
	// one adds the other.
	RTTMS float64 `json:"rtt_ms"`
	// Measured says that RTTMS is what the client said that it measured; else it is an estimate by where it seems to be.
	Measured bool    `json:"measured"`
	ExtraMS  float64 `json:"extra_ms"`
}

// ICEServer is a TURN server with credentials that soon expire.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
}

// nearest answers where a client should go.
func (n *Nearest) nearest(w http.ResponseWriter, r *http.Request) {
	now, client := time.Now(), n.cfg.Client(r)
	w.Header().Set("Cache-Control", "no-store")
	if !n.served.take(client, now) {
		n.refused.Add(1)
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests from this address", http.StatusTooManyRequests)
		return
	}
	a, fault := parseAsk(r)
	if fault != "" {
		http.Error(w, fault, http.StatusBadRequest)
		return
	}
	q, nodes := n.query(r.Context(), a, client), n.cfg.Nodes()
	ranked := n.cfg.Chooser.Choose(now, q, nodes)
	ranked = slices.DeleteFunc(ranked, func(r Ranked) bool { return len(r.Doors.doors(a.secure)) == 0 })
	if len(ranked) == 0 {
		http.Error(w, "no node takes clients", http.StatusServiceUnavailable)
		return
	}
	n.lists.Add(1)
	counted := !a.stays && n.Counts(client, now)
	if counted {
		n.cfg.Chooser.Sent(now, &ranked[0].Node)
	}
	at, radius := whereabouts(q, nodes)
	ranked, probes := Scatter(ranked, radius)
	ranked = ranked[:min(len(ranked), maxListed)]
	if a.janus {
		var urls []string
		for i := range ranked {
			urls = append(urls, ranked[i].Doors.JanusURLs(a.secure)...)
		}
		writeJSON(w, urls)
		return
	}
	var turn *ICEServer // the credentials
	if counted {
		turn = n.mint(now)
	}
	answer := Answer{Client: at, Probes: probes, SpreadMS: milliseconds(tolerance(q)), TTL: int(CredentialsTTL / time.Second)}
	for i := range ranked {
		l := list(&ranked[i], a.secure, turn)
		_, l.Measured = a.measured[l.ID]
		answer.Nodes = append(answer.Nodes, l)
	}
	writeJSON(w, answer)
}

// query is what is known of a client that asks.
func (n *Nearest) query(ctx context.Context, a ask, client netip.Addr) Query {
	q := Query{Hint: a.hint, Measured: a.measured, Asked: n.cfg.Self(), Spread: rand.Uint64()}
	if n.cfg.Locate != nil {
		q.Client, _ = n.cfg.Locate(client) // or it is nowhere
	}
	if a.room != "" && n.cfg.Room != nil {
		ctx, cancel := context.WithTimeout(ctx, roomWait)
		defer cancel()
		q.Room = n.cfg.Room(ctx, a.room)
	}
	return q
}

// mint makes TURN credentials, nil if there are none.
func (n *Nearest) mint(now time.Time) *ICEServer {
	if n.cfg.Credentials == nil {
		return nil
	}
	user, password := n.cfg.Credentials(now)
	if user == "" {
		return nil
	}
	return &ICEServer{Username: user, Credential: password}
}

// list describes a node; turn has the credentials, nil for none.
func list(r *Ranked, secure bool, turn *ICEServer) Listed {
	l := Listed{
		ID: r.ID, Name: r.Name, Region: r.Region, Janus: r.Doors.JanusURLs(secure), Probe: r.Doors.ProbeURL(secure),
		ICEServers: []ICEServer{}, RTTMS: milliseconds(r.RTT), ExtraMS: milliseconds(r.Extra),
	}
	if urls := r.Doors.TURNURLs(); r.TURN && turn != nil && len(urls) > 0 {
		l.ICEServers = append(l.ICEServers, ICEServer{urls, turn.Username, turn.Credential})
	}
	return l
}

// whereabouts says where a client is taken to be, and how far off that may be, in km.
func whereabouts(q Query, nodes []Node) (w Whereabouts, radius float64) {
	if p, beside := q.hinted(nodes); p.Known() || len(beside) > 0 {
		return Whereabouts{By: "hint", Latitude: p.Latitude, Longitude: p.Longitude}, radiusOfPlace
	}
	if !q.Client.Place.Known() {
		return Whereabouts{}, math.Inf(1)
	}
	p := q.Client.Place
	return Whereabouts{By: "address", Country: q.Client.Country, Latitude: p.Latitude, Longitude: p.Longitude}, q.Client.Radius
}

// ask is a request's parameters.
type ask struct {
	room, hint    string
	janus, secure bool
	stays         bool // it wants to know, and not to go anywhere
	measured      map[string]time.Duration
}

// parseAsk reads the parameters, or returns what is wrong with them.
func parseAsk(r *http.Request) (a ask, fault string) {
	p := r.URL.Query()
	for name, values := range p {
		if len(values) > 1 || len(values[0]) > maxParameter && name != "rtt" {
			return a, "a parameter is too long or there more than once"
		}
	}
	a.room, a.hint = p.Get("room"), p.Get("hint")
	a.secure, a.stays = r.TLS != nil || p.Get("secure") == "1", p.Get("stays") == "1"
	switch p.Get("format") {
	case "":
	case "janus":
		a.janus = true
	default:
		return a, "format: want janus, or none"
	}
	if text := p.Get("rtt"); text != "" {
		if a.measured = parseMeasured(text); a.measured == nil {
			return a, "rtt: want ID:MILLISECONDS, at most 16 of them joined by commas"
		}
	}
	return a, ""
}

// parseMeasured reads round trips, nil for what are none.
func parseMeasured(text string) map[string]time.Duration {
	const most = maxListed
	all := make(map[string]time.Duration)
	for part := range strings.SplitSeq(text, ",") {
		id, value, ok := strings.Cut(part, ":")
		ms, err := strconv.ParseFloat(value, 64)
		_, twice := all[id]
		if !ok || err != nil || !(ms >= 0 && ms <= 60_000) || id == "" || len(id) > maxParameter || len(all) == most || twice {
			return nil
		}
		all[id] = time.Duration(ms * float64(time.Millisecond))
	}
	return all
}

// milliseconds is a duration as clients read it, to the tenth.
func milliseconds(d time.Duration) float64 { return math.Round(float64(d)/1e5) / 10 }

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil { // only for a number that JSON has no word for
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // a client that is gone needs no answer
}
