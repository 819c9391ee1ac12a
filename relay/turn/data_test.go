package turn

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"

	"github.com/pion/turn/v5"

	"cardea/relay/udp"
)

const testChannel = 0x4001

// dataPath is an allocation with a bound channel, made without a client's requests.
type dataPath struct {
	*node
	relay        *relay
	client, peer *udp.Socket
}

func newDataPath(t testing.TB) *dataPath {
	t.Helper()
	cfg := testConfig()
	cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.ReadBuffer = 4 << 20
	d := &dataPath{node: start(t, cfg)}
	for _, s := range []**udp.Socket{&d.client, &d.peer} {
		sockets, err := udp.Listen(udp.Config{Address: netip.AddrPortFrom(loopback, 0), ReadBuffer: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sockets[0].Close() })
		*s = sockets[0]
	}
	conn, _, err := (&generator{d.Server}).AllocatePacketConn(turn.AllocateListenerConfig{Network: "udp4", UserID: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	d.relay = conn.(*relay)
	d.relay.client = client{addr: d.client.LocalAddr(), socket: d.socket}
	d.relay.bind(testChannel, d.peer.LocalAddr())
	d.mu.Lock()
	d.clients[d.client.LocalAddr()] = d.relay
	d.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() {
		for b := make([]byte, maxRequest); ; {
			if _, _, err := d.relay.ReadFrom(b); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { d.relay.Close(); wg.Wait() })
	return d
}

// channelData is a message as a client sends it.
func channelData(n int) []byte {
	b := binary.BigEndian.AppendUint16([]byte{testChannel >> 8, testChannel & 0xFF}, uint16(n))
	return append(b, make([]byte, n)...)
}

func read(t testing.TB, s *udp.Socket, in []udp.Datagram, n, size int) {
	for n > 0 {
		k, err := s.ReadBatch(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range in[:k] {
			if len(d.Data) != size {
				t.Fatalf("%d bytes, not %d", len(d.Data), size)
			}
		}
		n -= k
	}
}

func TestDataPathDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget on purpose")
	}
	d := newDataPath(t)
	in, message, batch := make([]udp.Datagram, 64), channelData(1200), d.peer.NewBatch()
	round := func() {
		d.HandleSocket(d.socket, message, d.client.LocalAddr())
		read(t, d.peer, in, 1, 1200)
		for range 8 {
			batch.Reserve(d.relay.socket.LocalAddr(), 1200)
			batch.Commit(1200)
		}
		if err := batch.Flush(); err != nil {
			t.Fatal(err)
		}
		read(t, d.client, in, 8, 1204)
	}
	for range 100 { // goroutines and pools settle
		round()
	}
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Fatalf("%v allocations for 1 packet out and 8 back", n)
	}
	if st := d.socket.Stats(); st.GSO && st.MessagesOut*4 > st.DatagramsOut {
		t.Fatalf("%d datagrams went back to the client in %d messages", st.DatagramsOut, st.MessagesOut)
	}
}

func TestChannelDataThatIsRubbish(t *testing.T) {
	d := newDataPath(t)
	for name, b := range map[string][]byte{
		"short":           {0x40, 1},
		"head only":       {0x40, 1, 0, 1},
		"too long":        {0x40, 1, 0, 5, 1, 2, 3, 4},
		"unbound channel": {0x40, 2, 0, 1, 1, 0, 0, 0},
	} {
		before := d.Stats().Malformed.Load()
		d.HandleSocket(d.socket, b, d.client.LocalAddr())
		if d.Stats().Malformed.Load() != before+1 {
			t.Errorf("%s: not counted", name)
		}
	}
	before := d.Stats().Malformed.Load()
	d.HandleSocket(d.socket, channelData(4), netip.MustParseAddrPort("127.0.0.9:9")) // not the client
	d.HandleSocket(d.socket, nil, d.client.LocalAddr())
	if d.Stats().Malformed.Load() != before+2 || d.Stats().ToPeerPackets.Load() != 0 {
		t.Errorf("%d relayed", d.Stats().ToPeerPackets.Load())
	}
	d.relay.unbind(testChannel)
	d.HandleSocket(d.socket, channelData(4), d.client.LocalAddr())
	if d.Stats().ToPeerPackets.Load() != 0 {
		t.Error("relayed by a channel that was unbound")
	}
}

// A full queue drops; it never blocks whoever reads the socket.
func TestFullQueueDrops(t *testing.T) {
	s := &Server{unauthorized: newSources(Rate{}, 1)}
	d := newDatagrams(s)
	allocate := append([]byte{0, 3, 0, 0, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 12)...)
	for range queueSize + 5 {
		d.handle(allocate, client{addr: netip.MustParseAddrPort("192.0.2.1:1")})
	}
	if n := s.stats.QueueDropped.Load(); n != 5 {
		t.Fatalf("%d dropped", n)
	}
}

// One op is one packet of 1,200 bytes; the other end's reading and writing is in it too.
func BenchmarkRelay(b *testing.B) {
	b.Run("floor: one packet sent and read", func(b *testing.B) {
		d := newDataPath(b)
		in, message := make([]udp.Datagram, 64), make([]byte, 1200)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			_ = d.client.WriteTo(message, d.peer.LocalAddr())
			if i%32 == 31 {
				read(b, d.peer, in, 32, 1200)
			}
		}
	})
	b.Run("to peer", func(b *testing.B) {
		d := newDataPath(b)
		in, message := make([]udp.Datagram, 64), channelData(1200)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			d.HandleSocket(d.socket, message, d.client.LocalAddr())
			if i%32 == 31 {
				read(b, d.peer, in, 32, 1200)
			}
		}
	})
	b.Run("from peer, bursts of 8", func(b *testing.B) {
		d := newDataPath(b)
		in, batch := make([]udp.Datagram, 64), d.peer.NewBatch()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			batch.Reserve(d.relay.socket.LocalAddr(), 1200)
			batch.Commit(1200)
			if i%8 == 7 {
				_ = batch.Flush()
			}
			if i%32 == 31 {
				read(b, d.client, in, 32, 1204)
			}
		}
	})
}
