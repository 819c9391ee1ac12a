package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"cardea/relay/link/wire"
	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/shield"
	"cardea/relay/shield/queue"
	"cardea/relay/stream"
)

// stranger is a QUIC client that is no endpoint: another version, or somebody hostile.
type stranger struct {
	t         *testing.T
	transport *quic.Transport
}

func newStranger(t *testing.T) *stranger {
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := shield.FromPacketConn(pc)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := shield.New(socket, shield.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stranger{t, &quic.Transport{Conn: conn}}
	t.Cleanup(func() {
		s.transport.Close()
		conn.Close()
	})
	return s
}

// dial connects with the given certificate, or without.
func (s *stranger) dial(to *node, cert ...tls.Certificate) *quic.Conn {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := s.transport.Dial(ctx, net.UDPAddrFromAddrPort(to.Addresses()[0]),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}, Certificates: cert}, &quic.Config{EnableDatagrams: true})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.CloseWithError(0, "") })
	return conn
}

// greet says a hello, of whatever form, and hears the answer.
func greet(t *testing.T, conn *quic.Conn, say any) (*quic.Stream, *hello, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, nil, err
	}
	m := wire.Marshal(say)
	if _, err := s.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(m))), m...)); err != nil {
		return nil, nil, err
	}
	_ = s.SetReadDeadline(time.Now().Add(5 * time.Second))
	h, err := readHello(s)
	return s, h, err
}

func TestStrangersAreRefused(t *testing.T) {
	c := newCluster(t)
	n := c.node()
	member, id := c.ca.issue(t)
	c.book.set(id, netip.MustParseAddrPort("127.0.0.1:1"))
	outsider, _ := c.ca.issue(t) // a certificate of the authority's, of nobody who is a member
	forged, _ := newAuthority(t).issue(t)
	s := newStranger(t)
	if _, h, err := greet(t, s.dial(n, member), hello{Version: "x"}); err != nil || h.Refused != 0 {
		t.Fatalf("a member is refused: %+v, %v", h, err)
	}
	for name, certs := range map[string][]tls.Certificate{"outsider": {outsider}, "forged": {forged}, "none": nil} {
		before := n.Endpoint.Stats().Refused
		if _, _, err := greet(t, s.dial(n, certs...), hello{Version: "x"}); err == nil {
			t.Errorf("%s is let in", name)
		}
		eventually(t, name+" is not counted", func() bool { return n.Endpoint.Stats().Refused > before })
	}
	// Nor is a node dialled that is somebody else, or of nobody known.
	other := c.node()
	c.book.set("somebodyelse", other.Addresses()[0])
	if _, err := n.Link(context.Background(), "somebodyelse"); err == nil {
		t.Error("an impostor is taken for somebody else")
	}
	if _, err := n.Link(context.Background(), "nobody"); !errors.Is(err, errNotMember) {
		t.Errorf("link to nobody: %v", err)
	}
	if _, err := n.Link(context.Background(), n.id); err == nil {
		t.Error("a link to itself")
	}
	own := c.node(func(c *Config) { c.TLS = &tls.Config{Certificates: []tls.Certificate{forged}, RootCAs: c.TLS.RootCAs} })
	if _, err := n.Link(context.Background(), own.id); err == nil {
		t.Error("a node with a forged certificate is linked to")
	}
}

// A member that is dropped loses its link and gets no other.
func TestDrop(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	l := a.to(t, b)
	b.to(t, a) // is up as well
	addr := b.Addresses()[0]
	c.book.set(b.id)
	a.Drop(b.id)
	<-l.Done()
	if _, err := a.Link(context.Background(), b.id); !errors.Is(err, errNotMember) {
		t.Errorf("dialled: %v", err)
	}
	eventually(t, "the link stays", func() bool { return len(b.Links()) == 0 })
	if _, err := b.Link(context.Background(), a.id); err == nil {
		t.Error("let in")
	}
	c.book.set(b.id, addr)
	if _, err := a.Call(context.Background(), b.id, kindEcho, nil); err != nil {
		t.Error(err)
	}
}

// A newer version says more than we know, in hello, calls, notices and datagrams.
func TestNewerVersion(t *testing.T) {
	type newHello struct {
		Version  string   `pb:"1"`
		Features []string `pb:"2"`
		Instance uint64   `pb:"3"`
		More     []string `pb:"100"`
		Shape    float64  `pb:"101"`
	}
	type newRequest struct {
		Kind   uint16        `pb:"1"`
		Wait   time.Duration `pb:"2"`
		Length uint32        `pb:"4"`
		Size   uint32        `pb:"5"`
		Trace  []byte        `pb:"77"`
	}
	c := newCluster(t)
	n := c.node()
	cert, id := c.ca.issue(t)
	c.book.set(id, netip.MustParseAddrPort("127.0.0.1:1"))
	conn := newStranger(t).dial(n, cert)
	control, h, err := greet(t, conn, newHello{Version: "99", Features: []string{"flying"}, Instance: 5, More: []string{"a", "b"}, Shape: 0.5})
	if err != nil || h.Version != "1.0" || h.Generation != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	eventually(t, "no link", func() bool { return len(n.Links()) == 1 })
	if l := n.Links()[0]; l.Version() != "99" || !l.Has("flying") {
		t.Errorf("version %s", l.Version())
	}
	s, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write(appendMessage(newRequest{Kind: uint16(kindEcho), Wait: time.Second, Length: 2, Size: 2, Trace: make([]byte, 500)}, []byte("hi")))
	var r replyHeader
	if err := readHeader(s, &r); err != nil || r.Code != 0 || r.Length != 2 {
		t.Errorf("reply %+v, %v", r, err)
	}
	_, _ = control.Write(appendNotice(appendNotice(nil, 60000, []byte("what"), plain, 4), kindText, []byte("known"), plain, 5))
	if got := <-n.notice; got != "known" {
		t.Errorf("notice %q", got)
	}
	for _, b := range []string{"\x07new", "\x00raw"} {
		_ = conn.SendDatagram([]byte(b))
	}
	if got := <-n.raw; got != "raw" {
		t.Errorf("datagram %q", got)
	}
}

// What a member gone wrong says ends its link at most.
func TestMemberGoneWrong(t *testing.T) {
	c := newCluster(t)
	n := c.node()
	good := c.node()
	l := good.to(t, n)
	for name, f := range map[string]func(conn *quic.Conn, control *quic.Stream){
		"garbage as notices":  func(_ *quic.Conn, s *quic.Stream) { _, _ = s.Write(make([]byte, 100)) },
		"a notice too long":   func(_ *quic.Conn, s *quic.Stream) { _, _ = s.Write([]byte{1, 0x80, 0xff, 0xff, 0xff, 0}) },
		"a bomb":              func(_ *quic.Conn, s *quic.Stream) { _, _ = s.Write([]byte{1, 6, 1, 0x80, 0xff, 0xff, 0xff, 0}) },
		"its end":             func(_ *quic.Conn, s *quic.Stream) { _ = s.Close() },
		"a cut off notice":    func(_ *quic.Conn, s *quic.Stream) { _, _ = s.Write([]byte{1, 100, 0}); _ = s.Close() },
		"an unknown encoding": func(_ *quic.Conn, s *quic.Stream) { _, _ = s.Write([]byte{1, 3, 9, 1, 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			cert, id := c.ca.issue(t)
			c.book.set(id, netip.MustParseAddrPort("127.0.0.1:1"))
			conn := newStranger(t).dial(n, cert)
			control, _, err := greet(t, conn, hello{})
			if err != nil {
				t.Fatal(err)
			}
			f(conn, control)
			select {
			case <-conn.Context().Done():
			case <-time.After(5 * time.Second):
				t.Error("the link stays")
			}
		})
	}
	for name, b := range map[string]string{
		"long": "\xff\xff\xff\xff", "malformed": "\x00\x00\x00\x02\x0a\x7f", "no UTF-8": "\x00\x00\x00\x03\x0a\x01\xff",
		"generation": "\x00\x00\x00\x0b\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "cut": "\x00\x00\x00\x10abc",
	} {
		t.Run("hello "+name, func(t *testing.T) {
			cert, id := c.ca.issue(t)
			c.book.set(id, netip.MustParseAddrPort("127.0.0.1:1"))
			conn := newStranger(t).dial(n, cert)
			s, _ := conn.OpenStream()
			_, _ = s.Write([]byte(b))
			_ = s.Close()
			if _, err := io.ReadAll(s); err == nil {
				t.Error("answered")
			}
		})
	}
	if _, err := l.Call(context.Background(), kindEcho, nil); err != nil || l.closed() {
		t.Errorf("another link suffers: %v", err)
	}
}

// Calls that make no sense are refused, and one that is never finished holds up nobody.
func TestBadCalls(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	l := a.to(t, b)
	for name, msg := range map[string][]byte{
		"no header": {}, "long header": {0xff, 0xff}, "malformed header": {0, 2, 0x0a, 0x01},
		"too long":      appendMessage(requestHeader{Kind: uint16(kindEcho), Wait: time.Second, Length: MaxCall + 1, Size: MaxCall + 1}, nil),
		"other size":    appendMessage(requestHeader{Kind: uint16(kindEcho), Wait: time.Second, Length: 3, Size: 4}, []byte("abc")),
		"not zstandard": appendMessage(requestHeader{Kind: uint16(kindEcho), Wait: time.Second, Length: 3, Size: 4, Encoding: 1}, []byte("abc")),
		"encoding":      appendMessage(requestHeader{Kind: uint16(kindEcho), Wait: time.Second, Length: 3, Size: 4, Encoding: 9}, []byte("abc")),
		"cut body":      appendMessage(requestHeader{Kind: uint16(kindEcho), Wait: time.Second, Length: 3, Size: 3}, []byte("ab")),
	} {
		s, err := l.conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Write(msg)
		_ = s.Close()
		if _, err := l.readReply(s); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		} else if r := (*RemoteError)(nil); !errors.As(err, &r) || r.Code != CodeRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 100 {
		s, err := l.conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Write(appendMessage(requestHeader{Kind: uint16(kindEcho), Wait: time.Second, Length: 3, Size: 3}, nil))
	}
	if _, err := a.Call(context.Background(), b.id, kindEcho, nil); err != nil {
		t.Error(err)
	}
}

// A member that connects again and again is made to wait.
func TestReconnectsAreLimited(t *testing.T) {
	c := newCluster(t)
	n := c.node()
	cert, id := c.ca.issue(t)
	c.book.set(id, netip.MustParseAddrPort("127.0.0.1:1"))
	s := newStranger(t)
	taken := 0
	for range 3 * acceptBurst {
		_, h, err := greet(t, s.dial(n, cert), hello{Instance: rand.Uint64()})
		if err != nil {
			t.Fatal(err)
		}
		if h.Refused == 0 {
			taken++
		} else if code(h.Refused) != codeBusy {
			t.Fatalf("refused: %s", code(h.Refused))
		}
	}
	if taken > acceptBurst+5 {
		t.Errorf("%d links in a moment", taken)
	}
}

// Packets that are played again, cut, changed or made up change nothing and are counted.
func TestReplayAndGarbage(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	var mu sync.Mutex
	var recorded [][]byte
	tap := func(p []byte, _ netip.AddrPort) {
		mu.Lock()
		recorded = append(recorded, append([]byte(nil), p...))
		mu.Unlock()
	}
	a.link.tap.Store(&tap)
	l, back := a.to(t, b), b.to(t, a)
	eventually(t, "no keepalives", func() bool { return l.Row().RTT > 0 && back.Row().RTT > 0 })
	const messages = 200
	for i := range messages {
		if i%10 == 0 {
			time.Sleep(time.Millisecond)
		}
		_ = l.Notify(kindText, []byte("once"))
		_ = l.SendDatagram(queue.Data, []byte("once"))
	}
	eventually(t, "not all arrives", func() bool { return len(b.notice) == messages && len(b.raw) == messages })
	a.link.tap.Store(nil)
	before := back.Row()
	elsewhere, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	to := b.Addresses()[0]
	mu.Lock()
	packets := recorded
	mu.Unlock()
	for i, p := range packets {
		changed := append([]byte(nil), p...)
		changed[rand.IntN(len(p))] ^= 1 << rand.IntN(8)
		for _, q := range [][]byte{p, p[:rand.IntN(len(p))], changed} {
			_ = a.link.Socket.WriteTo(q, to)
			_, _ = elsewhere.WriteToUDPAddrPort(q, to)
		}
		if i%20 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	junk := make([]byte, 600)
	for range 500 {
		_, _ = rand.NewChaCha8([32]byte{byte(rand.Uint32())}).Read(junk)
		_ = a.link.Socket.WriteTo(junk[:1+rand.IntN(len(junk)-1)], to)
	}
	_ = l.Notify(kindText, []byte("last"))
	eventually(t, "the link is no more", func() bool { return len(b.notice) == messages+1 })
	time.Sleep(50 * time.Millisecond)
	if len(b.notice) != messages+1 || len(b.raw) != messages {
		t.Errorf("%d notices and %d datagrams", len(b.notice), len(b.raw))
	}
	if l.closed() || back.closed() || b.downs.Load() > 0 {
		t.Error("the link went down")
	}
	r := back.Row()
	if r.Duplicates < before.Duplicates+uint64(len(packets))/4 || r.Forged < before.Forged+uint64(len(packets)) {
		t.Errorf("%d packets: %d duplicates and %d forged counted", len(packets), r.Duplicates-before.Duplicates, r.Forged-before.Forged)
	}
}

// Datagrams of a member gone wrong, of a flow that is imported, do no harm.
func TestGarbageInFlow(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	l, back := a.to(t, b), b.to(t, a)
	s := stream.New(config(plane.Video, 2, true))
	k := &sink{}
	s.AddSink(k)
	flow := back.NewFlow()
	i := back.Import(flow, s)
	h := rtp.AppendHeader(nil, &rtp.Header{PayloadType: 96, SSRC: 1})
	for _, body := range [][]byte{nil, {0x80}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0x80, 200, 0, 1, 0, 0, 0, 0}, {0x80, 200, 0xff, 0xff}, h} {
		for layer := range uint64(8) {
			l.push(append([]byte{byte(flow<<layerBits | layer)}, body...), queue.Audio)
		}
	}
	l.push([]byte{0xff}, queue.Audio)
	eventually(t, "not all arrives", func() bool { return back.Stats().In == 48 })
	st := i.Stats()
	if st.Dropped != 48 || k.len() != 0 || back.Stats().Malformed != 41 {
		t.Errorf("%+v, %+v", st, back.Stats())
	}
	for n := range int64(3) {
		publish(s, 0, n, 100, 1)
		s.Flush(1, nil)
	}
	if k.len() != 3 {
		t.Error("the stream is locked")
	}
}

func TestConfig(t *testing.T) {
	good := func() Config {
		return Config{
			Self: "a", Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, TLS: &tls.Config{RootCAs: x509.NewCertPool()},
			Identify: func(*x509.Certificate) (NodeID, error) { return "", nil }, Resolve: func(NodeID) []netip.AddrPort { return nil }, Clock: testClock(),
		}
	}
	for name, f := range map[string]func(*Config){
		"self": func(c *Config) { c.Self = "" }, "tls": func(c *Config) { c.TLS = nil },
		"roots": func(c *Config) { c.TLS.RootCAs = nil }, "clock": func(c *Config) { c.Clock.NTP = nil },
		"address": func(c *Config) { c.Listen = append(c.Listen, netip.MustParseAddrPort("192.0.2.1:1")) },
	} {
		c := good()
		f(&c)
		if _, err := Listen(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	e, err := Listen(good())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, err := e.Link(context.Background(), "b"); err == nil {
		t.Error("a link after the end")
	}
}
