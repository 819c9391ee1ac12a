package node

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestConnections bounds connections in all and of each source, and lets others in when some are closed.
func TestConnections(t *testing.T) {
	proxy := netip.MustParseAddr("203.0.113.1")
	c := newConnections(80, func(a netip.Addr) bool { return a == proxy })
	take := func(a netip.Addr, n int) (taken int) {
		for range n {
			if c.open(a) {
				taken++
			}
		}
		return taken
	}
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if got := take(one, 100); got != 10 {
		t.Errorf("one source has %d", got)
	}
	if got := take(proxy, 60); got != 60 {
		t.Errorf("a proxy has %d", got)
	}
	if got := take(other, 100); got != 10 || c.count() != 80 {
		t.Errorf("another source has %d, all %d", got, c.count())
	}
	if take(proxy, 1) != 0 {
		t.Error("more than all")
	}
	for range 10 {
		c.close(one)
	}
	if got := take(one, 100); got != 10 || c.refused.Load() != 90+90+1+90 {
		t.Errorf("later one source has %d, %d were refused", got, c.refused.Load())
	}
	for range 10 {
		c.close(one)
		c.close(other)
	}
	for range 60 {
		c.close(proxy)
	}
	if c.count() != 0 || len(c.of) != 0 {
		t.Errorf("%d left, of %d sources", c.count(), len(c.of))
	}
}

// TestBoundedListener closes the connections that are too many, and takes one again when another has ended.
func TestBoundedListener(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bound := newConnections(1, func(netip.Addr) bool { return false })
	l := boundedListener{socket, bound}
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	dial()
	first := <-accepted
	second := dial()
	_ = second.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := second.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the second one is not closed: %v", err)
	}
	for range 2 { // once counts
		_ = first.Close()
	}
	dial()
	_ = (<-accepted).Close()
	_ = socket.Close()
	if _, open := <-accepted; open || bound.count() != 0 {
		t.Errorf("%d connections are left", bound.count())
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// TestSourceOf takes networks of IPv6 for one source.
func TestSourceOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::", "[::1]:5": "::1", "[fe80::1%eth0]:5": "fe80::",
	} {
		if got := sourceOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote))); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s, not %s", remote, got, want)
		}
	}
	if sourceOf(&net.UnixAddr{}).IsValid() {
		t.Error("a socket of the system has an address")
	}
}
