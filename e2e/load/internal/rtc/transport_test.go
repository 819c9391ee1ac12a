package rtc

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"cardea/relay/rtcp"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
)

// peer is a handler that sends a packet each tick and takes note of what it gets.
type peer struct {
	t      *Transport
	sender *srtp.Sender
	sent   uint64

	mu       sync.Mutex
	payloads [][]byte
	arrivals []int64
	rtcps    int
	replays  int
}

func (p *peer) Connected(int64) { p.sender = p.t.NewSender(42) }

func (p *peer) Tick(now int64) int64 {
	h := rtp.Header{PayloadType: 96, SSRC: 42, SequenceNumber: uint16(p.sent)}
	b := rtp.AppendHeader(make([]byte, 0, 200), &h)
	n := len(b)
	b = append(b, "packet"...)
	b = append(b, byte(p.sent))
	p.t.SendRTP(p.sender, b, n, p.sent)
	if p.sent == 3 { // a copy
		b = append(rtp.AppendHeader(make([]byte, 0, 200), &h), "packet\x03"...)
		p.t.SendRTP(p.sender, b, n, p.sent)
	}
	p.sent++
	p.t.SendRTCP(rtcp.AppendReceiverReport(nil, 1, nil))
	return now + int64(5*time.Millisecond)
}

func (p *peer) RTP(h *rtp.Header, payload []byte, arrival int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.payloads = append(p.payloads, bytes.Clone(payload))
	p.arrivals = append(p.arrivals, Now()-arrival)
}

func (p *peer) Replayed(int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replays++
}

func (p *peer) RTCP([]byte, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rtcps++
}

// start runs a loop until the test ends.
func start(t *testing.T) *Loop {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	l, err := NewLoop()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

// remote returns a transport as the other one's server.
func (t *Transport) remote(active bool) Remote {
	ufrag, pwd := t.Credentials()
	return Remote{Ufrag: ufrag, Pwd: pwd, Fingerprints: []string{t.identity.Fingerprint}, Candidates: []netip.AddrPort{t.Local()}, Active: active}
}

// TestTransport connects two transports with each other and lets media flow.
func TestTransport(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		t.Run(address, func(t *testing.T) {
			l := start(t)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var peers [2]*peer
			for i := range peers {
				id, err := NewIdentity()
				if err != nil {
					t.Fatal(err)
				}
				p := &peer{}
				if p.t, err = l.Open(ctx, netip.MustParseAddr(address), id, p); err != nil {
					t.Skipf("no socket at %s: %v", address, err)
				}
				peers[i] = p
			}
			a, b := peers[0], peers[1]
			errs := make(chan error, 2)
			go func() { errs <- a.t.Connect(ctx, b.t.remote(true), true) }()
			go func() { errs <- b.t.Connect(ctx, a.t.remote(false), false) }()
			if err := errors.Join(<-errs, <-errs); err != nil {
				t.Fatal(err)
			}
			for _, p := range peers {
				for enough := false; !enough; {
					select {
					case <-ctx.Done():
						t.Fatal("no media")
					case <-time.After(5 * time.Millisecond):
					}
					p.mu.Lock()
					enough = len(p.payloads) >= 10 && p.rtcps >= 10
					p.mu.Unlock()
				}
			}
			a.t.Close()
			b.t.Close()
			a.t.Close() // twice does no harm
			for _, p := range peers {
				p.mu.Lock()
				for i, b := range p.payloads[:10] {
					if string(b) != "packet"+string(rune(i)) {
						t.Errorf("packet %d: %q", i, b)
					}
					if p.arrivals[i] < 0 || p.arrivals[i] > int64(10*time.Second) {
						t.Errorf("packet %d came %v ago", i, time.Duration(p.arrivals[i]))
					}
				}
				if p.replays != 1 {
					t.Errorf("%d replays, want 1", p.replays)
				}
				p.mu.Unlock()
			}
		})
	}
}

// TestFingerprint must not connect with somebody else's certificate.
func TestFingerprint(t *testing.T) {
	l := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Open(ctx, netip.MustParseAddr("127.0.0.1"), id, &peer{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Open(ctx, netip.MustParseAddr("127.0.0.1"), id, &peer{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	wrong := b.remote(true)
	wrong.Fingerprints = []string{"AB:CD"}
	failed := make(chan error, 1)
	short, stop := context.WithCancel(ctx)
	defer stop()
	go func() { failed <- b.Connect(short, a.remote(false), false) }()
	if err := a.Connect(ctx, wrong, true); !errors.Is(err, errFingerprint) {
		t.Errorf("connected with a wrong fingerprint: %v", err)
	}
	stop()
	if <-failed == nil {
		t.Error("the other side connected")
	}
}

// TestUnreachable wants deadlines kept and closed loops to refuse.
func TestUnreachable(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	l, err := NewLoop()
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(run) }()
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Open(t.Context(), netip.MustParseAddr("127.0.0.1"), id, &peer{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r := Remote{Ufrag: "u", Pwd: "p", Candidates: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}}
	if err := a.Connect(ctx, r, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("connected to nobody: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	a.Close()
	if _, err := l.Open(t.Context(), netip.MustParseAddr("127.0.0.1"), id, &peer{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("opened on a loop that has ended: %v", err)
	}
}
