package rtc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v5/packetio"

	"cardea/relay/ice"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
)

const (
	// maxSources bounds the SSRCs that one transport opens packets of.
	maxSources = 128
	// maxEarly bounds the packets kept that came before the keys were ready.
	maxEarly = 256
	// handshakeBacklog bounds the DTLS records that wait to be read.
	handshakeBacklog = 64
)

// Handler is what a transport is for. The loop calls it, one call at a time; slices are valid during the call.
type Handler interface {
	// Connected says that packets may be sent from now on.
	Connected(now int64)
	// RTP takes a decrypted packet, its padding still on, and when it came.
	RTP(h *rtp.Header, payload []byte, arrival int64)
	// Replayed says that an RTP packet came which had come before.
	Replayed(arrival int64)
	// RTCP takes a decrypted compound packet.
	RTCP(packet []byte, arrival int64)
	// Tick is called once connected, when the time it returned last has come.
	Tick(now int64) (next int64)
}

// Remote is the server's end, from its session description.
type Remote struct {
	Ufrag, Pwd   string
	Fingerprints []string // SHA-256, as in SDP
	Candidates   []netip.AddrPort
	Lite         bool // the server is an ICE lite agent
	Active       bool // the server is the DTLS client
}

// Transport is one client's connection. Its methods are safe for concurrent use unless they say otherwise.
type Transport struct {
	loop     *Loop
	socket   *socket
	identity *Identity
	handler  Handler
	path     atomic.Pointer[address] // the selected one
	inbox    *packetio.Buffer        // DTLS records
	selected chan struct{}           // closed with the selection

	mu      sync.Mutex // guards, and is held while DTLS writes
	closer  func()     // ends DTLS
	profile srtp.Profile
	gone    bool // the socket is closed

	// Owned by the loop.
	number    int32
	removed   bool
	due       int64
	agent     *agent
	in, out   *srtp.Keys
	receivers []receiver
	early     [][]byte
	arrivals  []int64 // of early
	header    rtp.Header
	rtcpIn    []byte
	rtcpOut   []byte
	handle    int64 // when the handler's Tick is due
	datagram  func(b []byte, from netip.AddrPort, at int64)
}

type receiver struct {
	ssrc uint32
	srtp *srtp.Receiver
}

func newTransport(l *Loop, s *socket, identity *Identity, h Handler) *Transport {
	t := &Transport{loop: l, socket: s, identity: identity, handler: h, inbox: packetio.NewBuffer(), selected: make(chan struct{}), number: -1}
	t.inbox.SetLimitCount(handshakeBacklog)
	t.datagram = t.receive // made once, so that reading allocates nothing
	t.agent = newAgent(func(b []byte, to netip.AddrPort) { s.send(b, newAddress(to)) })
	return t
}

// Local returns the address of the transport's only candidate.
func (t *Transport) Local() netip.AddrPort { return t.socket.local }

// Credentials returns the transport's ICE credentials.
func (t *Transport) Credentials() (ufrag, pwd string) { return t.agent.ufrag, t.agent.pwd }

// Connect runs ICE and DTLS with the server and returns when media can flow. controlling is our role unless the server is lite.
func (t *Transport) Connect(ctx context.Context, r Remote, controlling bool) error {
	err := t.loop.Do(ctx, func() {
		now := Now()
		t.agent.start(r.Ufrag, r.Pwd, controlling || r.Lite, now)
		for _, c := range r.Candidates {
			t.agent.addRemote(c, now)
		}
		t.due = now
	})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	select {
	case <-t.selected:
	case <-ctx.Done():
		return fmt.Errorf("ICE has not connected: %w", ctx.Err())
	}
	conn, keys, err := handshake(ctx, wire{t}, t.identity, r)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.closer = func() { _ = conn.Close() } // tells the server; an error means that it went first
	t.profile = keys.in.Profile()
	t.mu.Unlock()
	if err := t.loop.Do(ctx, func() { t.connected(keys) }); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// Profile names the SRTP protection profile, once connected.
func (t *Transport) Profile() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.profile.String()
}

// AddCandidate takes a candidate that the server trickled.
func (t *Transport) AddCandidate(c netip.AddrPort) {
	t.loop.do(func() {
		now := Now()
		t.agent.addRemote(c, now)
		t.due = now
	})
}

// Close ends the connection and frees the socket. It does not wait for the loop.
func (t *Transport) Close() {
	t.mu.Lock()
	closer := t.closer
	t.closer = nil
	t.mu.Unlock()
	if closer != nil {
		closer()
	}
	t.loop.abandon(t)
}

// remove takes the transport off the loop.
func (t *Transport) remove() {
	if t.removed {
		return
	}
	t.removed = true
	if t.number >= 0 {
		t.loop.transports[t.number] = nil
		t.loop.free = append(t.loop.free, t.number)
	}
	_ = t.inbox.Close() // always nil
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = true
	_ = t.socket.close() // nothing waits to be written
}

// connected installs the keys, and opens what came before them.
func (t *Transport) connected(keys keys) {
	if t.removed {
		return
	}
	t.in, t.out = keys.in, keys.out
	now := Now()
	t.handle, t.due = now, now
	t.handler.Connected(now)
	for i, b := range t.early {
		t.media(b, t.arrivals[i])
	}
	t.early, t.arrivals = nil, nil
}

func (t *Transport) tick(now int64) {
	t.agent.tick(now)
	t.due = t.agent.next
	if t.out == nil {
		t.due = min(t.due, now+int64(checkInterval))
		return
	}
	if now >= t.handle {
		t.handle = t.handler.Tick(now)
	}
	t.due = min(t.due, t.handle)
}

// receive takes a datagram from the socket (RFC 7983 section 7). at is its time of arrival by the wall clock.
func (t *Transport) receive(b []byte, from netip.AddrPort, at int64) {
	if len(b) == 0 {
		return
	}
	arrival := at - t.loop.offset
	if at == 0 {
		arrival = Now()
	}
	switch first := b[0]; {
	case first < 4 && ice.IsMessage(b):
		if t.agent.handle(b, from, arrival) {
			t.path.Store(newAddress(from))
			close(t.selected)
		}
		t.due = min(t.due, t.agent.next)
	case first >= 20 && first < 64:
		_, _ = t.inbox.Write(b, nil) // full or closed: lost, as on a network
	case first >= 128 && first < 192:
		t.media(b, arrival)
	}
}

// media opens an SRTP or SRTCP packet.
func (t *Transport) media(b []byte, arrival int64) {
	if t.in == nil {
		if len(t.early) < maxEarly {
			t.early = append(t.early, append([]byte(nil), b...))
			t.arrivals = append(t.arrivals, arrival)
		}
		return
	}
	if rtcp.IsRTCP(b) {
		var err error
		if t.rtcpIn, err = t.in.OpenRTCP(t.rtcpIn[:0], b); err == nil {
			t.handler.RTCP(t.rtcpIn, arrival)
		}
		return
	}
	h := &t.header
	if rtp.Parse(b, h) != nil {
		return
	}
	r := t.receiver(h.SSRC)
	if r == nil {
		return
	}
	n, _, err := r.Open(b[h.Len:], b, h.Len)
	if err != nil {
		if errors.Is(err, srtp.ErrReplay) {
			t.handler.Replayed(arrival)
		}
		return
	}
	t.handler.RTP(h, b[h.Len:h.Len+n], arrival)
}

func (t *Transport) receiver(ssrc uint32) *srtp.Receiver {
	for i := range t.receivers {
		if t.receivers[i].ssrc == ssrc {
			return t.receivers[i].srtp
		}
	}
	if len(t.receivers) == maxSources {
		return nil
	}
	r := t.in.NewReceiver(ssrc)
	t.receivers = append(t.receivers, receiver{ssrc, r})
	return r
}

// NewSender returns the encryption of an SSRC. For the handler, once connected.
func (t *Transport) NewSender(ssrc uint32) *srtp.Sender { return t.out.NewSender(ssrc) }

// SendRTP encrypts a packet in place and sends it; packet has room for the tag behind it. For the handler, once connected.
func (t *Transport) SendRTP(s *srtp.Sender, packet []byte, headerLen int, index uint64) bool {
	return t.socket.send(s.Protect(packet, headerLen, index), t.path.Load())
}

// SendRTCP sends a compound packet. For the handler, once connected.
func (t *Transport) SendRTCP(packet []byte) {
	if t.rtcpOut = t.out.ProtectRTCP(t.rtcpOut[:0], packet); t.rtcpOut != nil {
		t.socket.send(t.rtcpOut, t.path.Load())
	}
}

// wire is the transport as DTLS wants it.
type wire struct{ t *Transport }

func (w wire) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, err := w.t.inbox.Read(b, nil)
	return n, wireAddr{}, err
}

func (w wire) WriteTo(b []byte, _ net.Addr) (int, error) {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	if w.t.gone {
		return 0, net.ErrClosed
	}
	w.t.socket.send(b, w.t.path.Load())
	return len(b), nil
}

func (w wire) Close() error                      { return w.t.inbox.Close() }
func (w wire) LocalAddr() net.Addr               { return wireAddr{} }
func (w wire) SetDeadline(d time.Time) error     { return w.t.inbox.SetReadDeadline(d) }
func (w wire) SetReadDeadline(d time.Time) error { return w.t.inbox.SetReadDeadline(d) }
func (w wire) SetWriteDeadline(time.Time) error  { return nil } // writes never wait

// wireAddr stands for the path that ICE selected.
type wireAddr struct{}

func (wireAddr) Network() string { return "ice" }
func (wireAddr) String() string  { return "ice" }

var errFingerprint = errors.New("the server's certificate does not match its session description")

// verify compares a certificate with the announced fingerprints.
func verify(raw [][]byte, announced []string) error {
	if len(raw) == 0 {
		return errFingerprint
	}
	own := fingerprint(raw[0])
	for _, f := range announced {
		if strings.EqualFold(f, own) {
			return nil
		}
	}
	return errFingerprint
}

// fingerprint formats the SHA-256 of a certificate as SDP does (RFC 8122 section 5).
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	digits := strings.ToUpper(hex.EncodeToString(sum[:]))
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}
