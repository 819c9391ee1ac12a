package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopbacks = map[string]netip.AddrPort{
	"IPv4": netip.MustParseAddrPort("127.0.0.1:0"),
	"IPv6": netip.MustParseAddrPort("[::1]:0"),
}

// listen opens one socket that lives as long as the test.
func listen(t testing.TB, address netip.AddrPort) *Socket {
	t.Helper()
	sockets, err := Listen(Config{Address: address, ReadBuffer: 8 << 20, WriteBuffer: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sockets[0].Close() })
	return sockets[0]
}

// packet makes a recognisable packet: its number, then a pattern.
func packet(number, size int) []byte {
	b := make([]byte, size)
	fill(b, number)
	return b
}

func fill(b []byte, number int) {
	for i := range b {
		b[i] = byte(number*7 + i)
	}
	if len(b) >= 4 {
		binary.BigEndian.PutUint32(b, uint32(number))
	}
}

// receive reads exactly n datagrams, dst of the given size a batch, and copies them. It fails the test after some seconds.
func receive(t testing.TB, s *Socket, n, dst int) (data [][]byte, from []netip.AddrPort) {
	t.Helper()
	guard := time.AfterFunc(10*time.Second, func() { s.Close() })
	defer guard.Stop()
	batch := make([]Datagram, dst)
	for len(data) < n {
		k, err := s.ReadBatch(batch)
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(data), n, err)
		}
		for _, d := range batch[:k] {
			data = append(data, bytes.Clone(d.Data))
			from = append(from, d.From)
		}
	}
	return data, from
}

// expect compares received packets with packets 0, 1, 2... of the given sizes.
func expect(t testing.TB, data [][]byte, sizes []int) {
	t.Helper()
	if len(data) != len(sizes) {
		t.Fatalf("%d datagrams arrived, %d were sent", len(data), len(sizes))
	}
	for i, size := range sizes {
		if !bytes.Equal(data[i], packet(i, size)) {
			t.Fatalf("datagram %d is not the %d bytes that were sent (%d arrived)", i, size, len(data[i]))
		}
	}
}

func repeat(n, size int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = size
	}
	return s
}

func TestBatchArrivesIntactAndInOrder(t *testing.T) {
	mixed := make([]int, 300)
	for i := range mixed {
		mixed[i] = 1 + (i*i*31)%1400
	}
	cases := map[string]struct {
		sizes []int
		dst   int
	}{
		"one":                          {[]int{1}, 16},
		"equal sizes":                  {repeat(20, 1200), 64},
		"equal with a shorter end":     {append(repeat(7, 1200), 300), 64},
		"shorter in the middle":        {[]int{1200, 1200, 900, 1200, 1200, 1200, 100}, 64},
		"growing":                      {[]int{100, 200, 300, 400}, 64},
		"mixed":                        {mixed, 64},
		"more than a GSO message":      {repeat(200, 100), 64},
		"more bytes than a message":    {repeat(60, 1400), 64},
		"read into little room":        {repeat(50, 1000), 3},
		"read one at a time":           {repeat(10, 1000), 1},
		"one of the largest":           {[]int{MaxDatagram - 20, 5}, 4},
		"more than the arena holds":    {repeat(600, 1200), 64},
		"more than the table holds":    {alternating(700), 64},
		"more than one call may carry": {repeat(400, 50), 512},
	}
	for family, address := range loopbacks {
		for name, c := range cases {
			t.Run(family+"/"+name, func(t *testing.T) {
				from, to := listen(t, address), listen(t, address)
				b := from.NewBatch()
				for i, size := range c.sizes {
					room := b.Reserve(to.LocalAddr(), size+16)
					if len(room) != size+16 {
						t.Fatalf("Reserve gave %d bytes, asked for %d", len(room), size+16)
					}
					fill(room[:size], i)
					b.Commit(size)
				}
				if err := b.Flush(); err != nil {
					t.Fatal(err)
				}
				data, senders := receive(t, to, len(c.sizes), c.dst)
				expect(t, data, c.sizes)
				for _, s := range senders {
					if s != from.LocalAddr() {
						t.Fatalf("datagram from %s, sent by %s", s, from.LocalAddr())
					}
				}
				st := from.Stats()
				if st.DatagramsOut != uint64(len(c.sizes)) || st.SendDrops+st.SendErrors+st.GSORefused != 0 {
					t.Fatalf("sender's counters: %+v", st)
				}
				if in := to.Stats(); in.DatagramsIn != st.DatagramsOut || in.BytesIn != st.BytesOut || in.ReceiveDrops != 0 {
					t.Fatalf("receiver's counters %+v, sender's %+v", in, st)
				}
			})
		}
	}
}

// alternating gives sizes of which no two neighbours can join.
func alternating(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = 40 + i
	}
	return s
}

func TestBatchSeparatesDestinations(t *testing.T) {
	from := listen(t, loopbacks["IPv4"])
	a, c := listen(t, loopbacks["IPv4"]), listen(t, loopbacks["IPv4"])
	b := from.NewBatch()
	for i := range 40 {
		to := a
		if i%4 >= 2 {
			to = c
		}
		fill(b.Reserve(to.LocalAddr(), 500), i)
		b.Commit(500)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	for k, s := range []*Socket{a, c} {
		data, _ := receive(t, s, 20, 64)
		for i, d := range data {
			number := i/2*4 + i%2 + 2*k
			if !bytes.Equal(d, packet(number, 500)) {
				t.Fatalf("socket %d, datagram %d is not packet %d", k, i, number)
			}
		}
	}
}

func TestReserveWithoutCommitLeavesNoTrace(t *testing.T) {
	from, to := listen(t, loopbacks["IPv4"]), listen(t, loopbacks["IPv4"])
	b := from.NewBatch()
	fill(b.Reserve(to.LocalAddr(), 100), 99)
	fill(b.Reserve(to.LocalAddr(), 100), 0)
	b.Commit(100)
	b.Reserve(to.LocalAddr(), 100)
	b.Commit(0)
	fill(b.Reserve(to.LocalAddr(), 50), 98)
	if n, bytes := b.Len(); n != 1 || bytes != 100 {
		t.Fatalf("batch holds %d messages of %d bytes", n, bytes)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := from.WriteTo(packet(1, 100), to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	data, _ := receive(t, to, 2, 8)
	expect(t, data, []int{100, 100})
}

func TestMisuseOfABatchPanics(t *testing.T) {
	b := listen(t, loopbacks["IPv4"]).NewBatch()
	for name, misuse := range map[string]func(){
		"too large":              func() { b.Reserve(loopbacks["IPv4"], MaxDatagram+1) },
		"negative":               func() { b.Reserve(loopbacks["IPv4"], -1) },
		"commit without reserve": func() { _ = b.Flush(); b.Commit(1) },
		"commit of more":         func() { b.Reserve(loopbacks["IPv4"], 5); b.Commit(6) },
		"commit twice":           func() { b.Reserve(loopbacks["IPv4"], 5); b.Commit(5); b.Commit(5) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("no panic")
				}
			}()
			misuse()
		})
	}
}

func TestWriteTo(t *testing.T) {
	for family, address := range loopbacks {
		t.Run(family, func(t *testing.T) {
			from, to := listen(t, address), listen(t, address)
			var wg sync.WaitGroup
			const writers, each = 4, 50
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						if err := from.WriteTo(packet(w*each+i, 300), to.LocalAddr()); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			data, _ := receive(t, to, writers*each, 32)
			seen := make(map[uint32]bool)
			for _, d := range data {
				number := binary.BigEndian.Uint32(d)
				if seen[number] || !bytes.Equal(d, packet(int(number), 300)) {
					t.Fatalf("packet %d twice or damaged", number)
				}
				seen[number] = true
			}
			if err := from.WriteTo(nil, to.LocalAddr()); err != nil {
				t.Fatalf("empty write: %v", err)
			}
		})
	}
}

func TestMappedAddressIsIPv4(t *testing.T) {
	from, to := listen(t, loopbacks["IPv4"]), listen(t, loopbacks["IPv4"])
	mapped := netip.AddrPortFrom(netip.AddrFrom16(to.LocalAddr().Addr().As16()), to.LocalAddr().Port())
	if err := from.WriteTo(packet(0, 10), mapped); err != nil {
		t.Fatal(err)
	}
	data, senders := receive(t, to, 1, 1)
	expect(t, data, []int{10})
	if !senders[0].Addr().Is4() {
		t.Fatalf("sender %s is not a plain IPv4 address", senders[0])
	}
}

func TestWrongFamilyIsCountedAndHurtsNobody(t *testing.T) {
	from, to := listen(t, loopbacks["IPv4"]), listen(t, loopbacks["IPv4"])
	if err := from.WriteTo([]byte{1}, netip.MustParseAddrPort("[::1]:9")); !errors.Is(err, errFamily) {
		t.Fatalf("WriteTo: %v", err)
	}
	b := from.NewBatch()
	for i, address := range []netip.AddrPort{to.LocalAddr(), netip.MustParseAddrPort("[::1]:9"), to.LocalAddr()} {
		fill(b.Reserve(address, 100), i/2)
		b.Commit(100)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	data, _ := receive(t, to, 2, 8)
	expect(t, data, []int{100, 100})
	if st := from.Stats(); st.SendErrors != 2 || st.DatagramsOut != 2 {
		t.Fatalf("counters: %+v", st)
	}
}

func TestWriteSegments(t *testing.T) {
	for family, address := range loopbacks {
		t.Run(family, func(t *testing.T) {
			from := listen(t, address)
			light, err := Listen(Config{Address: address, Light: true, Fragment: true, ReadBuffer: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			to := light[0]
			defer to.Close()
			for _, sizes := range [][]int{{100}, repeat(64, 1000), append(repeat(5, 1200), 7)} {
				var b []byte
				for i, n := range sizes {
					b = append(b, packet(i, n)...)
				}
				if err := from.WriteSegments(b, sizes[0], to.LocalAddr()); err != nil {
					t.Fatal(err)
				}
				data, _ := receive(t, to, len(sizes), 10)
				expect(t, data, sizes)
			}
			if st := from.Stats(); st.DatagramsOut != 71 || st.GSO && st.MessagesOut != 3 {
				t.Fatalf("counters: %+v", st)
			}
		})
	}
}

func TestOutbox(t *testing.T) {
	sockets := []*Socket{listen(t, loopbacks["IPv4"]), listen(t, loopbacks["IPv4"])}
	to := listen(t, loopbacks["IPv4"])
	o := NewOutbox(sockets)
	for i := range 10 {
		fill(o.Reserve(i%2, to.LocalAddr(), 80), i)
		o.Commit(80)
	}
	if n := testing.AllocsPerRun(1, func() {
		if err := o.Flush(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations in Flush", n)
	}
	data, from := receive(t, to, 10, 16)
	for i, d := range data {
		number := int(binary.BigEndian.Uint32(d))
		if !bytes.Equal(d, packet(number, 80)) || from[i] != sockets[number%2].LocalAddr() {
			t.Fatalf("packet %d came from %s", number, from[i])
		}
	}
	sockets[1].Close()
	o.Reserve(1, to.LocalAddr(), 1)
	o.Commit(1)
	if err := o.Flush(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Flush on a closed socket: %v", err)
	}
}

func TestCloseEndsReading(t *testing.T) {
	for family, address := range loopbacks {
		t.Run(family, func(t *testing.T) {
			s := listen(t, address)
			result := make(chan error)
			started := make(chan struct{})
			go func() {
				close(started)
				_, err := s.ReadBatch(make([]Datagram, 4))
				result <- err
			}()
			<-started
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-result; !errors.Is(err, net.ErrClosed) {
				t.Fatalf("ReadBatch: %v", err)
			}
			if _, err := s.ReadBatch(make([]Datagram, 4)); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("ReadBatch after Close: %v", err)
			}
			if err := s.WriteTo([]byte{1}, s.LocalAddr()); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("WriteTo after Close: %v", err)
			}
			b := s.NewBatch()
			b.Reserve(s.LocalAddr(), 1)
			b.Commit(1)
			if err := b.Flush(); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("Flush after Close: %v", err)
			}
			s.Stats()
		})
	}
}

func TestEmptyDatagramsAreLeftOut(t *testing.T) {
	to := listen(t, loopbacks["IPv4"])
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, b := range [][]byte{{}, packet(0, 5), {}, packet(1, 5)} {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	data, _ := receive(t, to, 2, 8)
	expect(t, data, []int{5, 5})
}

func TestListenRefuses(t *testing.T) {
	taken := listen(t, loopbacks["IPv4"])
	for name, cfg := range map[string]Config{
		"no address":       {},
		"too many sockets": {Address: loopbacks["IPv4"], Sockets: maxSockets + 1},
		"negative sockets": {Address: loopbacks["IPv4"], Sockets: -1},
		"negative buffer":  {Address: loopbacks["IPv4"], ReadBuffer: -1},
		"address in use":   {Address: taken.LocalAddr()},
		"foreign address":  {Address: netip.MustParseAddrPort("192.0.2.1:0")},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := Listen(cfg); err == nil {
				s[0].Close()
				t.Fatal("no error")
			}
		})
	}
}

func TestReadIntoNothingIsAnError(t *testing.T) {
	if _, err := listen(t, loopbacks["IPv4"]).ReadBatch(nil); err == nil {
		t.Fatal("no error")
	}
}
