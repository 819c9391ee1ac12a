package ice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

// from gives a pipe's end the address of a client.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", f.addr)
	return a
}

// harness is a Splitter on an in-memory listener.
type harness struct {
	t        *testing.T
	splitter *Splitter
	listener *Listener
	served   chan error
	frames   chan string // "frame" of every frame
	closed   chan *Conn
}

func newHarness(t *testing.T, cfg SplitterConfig) *harness {
	h := &harness{
		t: t, listener: NewListener(&net.TCPAddr{}, 100), served: make(chan error, 1),
		frames: make(chan string, 1000), closed: make(chan *Conn, 100),
	}
	if cfg.Frame == nil {
		cfg.Frame = func(frame []byte, c *Conn) {
			c.Keep()
			h.frames <- string(frame)
		}
	}
	cfg.Closed = func(c *Conn) { h.closed <- c }
	h.splitter = NewSplitter(cfg)
	go func() { h.served <- h.splitter.Serve(h.listener) }()
	return h
}

// dial connects from an address.
func (h *harness) dial(addr string) net.Conn {
	ours, theirs := net.Pipe()
	h.listener.Hand(from{theirs, addr})
	synctest.Wait()
	return ours
}

func (h *harness) stop() {
	h.t.Helper()
	if err := h.splitter.Close(); err != nil {
		h.t.Error(err)
	}
	if err := <-h.served; err != nil {
		h.t.Error(err)
	}
	if s := h.splitter.Stats(); s.Open != 0 || len(h.splitter.sources) != 0 {
		h.t.Errorf("left open: %+v, %v", s, h.splitter.sources)
	}
}

func (h *harness) wantFrame(want string) {
	h.t.Helper()
	synctest.Wait()
	select {
	case got := <-h.frames:
		if got != want {
			h.t.Errorf("frame %q, want %q", got, want)
		}
	default:
		h.t.Error("no frame")
	}
}

// wantClosed checks that the other end has closed the connection by now.
func (h *harness) wantClosed(c net.Conn, want bool) {
	h.t.Helper()
	synctest.Wait()
	_ = c.SetReadDeadline(time.Now().Add(time.Nanosecond))
	_, err := c.Read(make([]byte, 1))
	if got := errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe); got != want {
		h.t.Errorf("closed %v (%v), want %v", got, err, want)
	}
}

func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func write(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Error(err)
	}
}

func binding() []byte { return stun.MustBuild(stun.BindingRequest, stun.TransactionID).Raw }

func TestClassify(t *testing.T) {
	allocate := stun.MustBuild(stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.TransactionID).Raw
	for _, c := range []struct {
		name string
		b    []byte
		want protocol
	}{
		{"framed", framed(binding()), protocolICE},
		{"plain", allocate, protocolTURN},
		{"channel data", []byte{0x40, 0, 0, 1}, protocolTURN},
		{"client hello", []byte{22, 3, 1, 2, 0}, protocolTLS},
		{"http", []byte("GET / HTTP/1.1\r\n"), protocolTURN}, // 'G' is in the range of ChannelData; TURN refuses it
		{"ssh", []byte("\x00\x0eSSH-2.0-OpenSSH"), protocolUnknown},
		{"nothing", nil, protocolUnknown},
		{"framed DTLS", framed([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0}), protocolUnknown},
	} {
		if got := classify(c.b); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		// However it is cut, what is found first is right.
		for i := range c.b {
			if got := classify(c.b[:i]); got != protocolUnknown && got != c.want {
				t.Errorf("%s cut at %d: %v", c.name, i, got)
			}
		}
	}
}

func TestSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := make(chan string, 10)
		take := func(name string) func(net.Conn) {
			return func(c net.Conn) {
				defer c.Close()
				b, _ := io.ReadAll(c)
				took <- name + " " + string(b)
			}
		}
		h := newHarness(t, SplitterConfig{TLS: take("TLS"), TURN: take("TURN")})
		hello, plain := "\x16\x03\x01hello", string(binding())

		ice := h.dial("192.0.2.1:1")
		for _, b := range framed(binding()) { // byte by byte
			write(t, ice, []byte{b})
		}
		synctest.Wait()
		if got := <-h.frames; !IsMessage([]byte(got)) {
			t.Errorf("frame %q", got)
		}
		write(t, ice, framed([]byte("dtls")))
		h.wantFrame("dtls")

		for _, c := range []struct{ bytes, want string }{{hello, "TLS " + hello}, {plain, "TURN " + plain}} {
			conn := h.dial("192.0.2.1:1")
			write(t, conn, []byte(c.bytes))
			time.Sleep(time.Hour) // no deadline is left
			conn.Close()
			if got := <-took; got != c.want {
				t.Errorf("took %q, want %q", got, c.want)
			}
		}
		rubbish := h.dial("192.0.2.1:1")
		write(t, rubbish, bytes.Repeat([]byte{0}, 12)[:sniffLen])
		h.wantClosed(rubbish, true)
		if s := h.splitter.Stats(); s.Unknown != 1 {
			t.Errorf("%+v", s)
		}
		h.stop()
	})
}

func TestWithoutHandlersConnectionsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, SplitterConfig{})
		c := h.dial("192.0.2.1:1")
		write(t, c, []byte{22, 3})
		h.wantClosed(c, true)
		h.stop()
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keep := true
		h := newHarness(t, SplitterConfig{Frame: func(_ []byte, c *Conn) {
			if keep {
				c.Keep()
			}
		}})
		silent := h.dial("192.0.2.1:1")
		slow := h.dial("192.0.2.1:1")
		write(t, slow, framed(binding())[:5])
		kept := h.dial("192.0.2.1:1")
		write(t, kept, framed(binding()))
		synctest.Wait()
		keep = false
		unkept := h.dial("192.0.2.1:1")
		write(t, unkept, framed(binding()))
		time.Sleep(9 * time.Second)
		write(t, unkept, framed(binding())) // frames alone do not keep it
		for _, c := range []net.Conn{silent, slow, kept, unkept} {
			h.wantClosed(c, false)
		}
		time.Sleep(2 * time.Second)
		h.wantClosed(silent, true)
		h.wantClosed(slow, true)
		h.wantClosed(unkept, true)
		for range 10 { // traffic keeps a kept connection open
			time.Sleep(15 * time.Second)
			write(t, kept, framed([]byte("media")))
		}
		write(t, kept, []byte{0, 9, 1}) // half a frame
		time.Sleep(21 * time.Second)
		h.wantClosed(kept, false)
		time.Sleep(10 * time.Second)
		h.wantClosed(kept, true)
		h.stop()
		if len(h.closed) != 2 {
			t.Errorf("%d connections reported closed", len(h.closed))
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, SplitterConfig{MaxConns: 5, MaxPerSource: 2})
		addrs := []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::ffff]:1", "192.0.2.2:1", "192.0.2.3:1"}
		wantClosed := []bool{false, false, true, false, false, true, false, true}
		conns := make([]net.Conn, len(addrs))
		for i, a := range addrs {
			conns[i] = h.dial(a)
			h.wantClosed(conns[i], wantClosed[i])
		}
		if s := h.splitter.Stats(); s.Open != 5 || s.Refused != 3 {
			t.Errorf("%+v", s)
		}
		conns[0].Close() // makes room
		synctest.Wait()
		h.wantClosed(h.dial("192.0.2.1:4"), false)
		h.stop()
		h.wantClosed(conns[1], true)
	})
}

func TestFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, SplitterConfig{})
		c := h.dial("192.0.2.1:1")
		first := string(binding())
		var all []byte
		longest, tooLong := strings.Repeat("x", maxFrame), strings.Repeat("y", 65535)
		for _, f := range []string{first, "", "a", tooLong, longest, "b"} {
			all = append(all, framed([]byte(f))...)
		}
		write(t, c, all)
		for _, want := range []string{first, "a", longest, "b"} {
			h.wantFrame(want)
		}
		if s := h.splitter.Stats(); s.Skipped != 1 {
			t.Errorf("%+v", s)
		}
		h.stop()
	})
}

func TestWriteQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conn *Conn
		h := newHarness(t, SplitterConfig{WriteQueue: 1000, Frame: func(_ []byte, c *Conn) {
			c.Keep()
			conn = c
		}})
		c := h.dial("192.0.2.7:7")
		write(t, c, framed(binding()))
		synctest.Wait()
		if conn.Remote().String() != "192.0.2.7:7" || conn.Local() == nil {
			t.Errorf("remote %v, local %v", conn.Remote(), conn.Local())
		}
		packet := bytes.Repeat([]byte{1}, 98) // 100 with its header
		for i := range 12 {
			packet[0] = byte(i)
			err := conn.Write(packet)
			if want := i >= 10; errors.Is(err, ErrQueueFull) != want {
				t.Errorf("packet %d: %v", i, err)
			}
		}
		if q := conn.Queued(); q != 1000 {
			t.Errorf("%d bytes queued", q)
		}
		if s := h.splitter.Stats(); s.Dropped != 2 {
			t.Errorf("%+v", s)
		}
		got := make([]byte, 1000)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		for i := range 10 { // the oldest were kept, in order
			if f := got[100*i:]; f[0] != 0 || f[1] != 98 || f[2] != byte(i) {
				t.Errorf("frame %d: % x", i, f[:3])
			}
		}
		synctest.Wait()
		if q := conn.Queued(); q != 0 {
			t.Errorf("%d bytes queued", q)
		}
		if err := conn.Write(make([]byte, 1<<16)); !errors.Is(err, ErrFrameTooLong) {
			t.Error(err)
		}
		// A client that takes nothing is cut.
		if err := conn.Write(packet); err != nil {
			t.Error(err)
		}
		time.Sleep(9 * time.Second)
		if conn.Write(packet) != nil {
			t.Error("cut too early")
		}
		time.Sleep(2 * time.Second)
		if err := conn.Write(packet); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if got := <-h.closed; got != conn {
			t.Error("another connection closed")
		}
		h.stop()
	})
}

func TestCloseFromHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, SplitterConfig{Frame: func(_ []byte, c *Conn) {
			c.Close()
			c.Close()
		}})
		c := h.dial("192.0.2.1:1")
		write(t, c, framed(binding()))
		h.wantClosed(c, true)
		if s := h.splitter.Stats(); s.Open != 0 {
			t.Errorf("%+v", s)
		}
		h.stop()
		h.staysClosed()
	})
}

// staysClosed checks that a Splitter stays closed.
func (h *harness) staysClosed() {
	h.splitter.Close()
	l := NewListener(&net.TCPAddr{}, 1)
	if err := h.splitter.Serve(l); err != nil {
		h.t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		h.t.Error("listener still open", err)
	}
}

func TestListenerBacklog(t *testing.T) {
	l := NewListener(&net.TCPAddr{Port: 7}, 1)
	if l.Addr().String() != ":7" {
		t.Error(l.Addr())
	}
	a, b, c := &closeRecorder{}, &closeRecorder{}, &closeRecorder{}
	l.Hand(a)
	l.Hand(b)
	if a.closed || !b.closed {
		t.Error("full listener must close what comes")
	}
	if got, err := l.Accept(); got != a || err != nil {
		t.Error(got, err)
	}
	l.Hand(a)
	l.Close()
	l.Hand(c)
	if !a.closed || !c.closed {
		t.Error("closed listener must close what it holds and what comes")
	}
}

type closeRecorder struct {
	net.Conn
	closed bool
}

func (c *closeRecorder) Close() error { c.closed = true; return nil }

// The same over real sockets, with echoes from many connections at a time.
func TestSplitterTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewSplitter(SplitterConfig{Frame: func(frame []byte, c *Conn) {
		c.Keep()
		if err := c.Write(frame); err != nil {
			t.Error(err)
		}
	}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			sent := framed(binding())
			for i := range 100 {
				sent = append(sent, framed(bytes.Repeat([]byte{byte(i)}, 1200))...)
			}
			wg.Go(func() { write(t, c, sent) })
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
				t.Error("echo differs", err)
			}
		})
	}
	wg.Wait()
	// One stays open and silent: Close ends it.
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	write(t, c, framed(binding()))
	if _, err := io.ReadFull(c, make([]byte, 22)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
