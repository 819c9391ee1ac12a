package relay

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"cardea/relay/ice"
	"cardea/relay/peer"
	"cardea/relay/plane"
	"cardea/relay/turn"
	"cardea/relay/udp"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newRelay binds a media plane with TURN to a port of its own.
func newRelay(t testing.TB) *Relay {
	t.Helper()
	address := netip.MustParseAddr("127.0.0.1")
	for try := 0; ; try++ {
		service := turn.Default()
		service.Realm, service.Users, service.Relay = "test", map[string]string{"u": "p"}, []netip.Addr{address}
		service.Log = slog.New(slog.DiscardHandler)
		r, err := New(Config{
			Addresses: []netip.Addr{address}, Port: uint16(40000 + rand.IntN(9000)), TCP: true, TURN: &service, //nolint:gosec // small
			Log: service.Log, MaxPeers: 100,
		})
		if err == nil {
			return r
		}
		if try == 10 {
			t.Fatal(err)
		}
	}
}

// serve runs a media plane until the test ends.
func serve(t testing.TB) (r *Relay, stop func()) {
	t.Helper()
	r = newRelay(t)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return r, stop
}

func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// check makes a connectivity check to a peer.
func check(t testing.TB, to plane.Transport) []byte {
	t.Helper()
	m, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(to.Ufrag+":them"),
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{1, 2, 3, 4}}, stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.NewShortTermIntegrity(to.Pwd), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// TestStopping: what is open when the media plane stops is closed, and nothing opens afterwards.
func TestStopping(t *testing.T) {
	r, stop := serve(t)
	if _, err := r.Open(t.Context(), "p", plane.PeerOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Forward(t.Context(), plane.Forwarder{ID: "f", Address: "127.0.0.1:9"}); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := r.Open(t.Context(), "q", plane.PeerOptions{}); !errors.Is(err, plane.ErrOverloaded) {
		t.Errorf("open after the end: %v", err)
	}
	if n := r.Peers(); n != 0 {
		t.Errorf("%d peers are left", n)
	}
	if err := r.Negotiate(t.Context(), "p", plane.Session{}); !errors.Is(err, plane.ErrNoPeer) {
		t.Errorf("negotiate after the end: %v", err)
	}
}

// TestOpenIsRepeatable: the same peer is found again, however often and by whomever at once; too many are refused.
func TestOpenIsRepeatable(t *testing.T) {
	r := newRelay(t)
	defer r.Release()
	var first plane.Transport
	var once sync.Once
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			got, err := r.Open(t.Context(), "p", plane.PeerOptions{})
			if err != nil {
				t.Error(err)
			}
			once.Do(func() { first = got })
		})
	}
	wait.Wait()
	again, err := r.Open(t.Context(), "p", plane.PeerOptions{})
	if err != nil || again.Ufrag != first.Ufrag || again.Pwd != first.Pwd || r.Peers() != 1 {
		t.Errorf("%v %v, %d peers", again, err, r.Peers())
	}
	for i := range 100 {
		_, err = r.Open(t.Context(), plane.PeerID([]byte{'x', byte(i)}), plane.PeerOptions{})
	}
	if !errors.Is(err, plane.ErrOverloaded) || r.Metrics().Refused.Load() != 1 {
		t.Errorf("the hundred and first: %v", err)
	}
	for _, id := range []plane.PeerID{"", plane.PeerID(make([]byte, maxPeerID+1))} {
		if _, err := r.Open(t.Context(), id, plane.PeerOptions{}); !errors.Is(err, plane.ErrInvalid) {
			t.Errorf("id of %d bytes: %v", len(id), err)
		}
	}
	r.closePeers()
}

// TestFault: a panic in the handling of a peer's packets ends that peer, told once, and nobody else.
func TestFault(t *testing.T) {
	r, stop := serve(t)
	for _, id := range []plane.PeerID{"faulty", "other"} {
		if _, err := r.Open(t.Context(), id, plane.PeerOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	faulty, err := r.peer("faulty")
	if err != nil {
		t.Fatal(err)
	}
	l := r.newLoop(0)
	l.known.paths[netip.MustParseAddrPort("192.0.2.1:1")] = new(peer.Peer) // which has nothing it needs
	in := []udp.Datagram{
		{Data: make([]byte, 20), From: netip.MustParseAddrPort("192.0.2.1:1")},
		{Data: []byte{255}},
	}
	in[0].Data[0] = 0x8f // more sources than there is room for, which is counted where there is nothing to count
	if next := l.datagrams(in, 0, 1); next != 1 {
		t.Errorf("goes on with datagram %d", next)
	}
	if next := l.datagrams(in, 1, 1); next != 2 || r.Metrics().Rubbish.Load() != 1 {
		t.Error("the datagram behind is not handled")
	}
	for range 2 {
		r.fault(faulty, "a test", nil)
	}
	r.fault(nil, "a test", nil)
	await(t, "the faulty peer is not closed", func() bool { return r.Peers() == 1 })
	if _, err := r.peer("other"); err != nil {
		t.Error(err)
	}
	events, err := r.Events(t.Context(), 0)
	if err != nil || len(events) != 1 || events[0].Type != plane.EventDown || events[0].Peer != "faulty" {
		t.Errorf("%+v %v", events, err)
	}
	if n := r.Metrics().Faults.Load(); n != 4 {
		t.Errorf("%d faults counted, want 4", n)
	}
	stop()
}

// TestRestartRoutes: after a restart the former user fragment leads to the peer as long as its checks are taken, then no more.
func TestRestartRoutes(t *testing.T) {
	r := newRelay(t)
	defer r.Release()
	first, err := r.Open(t.Context(), "p", plane.PeerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := r.peer("p")
	l := r.newLoop(0)
	from := ice.Path{Remote: netip.MustParseAddrPort("127.0.0.1:9")}
	l.stun(check(t, first), from, r.env.Clock.Now())
	var last plane.Transport
	for generation := range uint32(5) {
		if last, err = r.Restart(t.Context(), "p", generation+1); err != nil {
			t.Fatal(err)
		}
		if len(r.routes.ufrags) != 2 || r.routes.byUfrag([]byte(first.Ufrag)) != p || r.routes.byUfrag([]byte(last.Ufrag)) != p {
			t.Fatalf("restart %d: routed are %v", generation+1, r.routes.ufrags)
		}
	}
	l.stun(check(t, last), from, r.env.Clock.Now())
	p.Tick(r.env.Clock.Now(), l.out)
	if len(r.routes.ufrags) != 1 || r.routes.byUfrag([]byte(last.Ufrag)) != p {
		t.Errorf("after a check with the new credentials routed are %v", r.routes.ufrags)
	}
	r.closePeers()
	if len(r.routes.ufrags)+len(r.routes.paths)+len(r.routes.owned) != 0 {
		t.Error("routes of closed peers are left")
	}
}

// TestTCPPathEnds: a connection that ends takes its route with it, and what a peer sends does not go there any more.
func TestTCPPathEnds(t *testing.T) {
	r, _ := serve(t)
	to, err := r.Open(t.Context(), "p", plane.PeerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp4", r.listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	frame := check(t, to)
	if _, err := conn.Write(append([]byte{byte(len(frame) >> 8), byte(len(frame))}, frame...)); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 256)
	if _, err := conn.Read(reply); err != nil {
		t.Fatal(err)
	}
	remote := func() string {
		st, err := r.Stats(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		return st.Remote
	}
	if got := remote(); got != conn.LocalAddr().String() {
		t.Fatalf("packets go to %q", got)
	}
	// TURN inside of ICE's framing is nobody's, and is not answered over UDP.
	allocate := stun.MustBuild(stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.TransactionID).Raw
	rubbish := r.Metrics().Rubbish.Load()
	if _, err := conn.Write(append([]byte{0, byte(len(allocate))}, allocate...)); err != nil {
		t.Fatal(err)
	}
	await(t, "TURN in ICE's framing is not refused", func() bool { return r.Metrics().Rubbish.Load() == rubbish+1 })
	_ = conn.Close()
	await(t, "packets still go to a connection that has ended", func() bool { return remote() == "" })
	r.routes.mu.Lock()
	defer r.routes.mu.Unlock()
	if len(r.routes.paths) != 0 {
		t.Errorf("%d routes are left", len(r.routes.paths))
	}
}

// FuzzDatagram brings arbitrary datagrams to the media port's loop, from a stranger and from a client's address.
func FuzzDatagram(f *testing.F) {
	r := newRelay(f)
	f.Cleanup(r.Release)
	to, err := r.Open(f.Context(), "p", plane.PeerOptions{})
	if err != nil {
		f.Fatal(err)
	}
	session := plane.Session{Version: 1, Remote: plane.Transport{Ufrag: "them", Pwd: "secret"}, Setup: plane.Passive}
	if err := r.Negotiate(f.Context(), "p", session); err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{
		nil,
		{0},
		{0x80},
		make([]byte, 12),
		{0x80, 200, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0},
		{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0},
		{0x40, 0, 0, 4, 1, 2, 3, 4},
		{255},
		check(f, to), check(f, plane.Transport{Ufrag: "nobody", Pwd: "wrong"}),
		stun.MustBuild(stun.BindingRequest, stun.TransactionID).Raw, stun.MustBuild(stun.BindingSuccess, stun.TransactionID).Raw,
		stun.MustBuild(stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.TransactionID).Raw,
	} {
		f.Add(seed)
	}
	l := r.newLoop(0)
	client := netip.MustParseAddrPort("127.0.0.1:9")
	l.stun(check(f, to), ice.Path{Remote: client}, r.env.Clock.Now())
	f.Cleanup(r.closePeers)
	f.Fuzz(func(t *testing.T, b []byte) {
		now := r.env.Clock.Now()
		for _, from := range []netip.AddrPort{client, netip.MustParseAddrPort("127.0.0.1:10")} {
			l.datagrams([]udp.Datagram{{Data: append([]byte(nil), b...), From: from}}, 0, now)
		}
		l.flush(now)
		if r.Metrics().Faults.Load() > 0 {
			t.Fatal("panic")
		}
		if n := len(r.routes.paths) + len(l.known.paths); n > 4 {
			t.Fatalf("%d paths", n)
		}
	})
}

// TestReplayedCheck: a check that comes again from where another client is being heard takes nothing from that one; once
// it is silent, the address may be somebody else's.
func TestReplayedCheck(t *testing.T) {
	r := newRelay(t)
	defer r.Release()
	var checks [2][]byte
	var peers [2]*peer.Peer
	for i, id := range []plane.PeerID{"a", "b"} {
		to, err := r.Open(t.Context(), id, plane.PeerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		checks[i] = check(t, to)
		peers[i], _ = r.peer(id)
	}
	l := r.newLoop(0)
	now := r.env.Clock.Now()
	from := ice.Path{Remote: netip.MustParseAddrPort("127.0.0.1:9")}
	l.stun(checks[0], from, now)
	l.stun(checks[1], from, now+int64(900*time.Millisecond))
	if got := r.routes.byPath(keyOf(from)); got != peers[0] {
		t.Error("a replayed check took another client's path")
	}
	l.stun(checks[1], from, now+int64(1200*time.Millisecond))
	if got := r.routes.byPath(keyOf(from)); got != peers[1] {
		t.Error("an address that fell silent stays taken")
	}
	r.closePeers()
}
