package member

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"cardea/relay/link"
)

// TestStrangerAtAdmissions knocks without knowing anything, and with the cluster's id.
func TestStrangerAtAdmissions(t *testing.T) {
	nodes := cluster(t, 2)
	a := nodes[0]
	to := a.Self().Links[0]
	seen := 0
	plain := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{admissionALPN}, VerifyConnection: func(s tls.ConnectionState) error {
		seen += len(s.PeerCertificates)
		return nil
	}}
	if conn, err := dialFrom(t.Context(), a.cfg.Bind, to, plain); err == nil {
		conn.Close()
		t.Error("the handshake went through")
	}
	if seen != 0 {
		t.Error("it showed its certificate")
	}
	named := plain.Clone()
	named.ServerName = a.ID()
	ask := func(cfg *tls.Config, req *request) (*reply, error) {
		conn, err := dialFrom(t.Context(), a.cfg.Bind, to, cfg)
		if err != nil {
			return nil, err
		}
		return exchange(t.Context(), conn, req)
	}
	csr, err := newRequest(newSigner(t).key)
	if err != nil {
		t.Fatal(err)
	}
	for name, req := range map[string]*request{
		"nothing": {}, "wrong invitation": {Join: &joinRequest{Key: make([]byte, 16), CSR: csr}}, "no request": {Join: &joinRequest{Key: []byte{1}}},
		"gossip keys": {Meet: &meetRequest{}}, "certificate": {Renew: &renewRequest{CSR: csr}}, "invitation": {Invite: &inviteRequest{time.Hour, 1}},
		"rotation": {Rotate: &rotateRequest{}}, "forged invitation": {Carry: &carryRequest{Hash: make([]byte, 32), Signature: make([]byte, 64)}},
		"a session in its name": {Carried: &carriedRequest{}},
	} {
		r, err := ask(named, req)
		if !errors.Is(err, ErrRefused) || r.Text != "" || r.Join != nil || r.Meet != nil || r.Invite != nil {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	foreign := newSigner(t)
	foreignTLS := named.Clone()
	foreignTLS.Certificates = []tls.Certificate{{Certificate: [][]byte{foreign.creds.cert.Raw}, PrivateKey: foreign.key}}
	if r, err := ask(foreignTLS, &request{Meet: &meetRequest{}}); err == nil {
		t.Errorf("with another cluster's certificate: %+v", r)
	}
	if got := a.Stats(); got.Refused != 9 || got.Strange < 2 || got.Admitted != 1 {
		t.Errorf("%+v", got)
	}
	together(t, nodes...)
}

// TestRubbish writes what is not TLS, nor a request, to both TCP ports and the UDP port.
func TestRubbish(t *testing.T) {
	nodes := cluster(t, 2)
	a := nodes[0]
	for _, text := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\xf4\x10" + a.ID(), strings.Repeat("\x00", 10_000), "\x16\x03\x01\xff\xff"} {
		for _, to := range []string{a.Self().Links[0].String(), a.Self().Gossip[0].String()} {
			conn, err := net.DialTimeout("tcp", to, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, text)
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			answer, _ := io.ReadAll(conn)
			if strings.Contains(string(answer), a.Self().Name) || len(answer) > 512 {
				t.Errorf("%q is answered with %q", text, answer)
			}
			conn.Close()
		}
		udp, err := net.Dial("udp", a.Self().Gossip[0].String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(udp, text)
		udp.Close()
	}
	eventually(t, 5*time.Second, func() string {
		if n := a.Stats().Rubbish; n < 5 {
			return fmt.Sprintf("%d counted", n)
		}
		return ""
	})
	together(t, nodes...)
}

// TestStrangerInGossip runs memberlist with the right label and another key.
func TestStrangerInGossip(t *testing.T) {
	nodes := cluster(t, 2)
	a := nodes[0]
	s := &stranger{}
	list := s.gossip(t, a, []byte("0123456789abcdef0123456789abcdef"), "nobody")
	if n, err := list.Join([]string{a.Self().Gossip[0].String()}); err == nil || n > 0 || list.NumMembers() != 1 {
		t.Errorf("%d joined, %d members, %v", n, list.NumMembers(), err)
	}
	together(t, nodes...)
}

// TestMemberGoneWrong has the gossip key, but speaks for nodes that it is not.
func TestMemberGoneWrong(t *testing.T) {
	nodes := cluster(t, 2)
	a, b := nodes[0], nodes[1]
	invented, other := newSigner(t), signer{a: a.member().authority}.another(t)
	for name, tt := range map[string]struct {
		id   link.NodeID
		meta []byte
	}{
		"nobody":               {"nobody", []byte("nonsense")},
		"without a pass":       {idOf(invented.public()), invented.metadata(b.Self(), 1, 1)},
		"at another's address": {idOf(other.public()), other.metadata(b.Self(), 1, 1)},
		"a live node":          {b.Self().ID, other.metadata(b.Self(), 1<<60, 1)},
	} {
		s := &stranger{meta: tt.meta}
		list := s.gossip(t, a, a.member().ring.Keys[0], string(tt.id))
		before := a.Stats().Forged
		if _, err := list.Join([]string{a.Self().Gossip[0].String()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		eventually(t, 5*time.Second, func() string {
			if a.Stats().Forged == before {
				return name + ": not counted"
			}
			return ""
		})
		together(t, nodes...)
		if n, _ := a.Node(b.Self().ID); n.Links[0] != b.Self().Links[0] {
			t.Errorf("%s: b is at %v", name, n.Links)
		}
		if err := list.Shutdown(); err != nil {
			t.Error(err)
		}
	}
	together(t, nodes...)
}

// stranger is a memberlist that is not ours.
type stranger struct{ meta []byte }

func (s *stranger) NodeMeta(int) []byte           { return s.meta }
func (*stranger) NotifyMsg([]byte)                {}
func (*stranger) GetBroadcasts(int, int) [][]byte { return nil }
func (*stranger) LocalState(bool) []byte          { return nil }
func (*stranger) MergeRemoteState([]byte, bool)   {}

func (s *stranger) gossip(t *testing.T, a *testNode, key []byte, name string) *memberlist.Memberlist {
	t.Helper()
	cfg := memberlist.DefaultLANConfig()
	cfg.Name, cfg.Label, cfg.SecretKey, cfg.Delegate = name, a.ID(), key, s
	cfg.BindAddr, cfg.BindPort, cfg.AdvertisePort = host().String(), 7946, 7946
	cfg.Logger = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	list, err := memberlist.Create(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = list.Shutdown() })
	return list
}

// TestFlood opens more connections than are served.
func TestFlood(t *testing.T) {
	a := start(t, config(t))
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for _, to := range []string{a.Self().Links[0].String(), a.Self().Gossip[0].String()} {
		for range 3 * sourceAtOnce {
			conn, err := net.DialTimeout("tcp", to, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn)
		}
	}
	eventually(t, 5*time.Second, func() string {
		if a.Stats().Limited < 4*sourceAtOnce {
			return "not limited"
		}
		return ""
	})
	together(t, a, join(t, a.invitation(Invitation{}))) // from another address
}

func TestLimiter(t *testing.T) {
	now := time.Unix(1000, 0)
	from := func(s string) net.Addr { return net.TCPAddrFromAddrPort(mustAddrPort(s)) }
	l := newLimiter(isLoopback)
	for i := range sourceBurst {
		release, ok := l.take(from("192.0.2.1:1"), now)
		if !ok {
			t.Fatalf("connection %d is refused", i)
		}
		release()
	}
	if _, ok := l.take(from("192.0.2.1:2"), now); ok {
		t.Error("the rate has no bound")
	}
	if _, ok := l.take(from("192.0.2.1:2"), now.Add(time.Second)); !ok {
		t.Error("refused for good")
	}
	if _, ok := l.take(from("[2001:db8::1]:1"), now); !ok {
		t.Error("another source is refused")
	}
	held := 0
	for i := range 200 {
		if _, ok := l.take(from(mustIP(i)+":1"), now); ok {
			held++
		}
	}
	if held != strangersAtOnce-2 {
		t.Errorf("%d strangers at once", held)
	}
	if _, ok := l.take(from("127.0.0.1:1"), now); !ok {
		t.Error("strangers shut a member out")
	}
	if _, ok := l.take(&net.UnixAddr{}, now); ok {
		t.Error("no address is an address")
	}
	for i := range maxSources + 10 {
		l.take(from(mustIP(i)+":1"), now)
	}
	if len(l.sources) > maxSources {
		t.Errorf("%d sources", len(l.sources))
	}
	l.clean(now.Add(time.Hour))
	if len(l.sources) > strangersAtOnce+2 {
		t.Errorf("%d sources after an hour", len(l.sources))
	}
}

// TestMembersTLS uses the links' configuration at both ends.
func TestMembersTLS(t *testing.T) {
	nodes := cluster(t, 2)
	shake := func(client, server *tls.Config) (link.NodeID, error) {
		c, s := net.Pipe()
		defer c.Close()
		defer s.Close()
		result := make(chan error, 1)
		go func() {
			err := tls.Server(s, server).HandshakeContext(t.Context())
			s.Close()
			result <- err
		}()
		conn := tls.Client(c, client)
		err := conn.HandshakeContext(t.Context())
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			if errors.Is(err, io.EOF) {
				err = nil
			}
		}
		if e := <-result; e != nil {
			return "", e
		}
		if err != nil {
			return "", err
		}
		return nodes[0].Identify(conn.ConnectionState().PeerCertificates[0])
	}
	if id, err := shake(nodes[0].TLS(), nodes[1].TLS()); err != nil || id != nodes[1].Self().ID {
		t.Errorf("members: %s %v", id, err)
	}
	alone := start(t, Config{Alone: true})
	if _, err := shake(alone.TLS(), nodes[1].TLS()); err == nil {
		t.Error("a stranger as client")
	}
	if _, err := shake(nodes[0].TLS(), alone.TLS()); err == nil {
		t.Error("a stranger as server")
	}
	if _, err := nodes[0].Identify(&x509.Certificate{}); !errors.Is(err, ErrStranger) {
		t.Errorf("an empty certificate: %v", err)
	}
}

// TestGossipLog wants what strangers can provoke to be no more than a debugging matter.
func TestGossipLog(t *testing.T) {
	tests := []struct {
		line, text string
		level      slog.Level
	}{
		{"[ERR] memberlist: Decrypt packet failed: no key from=192.0.2.1:4", "Decrypt packet failed: no key from=192.0.2.1:4", slog.LevelDebug},
		{"[ERR] memberlist: Error accepting TCP connection: too many open files", "Error accepting TCP connection: too many open files", slog.LevelWarn},
		{"[WARN] memberlist: Binding to something odd", "Binding to something odd", slog.LevelInfo},
		{"[INFO] memberlist: Suspect x has failed, no acks received", "Suspect x has failed, no acks received", slog.LevelDebug},
		{"something else", "something else", slog.LevelDebug},
	}
	for _, tt := range tests {
		if level, text := gossipLevel(tt.line); level != tt.level || text != tt.text {
			t.Errorf("%q: %v %q", tt.line, level, text)
		}
	}
	var out strings.Builder
	log := slog.NewLogLogger(newGossipLog(slog.New(slog.NewTextHandler(&out, nil)), new(atomic.Uint64)), slog.LevelInfo)
	for range 100 {
		log.Printf("[ERR] memberlist: trouble\x1b[0m")
		log.Printf("[DEBUG] memberlist: nothing")
	}
	if n := strings.Count(out.String(), "level=WARN msg=gossip text=trouble[0m"); n < 1 || n > 6 || strings.Contains(out.String(), "nothing") {
		t.Errorf("%d lines: %s", n, out.String())
	}
}
