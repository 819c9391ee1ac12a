package hostile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/node"
	"cardea/node/config"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	room      = 1234
	setUpTime = 30 * time.Second // for anything that should take a moment; machines of tests are busy
	quietTime = 2 * time.Second  // the call without an attack, to compare with
	// afterTime is how long the node may take to be again what it was: vanished sessions are kept for a second, and looked
	// for every two.
	afterTime = 30 * time.Second
)

// tooBusy is how long one in a hundred packets to oneself may take on a machine whose calls can be judged: beyond, readers are
// so late that buffers of a test's own clients run over.
const tooBusy = 200 * time.Millisecond

// stage is a node in this process with an innocent call through it.
type stage struct {
	t       *testing.T
	ctx     context.Context
	address netip.Addr
	media   netip.AddrPort
	log     *journal

	publisher  *caller.Publisher
	subscriber *caller.Subscriber
	tracks     map[string]*caller.Track
}

// open starts a node on a loopback address of its own and calls through it. What an attack leaves must be gone soon, so
// sessions are kept for a second only; and whether the machine is busy with other tests must not decide who is refused.
func open(t *testing.T, address string, configure func(*config.Config)) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	c := config.Default()
	c.Node.Name, c.Node.Bind, c.Node.DataDir = "hostile", netip.MustParseAddr(address), t.TempDir()
	c.Janus.ReclaimSessionTimeout = time.Second
	c.Limits.CPU, c.Limits.SchedulingLatency = 0, 0
	innocent := config.DefaultRoom()
	innocent.Room, innocent.Publishers = strconv.Itoa(room), 1000
	c.VideoRoom.Rooms = []config.Room{innocent}
	if configure != nil {
		configure(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s := &stage{
		t: t, ctx: ctx, address: c.Node.Bind, media: netip.AddrPortFrom(c.Node.Bind, c.Media.Port),
		log: &journal{}, tracks: make(map[string]*caller.Track),
	}
	n, err := node.Listen(ctx, &c, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Serve(serving) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the node ended badly: %v", err)
		}
		if faults := s.log.faults(); faults != "" {
			t.Errorf("the node complains:\n%s", faults)
		}
	})
	s.call()
	return s
}

// call makes the innocent call, and ends it before the node stops.
func (s *stage) call() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, setUpTime)
	defer cancel()
	sends, receives := s.client(ctx), s.client(ctx)
	var err error
	if s.publisher, err = sends.Publish(ctx, room); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.publisher.Close() })
	if s.subscriber, err = receives.Subscribe(ctx, room, s.publisher.ID); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.subscriber.Close() })
	for _, kind := range []string{"audio", "video"} {
		if s.tracks[kind], err = s.subscriber.Track(ctx, kind); err != nil {
			s.t.Fatal(err)
		}
	}
}

// client opens a session that lasts as long as the test.
func (s *stage) client(ctx context.Context) *caller.Client {
	s.t.Helper()
	c, err := caller.Open(ctx, s.ws())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Cut)
	return c
}

func (s *stage) ws() string             { return fmt.Sprintf("ws://%s:8188/", s.address) }
func (s *stage) http() string           { return fmt.Sprintf("http://%s:8088/janus", s.address) }
func (s *stage) tcp(port uint16) string { return netip.AddrPortFrom(s.address, port).String() }

// attack runs an attack and wants the innocent call not to notice, and the node to be afterwards what it was before. It
// returns by how much the metrics grew. The attack must have let go of everything of its own when it returns.
func (s *stage) attack(run func(ctx context.Context)) growth {
	s.t.Helper()
	s.rest(time.Second) // the first picture came late: it was sent before anybody watched
	s.restart()
	s.rest(quietTime)
	quiet, lost := s.judge(), s.lost()
	before, metrics := s.held(), s.metrics()
	echo := startEcho(s.t)
	s.restart()
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	run(ctx)
	cancel()
	s.rest(time.Second) // for what is still on its way
	pressed := s.judge()
	usual, longest := echo.stop()
	complain := s.t.Errorf
	if longest > tooBusy {
		s.t.Logf("an echo takes %v: this machine is too busy to judge a call by its delay and loss", longest)
		complain = s.t.Logf
	}
	if n := s.eventuallyLost(lost); n > 0 {
		complain("the call has lost %d packets", n)
	}
	s.rest(200 * time.Millisecond)
	for kind, p := range s.judge() {
		if p.Received == pressed[kind].Received {
			s.t.Errorf("%s has stopped", kind)
		}
	}
	for kind, p := range pressed {
		// A busy machine delays an echo on the loopback as it delays the call, which wakes a dozen goroutines in turn.
		allowed := 4*quiet[kind].P95 + max(12*usual, 2*longest) + 25*time.Millisecond
		s.t.Logf("%s: p95 %v before, %v under attack, longest %v; an echo beside it %v", kind,
			quiet[kind].P95.Round(time.Microsecond), p.P95.Round(time.Microsecond), p.Max.Round(time.Microsecond), usual.Round(time.Microsecond))
		if p.P95 > allowed {
			complain("%s is delayed by %v, at most %v allowed", kind, p.P95, allowed)
		}
	}
	s.restored(before)
	return growth{s.t, metrics, s.metrics()}
}

// rest lets the call go on for a while.
func (s *stage) rest(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

// restart begins to measure delays anew.
func (s *stage) restart() {
	for _, track := range s.tracks {
		track.Restart()
	}
}

func (s *stage) judge() map[string]caller.Figures {
	f := make(map[string]caller.Figures)
	for kind, track := range s.tracks {
		f[kind] = track.Figures()
	}
	return f
}

func (s *stage) lost() (n uint64) {
	for _, f := range s.judge() {
		n += f.Lost
	}
	return n
}

// eventuallyLost returns what was lost since before and is not repaired in time.
func (s *stage) eventuallyLost(before uint64) uint64 {
	for range 20 {
		if s.lost() <= before {
			return 0
		}
		s.rest(100 * time.Millisecond)
	}
	return s.lost() - before
}

// holdings is what this process holds, node and attackers together.
type holdings struct {
	goroutines, files int
	heap              uint64 // live bytes
}

func (s *stage) held() holdings {
	h := holdings{goroutines: runtime.NumGoroutine()}
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		h.files = len(entries)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // empties pools
	runtime.ReadMemStats(&m)
	h.heap = m.HeapAlloc
	return h
}

// heapSlack is by how much the live heap may differ afterwards: tables that have grown once, and goroutines, which Go keeps.
const heapSlack = 4 << 20

// restored waits until the process holds no more than before.
func (s *stage) restored(before holdings) {
	s.t.Helper()
	deadline := time.Now().Add(afterTime)
	for {
		now := s.held()
		// The call itself now and then has a goroutine more: a keepalive, a reply.
		if now.goroutines <= before.goroutines+2 && now.files <= before.files && now.heap <= before.heap+heapSlack {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("the node does not let go: %+v before, %+v now", before, now)
			if now.goroutines > before.goroutines+2 {
				_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			}
			return
		}
		s.rest(500 * time.Millisecond)
	}
}

// metrics reads the node's /metrics; the values of one name with different labels are added up.
func (s *stage) metrics() map[string]float64 {
	s.t.Helper()
	client := http.Client{Timeout: setUpTime, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + s.tcp(9600) + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("metrics: %s %v", response.Status, err)
	}
	all := make(map[string]float64)
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			name, _, _ = strings.Cut(name, "{")
			all[name] += v
		}
	}
	return all
}

// growth is by how much metrics grew over an attack.
type growth struct {
	t             *testing.T
	before, after map[string]float64
}

func (g growth) of(name string) float64 {
	g.t.Helper()
	if _, ok := g.after[name]; !ok {
		g.t.Errorf("there is no metric %s", name)
	}
	return g.after[name] - g.before[name]
}

// atLeast wants counters to have counted.
func (g growth) atLeast(n float64, names ...string) {
	g.t.Helper()
	for _, name := range names {
		if got := g.of(name); got < n {
			g.t.Errorf("%s grew by %.0f, at least %.0f expected", name, got, n)
		}
	}
}

// echo is a control: packets that go over the loopback to this process and back without any node.
type echo struct {
	conn   *net.UDPConn
	quit   chan struct{}
	work   sync.WaitGroup
	delays []time.Duration
}

func startEcho(t *testing.T) *echo {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{conn: conn, quit: make(chan struct{})}
	sent := make(chan time.Time, 1)
	e.work.Go(func() {
		var b [16]byte
		for {
			if _, _, err := conn.ReadFromUDPAddrPort(b[:]); err != nil {
				return
			}
			e.delays = append(e.delays, time.Since(<-sent))
		}
	})
	e.work.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-e.quit:
				return
			}
			select {
			case sent <- time.Now():
				_, _ = conn.WriteToUDPAddrPort([]byte("echo"), conn.LocalAddr().(*net.UDPAddr).AddrPort())
			default: // the last one has not come back
			}
		}
	})
	return e
}

// stop returns the delays that 95 and 99 of 100 packets kept to.
func (e *echo) stop() (usual, longest time.Duration) {
	close(e.quit)
	_ = e.conn.Close()
	e.work.Wait()
	if len(e.delays) == 0 {
		return 0, 0
	}
	slices.Sort(e.delays)
	return e.delays[len(e.delays)*95/100], e.delays[len(e.delays)*99/100]
}

// journal keeps what the node logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// maxJournal bounds what is kept, bytes.
const maxJournal = 1 << 20

// Write implements [io.Writer].
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.text.Len() < maxJournal || bytes.Contains(b, []byte("level=ERROR")) {
		j.text.Write(b)
	}
	return len(b), nil
}

// faults returns the lines that tell of faults of the node's own: what strangers do wrong is no error.
func (j *journal) faults() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []string
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			found = append(found, line)
		}
	}
	return strings.Join(found[:min(len(found), 10)], "")
}
