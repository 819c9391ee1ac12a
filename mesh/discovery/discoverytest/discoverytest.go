// Package discoverytest starts the servers that discovery asks, for tests.
package discoverytest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Header returns the beginning of a record.
func Header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 1}
}

// DNS serves records, by lower-case name, until the test ends, and returns a resolver that asks for them.
func DNS(t *testing.T, zone map[string][]dns.RR) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		records, known := zone[strings.ToLower(q.Question[0].Name)]
		if !known {
			m.Rcode = dns.RcodeNameError
		}
		for _, r := range records {
			if r.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, r)
			}
		}
		_ = w.WriteMsg(m) // who asks asks again
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ActivateAndServe() // ends with the socket
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// RedisServer is a redis-server on a socket of its own, which keeps nothing.
type RedisServer struct {
	URL string // of its socket

	program, dir, socket string
	arguments            []string
	cmd                  *exec.Cmd // nil while it does not run
}

// Redis starts redis-server until the test ends, and returns its URL. Without the program the test is skipped.
func Redis(t *testing.T) string {
	t.Helper()
	return StartRedis(t).URL
}

// StartRedis is Redis for tests that kill it and bring it back, or that need it with arguments of its own.
func StartRedis(t *testing.T, arguments ...string) *RedisServer {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "redis") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &RedisServer{program: program, dir: dir, socket: filepath.Join(dir, "s"), arguments: arguments}
	r.URL = "unix://" + r.socket
	t.Cleanup(r.Kill)
	r.Start(t)
	return r
}

// Start starts the server, empty, and waits until it answers.
func (r *RedisServer) Start(t *testing.T) {
	t.Helper()
	arguments := append([]string{"--port", "0", "--unixsocket", r.socket, "--save", "", "--appendonly", "no", "--dir", r.dir}, r.arguments...)
	r.cmd = exec.Command(r.program, arguments...)
	if err := r.cmd.Start(); err != nil {
		r.cmd = nil
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(20 * time.Millisecond) {
		conn, err := net.Dial("unix", r.socket)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not answer: %v", err)
		}
	}
}

// Kill ends the server like a crash.
func (r *RedisServer) Kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait() // it was killed
	r.cmd = nil
}
