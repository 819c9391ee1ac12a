package peer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"cardea/relay/data"
	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/udp"
)

// resting is a peer with a client that speaks DTLS.
type resting struct {
	*stand
	peer   *Peer
	client *dtls.Conn
	wire   *clientWire
}

// clientWire is the client's socket. It notes the numbers of the records that it is sent.
type clientWire struct {
	*net.UDPConn
	mu      sync.Mutex
	numbers []uint64 // epoch and sequence number
}

func (w *clientWire) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := w.UDPConn.ReadFrom(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	for rest := b[:max(n, 0)]; len(rest) >= recordHeader; {
		w.numbers = append(w.numbers, binary.BigEndian.Uint64(rest[3:]))
		rest = rest[recordHeader+int(binary.BigEndian.Uint16(rest[11:])):]
	}
	return n, from, err
}

// Close leaves the socket to the stand.
func (w *clientWire) Close() error { return w.SetReadDeadline(time.Unix(1, 0)) }

// newResting connects a client in the given role of the node's.
func newResting(t *testing.T, setup plane.Setup) *resting {
	t.Helper()
	s := newStand(t)
	var err error
	if s.env.Certificate, s.env.Fingerprint, err = NewCertificate(); err != nil {
		t.Fatal(err)
	}
	own, _, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(own.Certificate[0])
	p := New("a", plane.PeerOptions{}, s.env)
	t.Cleanup(p.Close)
	p.dest.Store(&ice.Path{Remote: s.client.LocalAddr().(*net.UDPAddr).AddrPort()})
	r := &resting{stand: s, peer: p, wire: &clientWire{UDPConn: s.client}}

	var reading sync.WaitGroup
	reading.Go(func() {
		var in [16]udp.Datagram
		for {
			n, err := s.env.Sockets[0].ReadBatch(in[:])
			if err != nil {
				return
			}
			for _, d := range in[:n] {
				p.HandleDTLS(d.Data)
			}
		}
	})
	t.Cleanup(func() { _ = s.env.Sockets[0].Close(); reading.Wait() })

	r.negotiate(t, 1, setup, sum[:])
	node := net.UDPAddrFromAddrPort(s.env.Sockets[0].LocalAddr())
	if setup == plane.Passive {
		r.client, err = dtls.ClientWithOptions(r.wire, node, dtls.WithCertificates(own), dtls.WithSRTPProtectionProfiles(profiles...), dtls.WithInsecureSkipVerify(true))
	} else {
		r.client, err = dtls.ServerWithOptions(r.wire, node, dtls.WithCertificates(own), dtls.WithSRTPProtectionProfiles(profiles...),
			dtls.WithInsecureSkipVerify(true), dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(true))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.client.Handshake(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.client.Close() })
	r.until(t, "connected", func() bool { return len(s.told(plane.EventUp)) == 1 && p.awaits() })
	return r
}

// negotiate applies a session of these lines.
func (r *resting) negotiate(t *testing.T, version uint64, setup plane.Setup, fingerprint []byte, lines ...plane.Line) {
	t.Helper()
	err := r.peer.Negotiate(plane.Session{
		Version: version, Setup: setup, Lines: lines, Remote: plane.Transport{
			Ufrag: "them", Pwd: "secret", Fingerprints: []plane.Fingerprint{{Algorithm: "sha-256", Value: formatFingerprint(fingerprint)}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// awaits tells whether the connection waits for something to do.
func (p *Peer) awaits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rested == nil && p.wakeDTLS != nil
}

func (p *Peer) away() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rested != nil
}

// idle makes the time without records be over.
func (r *resting) idle() {
	r.peer.mu.Lock()
	defer r.peer.mu.Unlock()
	if r.peer.rested == nil && r.peer.wakeDTLS != nil {
		r.peer.wakeDTLS()
	}
}

// putAway waits until the connection is put away.
func (r *resting) putAway(t *testing.T) {
	t.Helper()
	r.peer.heard.Store(true)
	r.until(t, "put away", func() bool { r.idle(); return r.peer.away() })
}

func (r *resting) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s", what)
		}
	}
}

// unique fails if the node used a number twice.
func (r *resting) unique(t *testing.T) {
	t.Helper()
	r.wire.mu.Lock()
	defer r.wire.mu.Unlock()
	seen := map[uint64]bool{}
	for _, n := range r.wire.numbers {
		if seen[n] {
			t.Errorf("two records are number %d of epoch %d", n&(1<<48-1), n>>48)
		}
		seen[n] = true
	}
}

// TestRest puts connections away and has them come back: for the client's alert, for the end of the peer, for a data line.
func TestRest(t *testing.T) {
	for name, setup := range map[string]plane.Setup{"server": plane.Passive, "client": plane.Active} {
		t.Run(name, func(t *testing.T) {
			t.Run("the client goes", func(t *testing.T) {
				r := newResting(t, setup)
				for range 3 {
					r.putAway(t)
					if _, err := r.client.Write([]byte("nothing")); err != nil {
						t.Fatal(err)
					}
					r.until(t, "back", r.peer.awaits)
				}
				r.putAway(t)
				_ = r.client.Close()
				r.until(t, "down", func() bool { return len(r.told(plane.EventDown)) == 1 })
				if reason := r.told(plane.EventDown)[0].Reason; reason != "DTLS alert" {
					t.Errorf("down for %q", reason)
				}
			})
			t.Run("the peer ends", func(t *testing.T) {
				r := newResting(t, setup)
				for range 3 {
					r.putAway(t)
					if _, err := r.client.Write([]byte("nothing")); err != nil {
						t.Fatal(err)
					}
					r.until(t, "back", r.peer.awaits)
				}
				r.putAway(t)
				r.peer.Close()
				_ = r.client.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := r.client.Read(make([]byte, 16)); !errors.Is(err, io.EOF) {
					t.Errorf("the client read %v, no end", err)
				}
				r.unique(t)
			})
		})
	}
}

// TestRestDataLine wants a connection that was put away to be there for data channels, and to stay.
func TestRestDataLine(t *testing.T) {
	r := newResting(t, plane.Passive)
	r.putAway(t)
	r.env.restAfter = 20 * time.Millisecond
	r.negotiate(t, 2, plane.Passive, nil, plane.Line{Mid: "d", Kind: plane.Data, Direction: plane.SendRecv, MaxMessage: 1 << 16})
	r.until(t, "an association", func() bool { return r.peer.channels.association.Load() != nil })
	client := data.New(data.Config{Conn: r.client, Client: true})
	t.Cleanup(client.Close)
	for i := range uint64(2) {
		if err := client.Send(data.Message{Label: "chat", Text: true, Data: []byte("hello")}); err != nil {
			t.Fatal(err)
		}
		r.until(t, "heard", func() bool { return r.env.Metrics.MessagesIn.Load() == i+1 })
		r.idle()
		time.Sleep(10 * r.env.restAfter)
		if r.peer.away() {
			t.Error("put away with a data line")
		}
	}
}

// TestRestNotYet wants a connection to stay that may have to repeat its handshake, or has a record to look at.
func TestRestNotYet(t *testing.T) {
	r := newResting(t, plane.Passive)
	r.peer.mu.Lock()
	w := r.peer.wire
	r.peer.mu.Unlock()
	r.until(t, "idle", w.idle)
	if r.peer.rest(nil, w, false) {
		t.Error("put away before the client was heard")
	}
	r.peer.heard.Store(true)
	w.taken.Add(1)
	if r.peer.rest(nil, w, false) {
		t.Error("put away with a record to look at")
	}
}
