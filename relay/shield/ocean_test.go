package shield

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/quic-go/quic-go"

	"cardea/relay/shield/queue"
)

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"node"}, NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var quicConfig = &quic.Config{
	EnableDatagrams: true, InitialPacketSize: 1280, MaxIdleTimeout: 30 * time.Second, KeepAlivePeriod: 10 * time.Second,
	MaxIncomingUniStreams:      10,
	InitialStreamReceiveWindow: 4 << 20, InitialConnectionReceiveWindow: 4 << 20,
}

// node is one end: a transport on an endpoint, shielded or bare.
type node struct {
	shield    *Conn // nil: bare
	transport *quic.Transport
	listener  *quic.Listener
	conn      *quic.Conn
}

func newNode(t testing.TB, pc net.PacketConn, bare bool, cfg Config) *node {
	t.Helper()
	n := &node{}
	if !bare {
		s, err := FromPacketConn(pc)
		if err != nil {
			t.Fatal(err)
		}
		if n.shield, err = New(s, cfg); err != nil {
			t.Fatal(err)
		}
		pc = n.shield
	}
	n.transport = &quic.Transport{Conn: pc}
	return n
}

func (n *node) close() {
	if n.conn != nil {
		n.conn.CloseWithError(0, "")
	}
	n.transport.Close()
	n.transport.Conn.Close()
}

// connect joins two nodes by a QUIC connection, and by a shield if they have one.
func connect(t testing.TB, a, b *node) {
	t.Helper()
	dial(t, a, b)
	if a.shield == nil {
		return
	}
	for _, end := range []struct {
		n      *node
		client bool
	}{{a, true}, {b, false}} {
		state := end.n.conn.ConnectionState().TLS
		secret, err := state.ExportKeyingMaterial("EXPORTER-cardea-shield", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		if err := end.n.shield.Protect(end.n.conn.RemoteAddr().(*net.UDPAddr).AddrPort(), secret, end.client); err != nil {
			t.Fatal(err)
		}
	}
}

// dial makes a QUIC connection from a to b, in place of the one they have.
func dial(t testing.TB, a, b *node) {
	t.Helper()
	var err error
	if b.listener == nil {
		cfg := &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"x"}}
		if b.listener, err = b.transport.Listen(cfg, quicConfig); err != nil {
			t.Fatal(err)
		}
	} else {
		a.conn.CloseWithError(0, "")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	accepted := make(chan *quic.Conn, 1)
	go func() {
		c, err := b.listener.Accept(ctx)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	a.conn, err = a.transport.Dial(ctx, b.transport.Conn.LocalAddr(),
		&tls.Config{InsecureSkipVerify: true, ServerName: "node", NextProtos: []string{"x"}}, quicConfig)
	if err != nil {
		t.Fatal(err)
	}
	if b.conn = <-accepted; b.conn == nil {
		t.FailNow()
	}
}

// grow waits until quic-go has found out that it may send datagrams of size bytes.
func grow(t testing.TB, c *quic.Conn, size int) {
	t.Helper()
	for range 500 {
		var tooLarge *quic.DatagramTooLargeError
		if err := c.SendDatagram(make([]byte, 1452)); errors.As(err, &tooLarge) && tooLarge.MaxDatagramPayloadSize >= int64(size) {
			return
		}
		if err := c.SendDatagram(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("no datagrams of %d bytes", size)
}

// tally is what became of the datagrams of one run.
type tally struct {
	mu           sync.Mutex
	late         time.Duration // what counts as in time
	sent, intime int
	arrived      int
	seen         map[uint64]bool
	hist         [1000]int // ms
}

// offer sends video-like bursts: rate bit/s in datagrams of size bytes, seven at a time. It returns the number of the last.
func offer(q *queue.Queue, c queue.Class, rate float64, size int, d time.Duration, tl *tally, first uint64) uint64 {
	const burst = 7
	gap := time.Duration(float64(burst*size*8) / rate * 1e9)
	start := time.Now()
	b := make([]byte, size)
	for i := 0; time.Since(start) < d; i++ {
		for range burst {
			first++
			binary.BigEndian.PutUint64(b, first)
			binary.BigEndian.PutUint64(b[8:], uint64(time.Now().UnixNano()))
			if c != queue.Padding {
				b[16] = 1
				tl.mu.Lock()
				tl.sent++
				tl.mu.Unlock()
			}
			q.Push(b, c)
		}
		time.Sleep(time.Until(start.Add(time.Duration(i+1) * gap)))
	}
	return first
}

// collect counts what arrives; the time from offering to arrival is what counts, waiting at the sender included.
func collect(ctx context.Context, c *quic.Conn, current func() *tally) {
	for {
		b, err := c.ReceiveDatagram(ctx)
		if err != nil {
			return
		}
		if len(b) < 17 || b[16] == 0 {
			continue
		}
		n := binary.BigEndian.Uint64(b)
		d := time.Duration(time.Now().UnixNano() - int64(binary.BigEndian.Uint64(b[8:])))
		tl := current()
		tl.mu.Lock()
		if !tl.seen[n] {
			tl.seen[n] = true
			tl.arrived++
			if d <= tl.late {
				tl.intime++
			}
			tl.hist[min(int(d/time.Millisecond), len(tl.hist)-1)]++
		}
		tl.mu.Unlock()
	}
}

// quantile returns the delay in ms that a share q of what arrived did not exceed.
func (tl *tally) quantile(q float64) int {
	sum := 0
	for ms, n := range tl.hist {
		if sum += n; float64(sum) >= q*float64(tl.arrived) {
			return ms
		}
	}
	return len(tl.hist)
}

// weather is what an ocean does to packets, and what is asked for in it.
type weather struct {
	name         string
	share, burst float64
	jitter       time.Duration // mean, exponential: packets overtake each other
	goal         float64       // share in time
	overhead     float64
}

var weathers = []weather{
	{"no loss", 0, 1, 0, 0.9999, 0.01},
	{"1 % independent", 0.01, 1, 0, 0.999, 0.08},
	{"3 % independent", 0.03, 1, 0, 0.995, 0.14},
	{"1 % in bursts of 5", 0.01, 5, 0, 0.995, 0.15},
	{"1 %, jitter 3 ms", 0.01, 1, 3 * time.Millisecond, 0.999, 0.08},
}

// figures are those of one phase of a run.
type figures struct {
	*tally
	overhead float64
	window   uint64
	dials    int
}

// ocean runs 20 Mbit/s over 150 ms of round trip: once warm, and again after the link was idle for 10 minutes.
func ocean(t *testing.T, w weather, bare bool, seed uint64, measure time.Duration) (phases [2]figures) {
	const (
		rate   = 20e6
		need   = 3 * rate / 8 * 0.15 // the window a link is kept ready with: three times what it carries
		budget = 75*time.Millisecond + 60*time.Millisecond
	)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(sinceBubblesBegin)
		ab, ba := newPipe(seed), newPipe(seed+1000)
		ab.delay, ba.delay = 75*time.Millisecond, 75*time.Millisecond
		ab.jitter, ba.jitter = w.jitter, w.jitter
		ab.setLoss(w.share, w.burst)
		ba.setLoss(w.share, w.burst)
		a := newNode(t, newEndpoint("10.0.0.1:7947", ab, ba), bare, Config{})
		b := newNode(t, newEndpoint("10.0.0.2:7947", ba, ab), bare, Config{})
		to := b.transport.Conn.LocalAddr().(*net.UDPAddr).AddrPort()
		connect(t, a, b)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		var mu sync.Mutex
		tl := &tally{}
		current := func() *tally {
			mu.Lock()
			defer mu.Unlock()
			return tl
		}
		q := queue.New(4e6)
		var stop context.CancelFunc
		attach := func() {
			grow(t, a.conn, 1250)
			var run context.Context
			run, stop = context.WithCancel(ctx)
			from, into := a.conn, b.conn
			wg.Go(func() { collect(run, into, current) })
			wg.Go(func() {
				_ = q.Run(run, from.SendDatagram, func() int {
					if bare {
						return 1e9
					}
					return a.shield.Budget(to)
				})
			})
		}
		attach()
		dials, n := 1, uint64(0)
		for second := 1; second <= 24 && a.conn.ConnectionStats().CongestionWindow < need; second++ {
			if second%8 == 0 { // what was lost before there was a shield has shut the window for good
				stop()
				dial(t, a, b)
				attach()
				dials++
			}
			n = offer(q, queue.Padding, 2*rate, 1250, time.Second, tl, n)
		}
		for i := range phases {
			if i == 1 {
				time.Sleep(10 * time.Minute)
			}
			mu.Lock()
			tl = &tally{late: budget, seen: map[uint64]bool{}}
			mu.Unlock()
			f := figures{tally: tl, dials: dials}
			data, extra := traffic(a, to)
			n = offer(q, queue.Base, rate, 1250, measure, tl, n)
			time.Sleep(2 * time.Second)
			if d, e := traffic(a, to); d > data {
				f.overhead = float64(e-extra) / float64(d-data)
			}
			f.window = a.conn.ConnectionStats().CongestionWindow
			phases[i] = f
		}
		cancel()
		a.close()
		b.close()
		wg.Wait()
		ab.close()
		ba.close()
	})
	return phases
}

// sinceBubblesBegin brings a synctest bubble's clock, which begins in 2000, past the start of the process, before which quic-go's clock is negative.
const sinceBubblesBegin = 40 * 365 * 24 * time.Hour

// traffic returns the bytes sent for packets, and those sent as parity and repeats.
func traffic(n *node, to netip.AddrPort) (data, extra uint64) {
	if n.shield == nil {
		return 0, 0
	}
	r := n.shield.remote(to)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dataOut, r.extraOut
}

// full tells whether the whole tests were asked for, whose tables are printed.
var full = os.Getenv("OCEAN") != ""

func TestOcean(t *testing.T) {
	if !full {
		t.Skip("takes minutes: make ocean")
	}
	measure, seeds := 20*time.Second, uint64(1)
	if raceEnabled {
		measure = 5 * time.Second // too short for the goals of bursts, long enough for races
	}
	if full {
		measure, seeds = time.Minute, 3
	}
	var out strings.Builder
	fmt.Fprintf(&out, "20 Mbit/s of datagrams of 1,250 bytes, 150 ms round trip, %v each; in time is 75 + 60 ms, waiting at the sender included\n", measure)
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "loss\tseed\tlink\tphase\tin time\tarrived\tp50\tp99\tp99.9\toverhead\twindow\tdials\t")
	for _, w := range weathers {
		for seed := range seeds {
			for _, bare := range []bool{true, false} {
				if bare && raceEnabled {
					continue
				}
				link := "shield"
				if bare {
					link = "bare QUIC"
				}
				for i, f := range ocean(t, w, bare, 11+10*seed, measure) {
					intime, arrived := float64(f.intime)/float64(f.sent), float64(f.arrived)/float64(f.sent)
					phase := [2]string{"warm", "10 min idle"}[i]
					fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%.3f %%\t%.3f %%\t%d\t%d\t%d ms\t%.1f %%\t%d kB\t%d\t\n", w.name, seed, link, phase,
						100*intime, 100*arrived, f.quantile(0.5), f.quantile(0.99), f.quantile(0.999), 100*f.overhead, f.window/1000, f.dials)
					if !bare && !raceEnabled && (intime < w.goal || f.overhead > w.overhead) {
						t.Errorf("%s, %s: %.3f %% in time with an overhead of %.1f %%", w.name, phase, 100*intime, 100*f.overhead)
					}
				}
			}
		}
	}
	table.Flush()
	show(t, out.String())
}

// show prints a table if the whole tests were asked for, and logs it otherwise.
func show(t *testing.T, s string) {
	if full {
		fmt.Println(s)
	} else {
		t.Log("\n" + s)
	}
}
