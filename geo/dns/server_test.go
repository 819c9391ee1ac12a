package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	wire "github.com/miekg/dns"
)

// serve has a server answer on a port of a loopback address until the test ends, over UDP and TCP. It listens everywhere.
func serve(t *testing.T, s *Server) (port string) {
	t.Helper()
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	conn, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		_ = ln.Close()
		t.Skipf("port %s is taken over UDP: %v", port, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := s.ServeUDP(ctx, conn.(*net.UDPConn)); err != nil { //nolint:forcetypeassert // it is
			t.Errorf("UDP: %v", err)
		}
	})
	ended.Go(func() {
		if err := s.ServeTCP(ctx, ln); err != nil {
			t.Errorf("TCP: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
	return port
}

func TestServe(t *testing.T) {
	s := newServer(t, &mesh{}, nil)
	port := serve(t, s)
	// Answers come from the address that was asked, also where the host has several.
	for _, host := range []string{"127.0.0.1", "127.0.0.3"} {
		for _, network := range []string{"udp", "tcp"} {
			c := &wire.Client{Net: network, Timeout: 5 * time.Second}
			r, _, err := c.Exchange(withSubnet(question("@", wire.TypeA), "192.0.2.0/24"), net.JoinHostPort(host, port))
			if err != nil || len(r.Answer) != 2 || subnetOf(r.IsEdns0()).SourceScope != 24 {
				t.Errorf("%s at %s: %v %v", network, host, r, err)
			}
		}
	}
	if got := s.Stats(); got.UDP != 2 || got.TCP != 2 || got.NoError != 4 {
		t.Errorf("counted %+v", got)
	}
}

// Several questions may be asked over one connection; what is no question ends it.
func TestConnection(t *testing.T) {
	s := newServer(t, &mesh{}, nil)
	port := serve(t, s)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		return conn
	}
	conn := &wire.Conn{Conn: dial()}
	for range 3 {
		if err := conn.WriteMsg(question("@", wire.TypeA)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if r, err := conn.ReadMsg(); err != nil || len(r.Answer) != 1 {
			t.Errorf("%v %v", r, err)
		}
	}
	for name, b := range map[string][]byte{"too long": {0xff, 0xff}, "an answer": append([]byte{0, 12, 0, 0, 0x80}, make([]byte, 9)...)} {
		c := dial()
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF { //nolint:errorlint // exactly that
			t.Errorf("%s: %d %v", name, n, err)
		}
	}
}

// One network cannot take all connections, and what it gives back it can have again.
func TestConnections(t *testing.T) {
	s := newServer(t, &mesh{}, nil)
	port := serve(t, s)
	refused := func(conn net.Conn) bool {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		packet, err := question("@", wire.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)) //nolint:gosec // short
		_, err = io.ReadFull(conn, make([]byte, 2))
		return err != nil
	}
	var open []net.Conn
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
		return conn
	}
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for i := range maxConnsNetwork {
		if refused(dial("127.0.0.1")) {
			t.Fatalf("connection %d is refused", i)
		}
	}
	if !refused(dial("127.0.0.2")) {
		t.Error("one too many is served")
	}
	if refused(dial("127.0.1.1")) {
		t.Error("another network is refused")
	}
	_ = open[0].Close()
	for deadline := time.Now().Add(10 * time.Second); refused(dial("127.0.0.1")); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a place is never free again")
		}
	}
	if s.Stats().RefusedConnections == 0 {
		t.Error("not counted")
	}
}

// A listener or socket that somebody closes is an error: the node must not run on without.
func TestClosed(t *testing.T) {
	s := newServer(t, &mesh{}, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = ln.Close(), conn.Close()
	if s.ServeTCP(t.Context(), ln) == nil || s.ServeUDP(t.Context(), conn) == nil {
		t.Error("no error")
	}
}

// TestDig asks with what operators ask with, Debian's dig.
func TestDig(t *testing.T) {
	if _, err := exec.LookPath("dig"); err != nil {
		t.Skip("dig is not installed (Debian's bind9-dnsutils)")
	}
	port := serve(t, newServer(t, &mesh{}, func(c *Config) {
		for i := range 30 {
			c.Records = append(c.Records, fmt.Sprintf("long TXT %02d%s", i, strings.Repeat("x", 60)))
		}
	}))
	dig := func(args ...string) string {
		t.Helper()
		args = append([]string{"@127.0.0.1", "-p", port, "+tries=2", "+time=5", "+norecurse"}, args...)
		out, err := exec.CommandContext(t.Context(), "dig", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("dig %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	short := func(args ...string) []string {
		lines := strings.Fields(dig(append([]string{"+short"}, args...)...))
		slices.Sort(lines)
		return lines
	}
	for _, tt := range []struct{ subnet, want, says string }{
		{"+subnet=192.0.2.0/24", "198.51.100.1 198.51.100.2", "CLIENT-SUBNET: 192.0.2.0/24/24"},
		{"+subnet=203.0.113.0/24", "203.0.113.1", "CLIENT-SUBNET: 203.0.113.0/24/16"},
		{"+subnet=2001:db8:e::/48", "198.51.100.1 198.51.100.2", "CLIENT-SUBNET: 2001:db8:e::/48/24"},
		{"+subnet=0", "203.0.113.1", "CLIENT-SUBNET: 0.0.0.0/0/0"},
	} {
		if d := cmp.Diff(strings.Fields(tt.want), short(tt.subnet, "edge.example.org")); d != "" {
			t.Errorf("%s: %s", tt.subnet, d)
		}
		out := dig(tt.subnet, "edge.example.org")
		if !strings.Contains(out, tt.says) || !strings.Contains(out, "flags: qr aa;") || strings.Contains(out, "WARNING") || strings.Contains(out, "malformed") {
			t.Errorf("%s: %s", tt.subnet, out)
		}
	}
	for _, tt := range []struct{ args, says string }{
		{"edge.example.org HTTPS", `1 iad.edge.example.org. port=9643 ipv4hint=203.0.113.1 ipv6hint=2001:db8:3::1`},
		{"_janus._tcp.edge.example.org SRV", "1 1 8188 iad.edge.example.org."},
		{"edge.example.org ANY", `HINFO	"RFC8482" ""`},
		{"nobody.edge.example.org A", "status: NXDOMAIN"},
		{"example.org NS", "status: REFUSED"},
		{"+tcp edge.example.org A", "(TCP)"},
		{"edge.example.org A", "(good)"},              // the cookie
		{"eDGe.exAMple.ORG SOA", "eDGe.exAMple.ORG."}, // what was asked for, to the letter
		{"edge.example.org TYPE65280", "ANSWER: 0, AUTHORITY: 1"},
		{"+bufsize=512 long.edge.example.org TXT", "Truncated, retrying in TCP mode"},
		{"+dnssec edge.example.org A", "flags: do"},
		{"long.edge.example.org TXT", "Truncated, retrying in TCP mode"},
		{"+noedns edge.example.org A", "ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0"},
		{"+edns=1 +noednsneg edge.example.org A", "status: BADVERS"},
		{"+opcode=update edge.example.org", "status: NOTIMP"},
		{"edge.example.org AXFR", "Transfer failed"},
	} {
		if out := dig(strings.Fields(tt.args)...); !strings.Contains(out, tt.says) {
			t.Errorf("dig %s: no %q in\n%s", tt.args, tt.says, out)
		}
	}
}
