package udp

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOffloadsAreUsed(t *testing.T) {
	from, to := listen(t, loopbacks["IPv4"]), listen(t, loopbacks["IPv4"])
	if st := from.Stats(); !st.GSO || !st.GRO {
		t.Skip("this kernel has no UDP offloads")
	}
	b := from.NewBatch()
	sizes := append(repeat(64, 900), 100)
	for i, n := range sizes {
		fill(b.Reserve(to.LocalAddr(), n), i)
		b.Commit(n)
	}
	if n, _ := b.Len(); n != 2 {
		t.Fatalf("64 equal packets and one more became %d messages", n)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	data, _ := receive(t, to, len(sizes), 100)
	expect(t, data, sizes)
	if st := from.Stats(); st.MessagesOut != 2 {
		t.Fatalf("%d messages were sent", st.MessagesOut)
	}
	if st := to.Stats(); st.MessagesIn >= st.DatagramsIn {
		t.Fatalf("loopback keeps GSO messages whole, but %d messages brought %d datagrams", st.MessagesIn, st.DatagramsIn)
	}
}

// The kernel refuses GSO on a socket without checksums with the same error as it does for other reasons: a real
// refusal, without a broken device.
func TestRefusedGSOIsResentAndOffForGood(t *testing.T) {
	from, to := listen(t, loopbacks["IPv4"]), listen(t, loopbacks["IPv4"])
	if !from.Stats().GSO {
		t.Skip("this kernel has no UDP GSO")
	}
	var err error
	cerr := from.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
	})
	if cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	b := from.NewBatch()
	send := func(n int) []int {
		sizes := append(repeat(n, 700), 30)
		for i, n := range sizes {
			fill(b.Reserve(to.LocalAddr(), n), i)
			b.Commit(n)
		}
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
		data, _ := receive(t, to, len(sizes), 64)
		expect(t, data, sizes)
		return sizes
	}
	send(100) // two joined messages: both are resent, one switches off
	if st := from.Stats(); st.GSO || st.GSORefused != 1 || st.SendErrors != 0 || st.DatagramsOut != 101 {
		t.Fatalf("counters after the refusal: %+v", st)
	}
	from.gso.Store(true) // the same once more, by the other way out
	if err := from.WriteSegments(append(packet(0, 100), packet(1, 60)...), 100, to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	data, _ := receive(t, to, 2, 4)
	expect(t, data, []int{100, 60})
	if st := from.Stats(); st.GSO || st.GSORefused != 2 || st.SendErrors != 0 {
		t.Fatalf("counters after the second refusal: %+v", st)
	}
	send(10)
	if st := from.Stats(); st.MessagesOut != st.DatagramsOut || st.GSORefused != 2 {
		t.Fatalf("counters after the fallback: %+v", st)
	}
}

// Port 0 makes the kernel say EINVAL as well. A client that names it must not cost everybody GSO.
func TestBadDestinationDoesNotSwitchGSOOff(t *testing.T) {
	from, to := listen(t, loopbacks["IPv4"]), listen(t, loopbacks["IPv4"])
	before := from.Stats().GSO
	b := from.NewBatch()
	bad := netip.MustParseAddrPort("127.0.0.1:0")
	for range 5 {
		b.Reserve(bad, 100)
		b.Commit(100)
	}
	for i := range 5 {
		fill(b.Reserve(to.LocalAddr(), 100), i)
		b.Commit(100)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	data, _ := receive(t, to, 5, 64)
	expect(t, data, repeat(5, 100))
	if st := from.Stats(); st.GSO != before || st.GSORefused != 0 || st.SendErrors != 5 {
		t.Fatalf("counters: %+v", st)
	}
	if err := from.WriteTo([]byte{1}, bad); err == nil {
		t.Fatal("WriteTo port 0 gave no error")
	}
	if err := from.WriteSegments(make([]byte, 100), 30, bad); err == nil || from.Stats().GSO != before {
		t.Fatal("WriteSegments to port 0 gave no error, or switched GSO off")
	}
}

func TestPacketLargerThanTheRouteIsAnError(t *testing.T) {
	from := listen(t, loopbacks["IPv4"])
	if err := from.WriteTo(make([]byte, MaxDatagram+1), from.LocalAddr()); err == nil {
		t.Fatal("no error")
	}
	if st := from.Stats(); st.SendErrors != 1 {
		t.Fatalf("counters: %+v", st)
	}
}

// faulty puts a fake system call under a socket; it counts calls and sends nothing.
func faulty(s *Socket, f func(call, n int) (int, syscall.Errno)) *int {
	calls := new(int)
	s.sendmmsg = func(_ uintptr, m []mmsghdr) (int, syscall.Errno) {
		*calls++
		return f(*calls, len(m))
	}
	return calls
}

func TestFullBufferDropsAfterAShortWait(t *testing.T) {
	s := listen(t, loopbacks["IPv4"])
	calls := faulty(s, func(call, n int) (int, syscall.Errno) {
		if call == 1 {
			return 2, 0
		}
		return 0, unix.EAGAIN
	})
	b := s.NewBatch()
	for i := range 10 {
		b.Reserve(s.LocalAddr(), 100+i)
		b.Commit(100 + i)
	}
	start := time.Now()
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > time.Second {
		t.Fatalf("a flush took %s", took)
	}
	if st := s.Stats(); st.DatagramsOut != 2 || st.SendDrops != 8 || st.SendErrors != 0 {
		t.Fatalf("counters: %+v", st)
	}
	if want := 2 + int(MaxSendWait/pollStep); *calls != want {
		t.Fatalf("%d calls, want %d", *calls, want)
	}
	if n, _ := b.Len(); n != 0 {
		t.Fatalf("%d messages left", n)
	}
	if err := s.WriteTo([]byte{1}, s.LocalAddr()); err != nil {
		t.Fatalf("WriteTo: %v", err)
	}
	if st := s.Stats(); st.SendDrops != 9 {
		t.Fatalf("counters: %+v", st)
	}
}

func TestErrorsInTheMiddleOfABatch(t *testing.T) {
	cases := map[string]struct {
		errno         syscall.Errno
		drops, errors uint64
	}{
		"no route":   {unix.EHOSTUNREACH, 0, 1},
		"forbidden":  {unix.EPERM, 0, 1},
		"no buffers": {unix.ENOBUFS, 1, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := listen(t, loopbacks["IPv4"])
			faulty(s, func(call, n int) (int, syscall.Errno) {
				switch call {
				case 1:
					return 0, unix.EINTR
				case 2:
					return 3, 0
				case 3:
					return 0, c.errno
				}
				return n, 0
			})
			b := s.NewBatch()
			for i := range 8 {
				b.Reserve(s.LocalAddr(), 100+i)
				b.Commit(100 + i)
			}
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
			if st := s.Stats(); st.DatagramsOut != 7 || st.SendDrops != c.drops || st.SendErrors != c.errors {
				t.Fatalf("counters: %+v", st)
			}
		})
	}
}

// A joined message whose parts do not go either is not GSO's fault, and its first part decides.
func TestRefusalOfPartsIsNotBlamedOnGSO(t *testing.T) {
	s := listen(t, loopbacks["IPv4"])
	s.gso.Store(true)
	faulty(s, func(call, n int) (int, syscall.Errno) {
		if call <= 4 { // the whole and three full parts
			return 0, unix.EMSGSIZE
		}
		return n, 0 // the short end
	})
	b := s.NewBatch()
	for _, n := range []int{1500, 1500, 1500, 40} {
		b.Reserve(s.LocalAddr(), n)
		b.Commit(n)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); !st.GSO || st.GSORefused != 0 || st.SendErrors != 3 || st.DatagramsOut != 1 {
		t.Fatalf("counters: %+v", st)
	}
}

func TestReusePortGroup(t *testing.T) {
	const size, senders = 4, 64
	group, err := Listen(Config{Address: loopbacks["IPv4"], Sockets: size})
	if err != nil {
		t.Fatal(err)
	}
	counts := make(chan int)
	for _, s := range group {
		if s.LocalAddr() != group[0].LocalAddr() {
			t.Fatalf("addresses %s and %s in one group", s.LocalAddr(), group[0].LocalAddr())
		}
		go func() {
			total, batch := 0, make([]Datagram, 16)
			for {
				n, err := s.ReadBatch(batch)
				if err != nil {
					counts <- total
					return
				}
				for _, d := range batch[:n] { // echo, so that the senders know
					if err := s.WriteTo(d.Data, d.From); err != nil {
						t.Error(err)
					}
				}
				total += n
			}
		}()
	}
	for i := range senders {
		c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(group[0].LocalAddr()))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write(packet(i, 20)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 100)); err != nil || n != 20 {
			t.Fatal(n, err)
		}
		c.Close()
	}
	total, used := 0, 0
	for _, s := range group {
		s.Close()
		n := <-counts
		total += n
		if n > 0 {
			used++
		}
	}
	if total != senders || used < 2 {
		t.Fatalf("%d datagrams over %d sockets", total, used)
	}
}

func TestBuffers(t *testing.T) {
	const want = 1 << 17
	s, err := Listen(Config{Address: loopbacks["IPv4"], ReadBuffer: want, WriteBuffer: want})
	if err != nil {
		t.Fatal(err)
	}
	defer s[0].Close()
	if r, w := s[0].Buffers(); r != want || w != want {
		t.Fatalf("granted %d and %d, asked for %d", r, w, want)
	}
	d := listen(t, loopbacks["IPv6"])
	if r, w := d.Buffers(); r <= 0 || w <= 0 {
		t.Fatalf("granted %d and %d", r, w)
	}
}

func TestKernelDropsAreCounted(t *testing.T) {
	s, err := Listen(Config{Address: loopbacks["IPv4"], ReadBuffer: 4096})
	if err != nil {
		t.Fatal(err)
	}
	from := listen(t, loopbacks["IPv4"])
	for range 200 {
		if err := from.WriteTo(make([]byte, 1000), s[0].LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	if st := s[0].Stats(); st.ReceiveDrops == 0 {
		t.Fatal("nobody read 200 packets of a 4 KiB buffer, and no drop was counted")
	}
	s[0].Close()
	if st := s[0].Stats(); st.ReceiveDrops == 0 {
		t.Fatal("the count was lost by Close")
	}
}

func TestSockaddr(t *testing.T) {
	for address, family := range map[string]uint16{
		"192.0.2.1:65535":      unix.AF_INET,
		"[2001:db8::1]:3478":   unix.AF_INET6,
		"[fe80::1%7]:256":      unix.AF_INET6,
		"[::ffff:192.0.2.1]:1": unix.AF_INET,
	} {
		var sa sockaddr
		want := netip.MustParseAddrPort(address)
		if n := encode(&sa, want, family); n == 0 {
			t.Fatalf("%s was not encoded", address)
		}
		want = netip.AddrPortFrom(want.Addr().Unmap(), want.Port())
		if got := decode(&sa); got != want {
			t.Fatalf("%s came back as %s", want, got)
		}
		if n := encode(&sa, want, unix.AF_INET+unix.AF_INET6-family); n != 0 {
			t.Fatalf("%s was encoded for the other family", address)
		}
	}
	if got := decode(&sockaddr{}); got.IsValid() {
		t.Fatalf("no family became %s", got)
	}
	if scope("lo") == 0 || scope("no such interface") != 0 {
		t.Fatal("interface names are not resolved")
	}
}

func TestNoAllocations(t *testing.T) {
	for family, address := range loopbacks {
		t.Run(family, func(t *testing.T) {
			from, to := listen(t, address), listen(t, address)
			b, in := from.NewBatch(), make([]Datagram, 64)
			round := func() {
				for range 3 {
					for range 8 {
						b.Reserve(to.LocalAddr(), 1216)
						b.Commit(1200)
					}
					b.Reserve(to.LocalAddr(), 90)
					b.Commit(90)
				}
				if err := b.Flush(); err != nil {
					t.Fatal(err)
				}
				for n := 0; n < 27; {
					k, err := to.ReadBatch(in)
					if err != nil {
						t.Fatal(err)
					}
					n += k
				}
			}
			if n := testing.AllocsPerRun(100, round); n != 0 {
				t.Errorf("%v allocations in a batch out and in", n)
			}
			if raceEnabled {
				return // the race detector makes sync.Pool forget on purpose
			}
			one := make([]byte, 100)
			single := func() {
				if err := from.WriteTo(one, to.LocalAddr()); err != nil {
					t.Fatal(err)
				}
				if _, err := to.ReadBatch(in); err != nil {
					t.Fatal(err)
				}
			}
			if n := testing.AllocsPerRun(100, single); n != 0 {
				t.Errorf("%v allocations in WriteTo and a batch in", n)
			}
		})
	}
}
