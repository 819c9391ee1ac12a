package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cardea/mesh"
	"cardea/mesh/member"
	"cardea/node/config"
	"cardea/node/console"
	"cardea/node/farewell"
	"cardea/node/registry"
	"cardea/relay"
	"cardea/relay/quality"
	"cardea/signaling/events"
	"cardea/signaling/janus"
	"cardea/signaling/transport"
)

// Node is one node of the mesh with all its ports bound. Make it with [Listen]; it serves from [Node.Serve] on.
type Node struct {
	cfg      *config.Config
	name     string
	log      *slog.Logger
	level    *slog.LevelVar // of log; nil when it is not ours to change
	out      io.Writer      // for people who look on; nil: nobody does
	started  time.Time
	load     *loadMeter
	registry *prometheus.Registry
	open     []openListener
	tls      *tls.Config // of listeners that speak TLS; nil without a certificate

	certificate *certificate // of tls
	access      *access
	notifier    *notifier     // nil: no service manager wants to know
	running     config.Config // cfg with what reloads changed; owned by reload
	changes     []change

	services []service // in the order they start; they stop in reverse
	ready    atomic.Bool

	keeper   keeper
	media    *relay.Relay
	cluster  *member.Cluster
	mesh     *mesh.Mesh
	pageTURN *pageTURN     // nil without TURN
	server   *janus.Server // nil without signaling
	watch    *farewell.Watch
	finder   *finder            // of the nearest node
	reach    reach              // how far clients are
	names    *nameServer        // nil without a zone
	noted    *registry.Registry // nil without Redis
	ownMedia []netip.AddrPort   // where clients' TURN servers reach this node's media
	callers  atomic.Pointer[transport.Callers]
	drain    drain

	// Where signaling tells what happens, and what its operators may change of who takes it; set before signaling is made, nil when
	// nobody is told.
	events        *events.Bus
	eventHandlers map[string]janus.EventHandler // by Janus's names of event handlers
	eventPath     *eventPath                    // what becomes of them; nil likewise
	sinks         []eventSink

	// What the planes tell the console; set before Serve.
	figures []func(*console.Status)
	rooms   func(ctx context.Context) []console.Room
	peer    func(session, handle uint64) (console.Peer, bool)
	room    func(ctx context.Context, plugin, room string, p console.ParticipantRange) (console.RoomView, bool)
	kick    func(ctx context.Context, plugin, room, participant string) error
	quality func(room string, participants []string) map[string]console.Quality // of those whose media is here
	counts  func(room string) []mesh.RoomCount                                  // who uses rooms here; nil without signaling
	meters  *qualityMeters
	board   *quality.Board
}

// service is something that runs as long as the node. run returns soon after its context ends, with nothing of it left
// behind; an error before that ends the node.
type service struct {
	name string
	run  func(ctx context.Context) error
}

// Run makes a node and serves until ctx ends, then stops it cleanly. It logs on standard error, tells the service manager how it is
// doing, and on SIGHUP takes over what can change of the configuration that again returns. Where logs are for people, it tells them on out
// where the page is and how other nodes join. The error is a [config.Faults] when the configuration, or a file that it names, is wrong.
func Run(ctx context.Context, cfg *config.Config, again func() (*config.Config, error), out io.Writer) error {
	hangups := make(chan os.Signal, 1) // from now on, since the signal kills who does not expect it
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	terminations := make(chan os.Signal, 1)
	signal.Notify(terminations, syscall.SIGTERM)
	defer signal.Stop(terminations)
	// What sockets the kernel gives is told in the node's own words, by its log.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	level := new(slog.LevelVar)
	level.Set(cfg.Log.Level)
	n, err := listenWith(ctx, cfg, newLogger(cfg.Log.Format, level, os.Stderr), level)
	if err != nil {
		return err
	}
	if cfg.Log.Format == "text" {
		n.out = out
	}
	n.notifier = newNotifier(n.log)
	// Who stops last tells to the end that the node is alive.
	n.services = slices.Insert(n.services, 0, service{"watchdog", func(ctx context.Context) error {
		return n.notifier.watch(ctx, func() { n.status() })
	}})
	n.services = append(n.services, service{"signals", func(ctx context.Context) error {
		defer signal.Stop(terminations) // the next one kills
		return n.terminateOn(ctx, terminations)
	}})
	n.services = append(n.services, service{"reload", func(ctx context.Context) error { return n.reloadOn(ctx, hangups, again) }})
	return n.Serve(ctx)
}

// Listen prepares the process and binds every port the configuration asks for, or none. cfg must be valid and must not
// be changed afterwards. A node that is not served must be closed.
func Listen(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Node, error) {
	return listenWith(ctx, cfg, log, nil)
}

// listenWith is Listen with a logger whose level may be changed, if level is not nil.
func listenWith(ctx context.Context, cfg *config.Config, log *slog.Logger, level *slog.LevelVar) (*Node, error) {
	n := &Node{
		cfg: cfg, level: level, name: cfg.Node.Name, started: time.Now(), load: newLoadMeter(cfg.Limits),
		access: newAccess(cfg.Console), running: *cfg,
		keeper: keeper{dir: cfg.Node.DataDir},
		rooms:  func(context.Context) []console.Room { return nil },
		peer:   func(uint64, uint64) (console.Peer, bool) { return console.Peer{}, false },
		room: func(context.Context, string, string, console.ParticipantRange) (console.RoomView, bool) {
			return console.RoomView{}, false
		},
		kick:    func(context.Context, string, string, string) error { return errors.New("this node serves no rooms") },
		quality: func(string, []string) map[string]console.Quality { return nil },
	}
	n.watchable()
	in, err := takeIn(cfg, log)
	n.sinks = in.sinks
	if err != nil {
		n.Close()
		return nil, err
	}
	n.name = in.name
	n.log = log.With("node", n.name)
	n.registry = newRegistry(n.load)
	n.addQuality()
	n.certificate, n.tls = newCertificate(in.pair)
	if n.open, err = listenTCP(ctx, cfg, n.tls, &n.reach, n.consoleConnections(), "janus", "console", "dns"); err != nil {
		n.Close()
		return nil, err
	}
	n.addChanges()
	if n.certificate != nil {
		n.services = append(n.services, service{"certificate", func(ctx context.Context) error { return n.certificate.follow(ctx, cfg.TLS, n.log) }})
	}
	// Services stop in reverse: the console is last, to tell that the node is stopping.
	n.openGeo(in.locator)
	n.serveHTTP("console", n.finder.with(console.New(n.consoleConfig())))
	n.services = append(n.services, service{"load", func(ctx context.Context) error { return n.load.run(ctx, n.log) }})
	if err := n.addEvents(); err != nil {
		n.Close()
		return nil, err
	}
	if err := n.listenMedia(); err != nil {
		n.Close()
		return nil, err
	}
	if err := n.joinMesh(ctx); err != nil {
		n.Close()
		return nil, err
	}
	if err := n.openDNS(ctx); err != nil {
		n.Close()
		return nil, err
	}
	if err := n.joinRegistry(); err != nil {
		n.Close()
		return nil, err
	}
	if err := n.addSignaling(); err != nil {
		n.Close()
		return nil, err
	}
	n.services = append(n.services, service{"drain", n.runDrain}, service{"farewell", n.watch.Run})
	prepare(cfg, n.log) // now that nothing else is in the way, what the system did not give is worth a warning
	n.warnBuffers()
	for _, w := range in.warnings {
		n.log.Warn("the configuration will do, but not well", "option", w.Path, "problem", w.Problem)
	}
	return n, nil
}

// serveHTTP adds a service for each open listener of an option or a whole section ("janus.ws_port", "console").
func (n *Node) serveHTTP(option string, h http.Handler) {
	for _, l := range n.open {
		if l.Option == option || strings.HasPrefix(l.Option, option+".") {
			n.services = append(n.services, httpService(l, h, n.cfg.Node.StopTimeout, n.log))
		}
	}
}

// Close releases the ports of a node that was never served.
func (n *Node) Close() {
	closeAll(n.open)
	closeSinks(n.sinks)
	n.names.close()
	if n.noted != nil {
		n.noted.Close()
	}
	n.keeper.close()
	if n.mesh != nil {
		n.mesh.Close()
	}
	if n.media != nil {
		n.media.Release()
	}
}

// errStop says that a service did not end in time.
var errStop = errors.New("did not stop in time")

// lastGrace is what the other services get when one has used up the time for stopping.
const lastGrace = 500 * time.Millisecond

// waitFor waits until ended or the deadline and tells whether it was the former.
func waitFor(ended <-chan struct{}, deadline <-chan time.Time) bool {
	select {
	case <-ended: // first, when both are true
		return true
	default:
	}
	select {
	case <-ended:
		return true
	case <-deadline:
		return false
	}
}

// meetTime is how long a node that knows of others waits for them until it takes clients.
const meetTime = 3 * time.Second

// Serve runs the node until ctx ends or a service fails, then stops the services, the last started first. It returns
// what failed, or which services were still running at the deadline. It must be called once.
func (n *Node) Serve(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	type running struct {
		service
		stop  context.CancelFunc
		ended chan struct{}
	}
	all := make([]running, len(n.services))
	for i, s := range n.services {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		all[i] = running{s, stop, make(chan struct{})}
		go func() {
			defer close(all[i].ended)
			if err := s.run(own); err != nil {
				fail(fmt.Errorf("%s: %w", s.name, err))
			}
		}()
		if s.name == eventsService {
			n.eventPath.told(ctx) // before those that take clients run
		}
	}
	meeting, met := context.WithTimeout(ctx, meetTime)
	_ = n.mesh.Meet(meeting) // or the node stands alone, and merges when it meets others
	met()
	n.ready.Store(true)
	n.announce()
	<-ctx.Done()
	n.ready.Store(false)
	n.roomsHad().freeze()
	n.load.refuse("stopping")
	n.log.Info("stopping", "within", n.cfg.Node.StopTimeout)
	n.notifier.stopping(n.cfg.Node.StopTimeout)
	var errs []error
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, errDrained) {
		errs = append(errs, cause)
	}
	deadline := time.After(n.cfg.Node.StopTimeout)
	for i, r := range slices.Backward(all) {
		r.stop()
		if waitFor(r.ended, deadline) {
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", r.name, errStop))
		for _, r := range all[:i] { // no time left to wait for each
			r.stop()
		}
		deadline = time.After(lastGrace)
	}
	closeAll(n.open) // also what nobody served
	n.keeper.close()
	n.log.Info("stopped")
	return errors.Join(errs...)
}

// announce logs that the node serves, and where.
func (n *Node) announce() {
	for _, l := range n.cfg.Listeners() {
		n.log.Debug("listening", "option", l.Option, "network", l.Network, "address", l.HostPort())
	}
	n.log.Info("ready", "version", Version(), "console", ConsoleURL(n.cfg))
	n.notifier.ready("ready")
	n.warnNamesake()
	n.welcome()
}

// ConsoleURL returns the address of a node's console for programs and browsers on its own machine, "" when there is
// none. Browsers give pages from loopback addresses the camera.
func ConsoleURL(cfg *config.Config) string {
	for _, l := range cfg.Listeners() {
		if l.Option != "console.port" {
			continue
		}
		if !l.Address.IsValid() || l.Address.IsUnspecified() {
			l.Address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		return "http://" + l.HostPort()
	}
	return ""
}

// notReady returns why new clients are not welcome, nil when they are.
func (n *Node) notReady() error {
	if !n.ready.Load() {
		return errors.New("starting or stopping")
	}
	if until, ok := n.drain.draining(); ok {
		return fmt.Errorf("draining, until %s at the latest", until.Format(time.TimeOnly)) // strangers read it: not of whom it waits for
	}
	return n.load.Admit()
}

func (n *Node) consoleConfig() console.Config {
	c := n.cfg
	cc := console.Config{
		Access:  n.access.get,
		Client:  func(r *http.Request) netip.Addr { return transport.ClientAddress(r, n.callers.Load().Proxies) },
		Metrics: promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{Registry: n.registry}),
		Ready:   n.notReady,
		Status:  n.status,
		Rooms:   func(ctx context.Context) []console.Room { return n.rooms(ctx) },
		Peer:    func(session, handle uint64) (console.Peer, bool) { return n.peer(session, handle) },
		Mesh:    n.consoleMesh(),
		Room: func(ctx context.Context, plugin, room string, p console.ParticipantRange) (console.RoomView, bool) {
			return n.room(ctx, plugin, room, p)
		},
		Operator: n.operator(),
		Quality:  n.qualityLines,
	}
	if c.ServesTURN() {
		cc.ICEServers = func(host string) []console.ICEServer { return n.pageTURN.servers(host, time.Now()) }
	}
	if c.Console.Page && c.Node.Has(config.PlaneSignaling) {
		cc.Page = &console.Page{
			Version: Version(), StringIDs: c.VideoRoom.StringIDs, AdminKey: c.VideoRoom.AdminKey != "",
			APISecret: c.Janus.APISecret != "" || c.Janus.TokenAuth,
			Hosts:     n.pageHosts,
		}
		for _, l := range n.open {
			switch l.Option {
			case "janus.ws_port":
				cc.Page.WSPort = l.Port
			case "janus.wss_port":
				cc.Page.WSSPort = l.Port
			case "janus.http_port":
				cc.Page.HTTPPort = l.Port
			case "janus.https_port":
				cc.Page.HTTPSPort = l.Port
			}
		}
	}
	return cc
}

// status gathers the node's state.
func (n *Node) status() console.Status {
	load := n.load.Load()
	s := console.Status{
		Node: n.name, Region: n.cfg.Node.Region, Version: Version(), Started: n.started, Ready: true,
		Load: console.Load{
			CPU: load.CPU, LatencyMS: float64(load.Latency) / float64(time.Millisecond), Share: load.Share, Refusing: load.Refusing,
		},
		Memory: memory(), Goroutines: runtime.NumGoroutine(),
	}
	if err := n.notReady(); err != nil {
		s.Ready, s.Reason = false, err.Error()
	}
	for _, l := range n.cfg.Listeners() {
		s.Listeners = append(s.Listeners, console.Listener{Option: l.Option, Network: l.Network, Address: l.HostPort(), TLS: l.TLS})
	}
	for _, add := range n.figures {
		add(&s)
	}
	s.Leaving = n.drain.leaving()
	return s
}

// memory reads what the runtime holds, without stopping the world.
func memory() console.Memory {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	m := console.Memory{Heap: samples[0].Value.Uint64(), Total: samples[1].Value.Uint64() - samples[2].Value.Uint64()}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		m.Limit = uint64(limit)
	}
	return m
}
