package peer

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

// benchEnv is an environment whose one socket sends to a socket that nobody reads: the kernel drops, as a device would.
func benchEnv(b *testing.B) (*Env, netip.AddrPort) {
	b.Helper()
	sockets, err := udp.Listen(udp.Config{Address: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 1, WriteBuffer: 4 << 20})
	if err != nil {
		b.Fatal(err)
	}
	drain, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	_ = drain.SetReadBuffer(1) // the least there is
	b.Cleanup(func() { _ = drain.Close(); _ = sockets[0].Close() })
	return &Env{
		Sockets: sockets, Streams: stream.NewDirectory[*stream.Stream](), Channels: stream.NewDirectory[*Channel](),
		Clock: NewClock(), Log: slog.New(slog.DiscardHandler), Metrics: &Metrics{},
		Candidates: func() []plane.Candidate { return nil }, Emit: func(plane.Event) {},
		Routed: func(*Peer, ice.Path) {}, Credentials: func(*Peer, string) {}, Urgent: func(*Peer) {},
	}, drain.LocalAddr().(*net.UDPAddr).AddrPort()
}

var benchCodec = plane.Codec{Name: "vp8", PayloadType: 96, ClockRate: 90000, RTX: 97, NACK: true, PLI: true, TransportCC: true}

// benchSubscriber is a connected peer that watches the stream.
func benchSubscriber(b *testing.B, env *Env, id plane.StreamID, to netip.AddrPort, profile srtp.Profile, n int) *Peer {
	b.Helper()
	keys, err := srtp.NewKeys(profile, make([]byte, profile.KeyLen()), make([]byte, profile.SaltLen()))
	if err != nil {
		b.Fatal(err)
	}
	p := New(plane.PeerID(fmt.Sprint("subscriber", n)), plane.PeerOptions{}, env)
	p.dest.Store(&ice.Path{Remote: to})
	p.out.Store(keys)
	p.handshake = true // done, as it were
	line := plane.Line{
		Mid: "0", Kind: plane.Video, Direction: plane.SendOnly, Codecs: []plane.Codec{benchCodec}, SSRC: uint32(1000 + n), RTX: uint32(5000 + n), //nolint:gosec // small
		Extensions: []plane.Extension{{ID: 4, URI: plane.ExtMid}, {ID: 2, URI: plane.ExtAbsSendTime}, {ID: 3, URI: plane.ExtTransportCC}},
	}
	if err := p.Negotiate(plane.Session{Version: 1, Lines: []plane.Line{line}}); err != nil {
		b.Fatal(err)
	}
	if err := p.Subscribe([]plane.Subscription{{Mid: "0", Stream: id, Substream: -1, Temporal: -1, SpatialLayer: -1, TemporalSVC: -1}}); err != nil {
		b.Fatal(err)
	}
	for _, l := range p.lines {
		l.down.ready()
	}
	return p
}

// BenchmarkFanOut forwards a frame of seven packets, as a browser at 2 Mbit/s sends 30 a second, to many subscribers. It
// reports the cost of one forwarded packet: rewriting, encryption and the kernel's send.
func BenchmarkFanOut(b *testing.B) {
	for _, profile := range []srtp.Profile{srtp.AEADAES128GCM, srtp.AES128CMHMACSHA180} {
		for _, subscribers := range []int{10, 100} {
			b.Run(fmt.Sprintf("%v/%d", profile, subscribers), func(b *testing.B) { benchFanOut(b, profile, subscribers) })
		}
	}
}

func benchFanOut(b *testing.B, profile srtp.Profile, subscribers int) {
	const burst, size = 7, 1180
	env, to := benchEnv(b)
	id := plane.StreamID{Room: "r", Publisher: "p", Mid: "0"}
	s := stream.New(stream.Config{ID: id, Kind: plane.Video, Codecs: []plane.Codec{benchCodec}, Layers: 1})
	env.Streams.Publish(id, s)
	for n := range subscribers {
		benchSubscriber(b, env, id, to, profile, n)
	}
	out := udp.NewOutbox(env.Sockets)
	seq := int64(0)
	frame := func(keyframe bool, now int64) {
		for i := range burst {
			slot := s.Reserve(0, size)
			slot[0] = 0x80 // X
			if i == 0 {
				slot[0] |= 0x10 // S
			}
			slot[1], slot[2], slot[3] = 0x80, 0x80|byte(seq>>8)&0x7f, byte(seq) // picture id, 15 bits
			slot[4] = 1
			if keyframe && i == 0 {
				copy(slot[4:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a})
				binary.LittleEndian.PutUint32(slot[10:], 360<<16|640)
			}
			seq++
			h := rtp.Header{PayloadType: 96, SequenceNumber: uint16(seq), Timestamp: uint32(now / 1e9 * 90000), Marker: i == burst-1} //nolint:gosec // modular
			s.Commit(0, &h, seq, size, now, false)
		}
		s.Flush(now, out)
		_ = out.Flush()
	}
	frame(true, env.Clock.Now())
	b.ReportAllocs()
	before := env.Metrics.PacketsOut.Load()
	b.ResetTimer()
	for b.Loop() {
		frame(false, env.Clock.Now())
	}
	b.StopTimer()
	sent := env.Metrics.PacketsOut.Load() - before
	if want := uint64(b.N * burst * subscribers); sent < want*9/10 { //nolint:gosec // positive
		b.Fatalf("%d packets forwarded, want about %d", sent, want)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sent), "ns/packet")
	st := env.Sockets[0].Stats()
	b.Logf("%+v", st)
}
