package shield

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// ends makes two Conns on a path of 10 ms, and a function that closes everything.
func ends(t *testing.T) (a, b *Conn, ab *pipe, closeAll func()) {
	t.Helper()
	ab, ba := newPipe(1), newPipe(2)
	ab.delay, ba.delay = 10*time.Millisecond, 10*time.Millisecond
	conn := func(e *endpoint) *Conn {
		s, err := FromPacketConn(e)
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(s, Config{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b = conn(newEndpoint("10.0.0.1:1", ab, ba)), conn(newEndpoint("10.0.0.2:2", ba, ab))
	return a, b, ab, func() {
		a.Close()
		b.Close()
		ab.close()
		ba.close()
	}
}

// read reads packets of c until it is closed.
func read(c *Conn) chan []byte {
	out := make(chan []byte, 10000)
	go func() {
		defer close(out)
		buf := make([]byte, 2000)
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			out <- bytes.Clone(buf[:n])
		}
	}()
	return out
}

func TestPassesBeforeKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, ab, closeAll := ends(t)
		ab.mtu = leastSize
		got := read(b)
		go func() {
			for range read(a) {
			}
		}()
		for _, n := range []int{1, 40, leastSize, leastSize + 1, 1300, MaxPacket} {
			want := content(uint64(n), n)
			want[0] = 0xc3
			_, _ = a.WriteTo(want, b.LocalAddr())
			if p := <-got; !bytes.Equal(p, want) {
				t.Errorf("packet of %d arrives as one of %d", n, len(p))
			}
		}
		// One end has the key and the other not yet: still as they are.
		if err := a.Protect(b.socket.LocalAddr(), secret, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want := append([]byte{0xc3}, content(1, 99)...)
		_, _ = a.WriteTo(want, b.LocalAddr())
		if p := <-got; !bytes.Equal(p, want) {
			t.Errorf("%x arrives", p)
		}
		if err := b.Protect(a.socket.LocalAddr(), secret, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		before := ab.total()
		_, _ = a.WriteTo(want, b.LocalAddr())
		if p := <-got; !bytes.Equal(p, want) {
			t.Errorf("%x arrives", p)
		}
		if n := ab.total() - before; n < len(want)+headerLen {
			t.Errorf("%d bytes sent: not shielded", n)
		}
		row, ok := a.Row(b.socket.LocalAddr())
		if !ok || !row.Up || row.RTT < 19*time.Millisecond || row.RTT > 30*time.Millisecond {
			t.Errorf("row %+v", row)
		}
		a.Forget(b.socket.LocalAddr())
		if _, ok := a.Row(b.socket.LocalAddr()); ok {
			t.Error("not forgotten")
		}
		closeAll()
	})
}

func TestStrangersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, ab, closeAll := ends(t)
		got := read(b)
		from := netip.MustParseAddrPort("10.0.0.9:9")
		for i := range 10000 {
			ab.send([]byte{0xc3, byte(i)}, from, b.socket.LocalAddr())
			if i%1000 == 999 {
				time.Sleep(time.Millisecond)
			}
		}
		for range 1000 { // shielded, and nobody's: not handed up, nothing kept
			ab.send(append([]byte{mark | byte(kindReport)}, make([]byte, 60)...), from, b.socket.LocalAddr())
			ab.send(append([]byte{clearHead}, make([]byte, 60)...), from, b.socket.LocalAddr())
			time.Sleep(time.Microsecond)
		}
		time.Sleep(time.Second)
		closeAll()
		n := 0
		for range got {
			n++
		}
		if n > 2*strangerBurst || n < 100 {
			t.Errorf("%d packets of a stranger handed up", n)
		}
		if len(b.parts.slots) > maxParts || len(*b.remotes.Load()) != 0 {
			t.Errorf("%d parts and %d remotes kept", len(b.parts.slots), len(*b.remotes.Load()))
		}
	})
}

// A remote whose address translator gives it another address goes on from there.
func TestRemoteMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _, closeAll := ends(t)
		got := read(b)
		go func() {
			for range read(a) {
			}
		}()
		_ = a.Protect(b.socket.LocalAddr(), secret, true)
		_ = b.Protect(a.socket.LocalAddr(), secret, false)
		time.Sleep(time.Second)
		e := a.socket.(*packetConn).PacketConn.(*endpoint)
		moved := netip.MustParseAddrPort("10.0.0.77:7")
		back := b.socket.(*packetConn).PacketConn.(*endpoint).out
		back.mu.Lock()
		back.endpoint[moved] = e
		delete(back.endpoint, e.addr)
		back.mu.Unlock()
		e.mu.Lock()
		e.addr = moved
		e.mu.Unlock()
		time.Sleep(time.Second)
		if row, ok := b.Row(moved); !ok || !row.Up {
			t.Fatalf("the remote is not known at its new address: %+v", row)
		}
		if row, _ := a.Row(b.socket.LocalAddr()); !row.Up {
			t.Error("the other end hears nothing since")
		}
		want := content(4, 200)
		_, _ = a.WriteTo(want, b.LocalAddr())
		if p := <-got; !bytes.Equal(p, want) {
			t.Error("nothing arrives from the new address")
		}
		closeAll()
	})
}

func TestConnIsANetPacketConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, _, closeAll := ends(t)
		_ = a.SetReadDeadline(time.Now())
		if _, _, err := a.ReadFrom(make([]byte, 10)); err == nil {
			t.Error("reads on after its deadline")
		} else if ne := net.Error(nil); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("deadline: %v", err)
		}
		_ = a.SetReadDeadline(time.Time{})
		closeAll()
		if _, err := a.WriteTo([]byte{1}, a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing after Close: %v", err)
		}
		if _, _, err := a.ReadFrom(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading after Close: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}
