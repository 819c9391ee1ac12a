package data

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
)

// poll waits until ok says so.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for ", what)
		}
	}
}

// secured returns two ends of a DTLS connection over loopback.
func secured(t *testing.T) (client, server *dtls.Conn) {
	t.Helper()
	certificate, err := selfsign.GenerateSelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	var socket [2]*net.UDPConn
	for i := range socket {
		if socket[i], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = socket[i].Close() })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	server, err = dtls.ServerWithOptions(socket[1], socket[0].LocalAddr(), dtls.WithCertificates(certificate))
	if err != nil {
		t.Fatal(err)
	}
	client, err = dtls.ClientWithOptions(socket[0], socket[1].LocalAddr(),
		dtls.WithCertificates(certificate), dtls.WithInsecureSkipVerify(true))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.HandshakeContext(ctx) }()
	if err := client.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return client, server
}

// Over real DTLS: messages pass, SCTP's end leaves the connection open and drained, and Close lets go of it.
func TestOverDTLS(t *testing.T) {
	a, b := secured(t)
	client, server := newEnd(a, Config{Client: true}), newEnd(b, Config{})
	for range 100 {
		if err := client.Send(Message{Label: "x", Data: make([]byte, 10_000)}); err != nil {
			t.Fatal(err)
		}
	}
	poll(t, "all messages", func() bool { return server.Stats().MessagesReceived == 100 })

	client.sctp.Abort("enough")
	poll(t, "the end at the peer", func() bool {
		_, err := server.state()
		return err != nil
	})
	client.Close()
	for range 100 { // more than DTLS keeps unread, less than the socket's buffer
		if _, err := a.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil { // sends an alert, which the other end sees only while it reads
		t.Fatal(err)
	}
	poll(t, "the end of the drain", func() bool {
		_, err := b.Write([]byte("anybody?"))
		return err != nil
	})
	server.Close()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkIdle reports the memory and goroutines of idle associations with a channel each, both ends, without DTLS.
func BenchmarkIdle(b *testing.B) {
	const pairs = 200
	var before, after runtime.MemStats
	for b.Loop() {
		var ends []*end
		runtime.GC()
		runtime.ReadMemStats(&before)
		goroutines := runtime.NumGoroutine()
		for range pairs {
			x, y := net.Pipe()
			client, server := newEnd(x, Config{Client: true}), newEnd(y, Config{})
			if err := client.Send(Message{Label: DefaultLabel, Data: []byte("x")}); err != nil {
				b.Fatal(err)
			}
			ends = append(ends, client, server)
		}
		for i := range ends {
			for i%2 == 1 && ends[i].Stats().MessagesReceived == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(300 * time.Millisecond) // for delayed acknowledgements
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(ends)), "heap-B/association")
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/float64(len(ends)), "stack-B/association")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/float64(len(ends)), "goroutines/association")
		for _, e := range ends {
			e.close()
		}
	}
}

// BenchmarkMessages reports the cost of a message of 1,000 bytes through both ends, without DTLS.
func BenchmarkMessages(b *testing.B) {
	x, y := net.Pipe()
	client := New(Config{Conn: x, Client: true})
	server := New(Config{Conn: y})
	m := Message{Label: "x", Data: make([]byte, 1000)}
	b.ReportAllocs()
	sent := uint64(0)
	for b.Loop() {
		for client.Send(m) != nil {
			time.Sleep(time.Millisecond)
		}
		sent++
	}
	for server.Stats().MessagesReceived < sent {
		time.Sleep(time.Millisecond)
	}
	client.Close()
	server.Close()
	_ = x.Close()
	_ = y.Close()
}
