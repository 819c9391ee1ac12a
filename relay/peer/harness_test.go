package peer

import (
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

// stand is a media plane around the peers under test: a socket of theirs, one of their clients, and what they reported.
type stand struct {
	t      testing.TB
	env    *Env
	out    *udp.Outbox
	client *net.UDPConn // all clients
	now    int64

	mu     sync.Mutex
	events []plane.Event
	faults []*Peer
}

func newStand(t testing.TB) *stand {
	t.Helper()
	sockets, err := udp.Listen(udp.Config{Address: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 1})
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(); _ = sockets[0].Close() })
	s := &stand{t: t, client: client, out: udp.NewOutbox(sockets)}
	s.env = &Env{
		Sockets: sockets, Streams: stream.NewDirectory[*stream.Stream](), Channels: stream.NewDirectory[*Channel](),
		Clock: NewClock(), Log: slog.New(slog.DiscardHandler), Metrics: &Metrics{},
		Candidates: func() []plane.Candidate { return nil },
		Routed:     func(*Peer, ice.Path) {}, Credentials: func(*Peer, string) {}, Urgent: func(*Peer) {}, Retired: func(*Peer, string) {},
		Emit:  func(e plane.Event) { s.mu.Lock(); defer s.mu.Unlock(); s.events = append(s.events, e) },
		Fault: func(p *Peer, _ any, _ []byte) { s.mu.Lock(); defer s.mu.Unlock(); s.faults = append(s.faults, p) },
	}
	s.now = s.env.Clock.Now()
	return s
}

// told returns the events of a type.
func (s *stand) told(what plane.EventType) (out []plane.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Type == what {
			out = append(out, e)
		}
	}
	return out
}

// pass lets time go by in steps of the ticker, with what is due done.
func (s *stand) pass(d time.Duration, peers ...*caller) {
	for end := s.now + int64(d); s.now < end; {
		s.now += int64(5 * time.Millisecond)
		for _, c := range peers {
			if c.peer.urgent.Load() {
				c.peer.Drain(s.now, s.out)
			}
			if s.now/int64(5*time.Millisecond)%10 == 0 {
				c.peer.Tick(s.now, s.out)
			}
		}
		_ = s.out.Flush()
	}
}

// caller is a peer whose keys are known, and what its client sends with.
type caller struct {
	s       *stand
	peer    *Peer
	keys    *srtp.Keys // of the client
	senders map[uint32]*srtp.Sender
	index   map[uint32]uint64
	node    *srtp.Keys // of the node, to open what it sends
}

var testKey, testSalt = make([]byte, 16), make([]byte, 14)

func testKeys(t testing.TB, direction byte) *srtp.Keys {
	t.Helper()
	key := slices.Clone(testKey)
	key[0] = direction
	keys, err := srtp.NewKeys(srtp.AES128CMHMACSHA180, key, testSalt)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// newCaller opens a peer and connects it, without a handshake.
func (s *stand) newCaller(id plane.PeerID) *caller {
	p := New(id, plane.PeerOptions{NoMediaTimer: time.Second}, s.env)
	s.t.Cleanup(p.Close)
	c := &caller{s: s, peer: p, keys: testKeys(s.t, 1), node: testKeys(s.t, 2), senders: map[uint32]*srtp.Sender{}, index: map[uint32]uint64{}}
	p.mu.Lock()
	p.handshake, p.in = true, testKeys(s.t, 1)
	p.mu.Unlock()
	p.dest.Store(&ice.Path{Remote: s.client.LocalAddr().(*net.UDPAddr).AddrPort()})
	p.out.Store(testKeys(s.t, 2))
	p.connected()
	p.agent.SetRemote("them", "secret", s.now)
	return c
}

var (
	testVP8 = plane.Codec{Name: "vp8", PayloadType: 96, ClockRate: 90000, RTX: 97, NACK: true, PLI: true, FIR: true, REMB: true}
	testOps = plane.Codec{Name: "opus", PayloadType: 111, ClockRate: 48000}
)

const (
	midID, ridID, repairedID, levelID = 4, 5, 6, 1
)

var testExtensions = []plane.Extension{
	{ID: midID, URI: plane.ExtMid}, {ID: ridID, URI: plane.ExtRID}, {ID: repairedID, URI: plane.ExtRepairedRID}, {ID: levelID, URI: plane.ExtAudioLevel},
}

func videoLine(mid string, d plane.Direction, receive ...plane.Encoding) plane.Line {
	return plane.Line{Mid: mid, Kind: plane.Video, Direction: d, Codecs: []plane.Codec{testVP8}, Extensions: testExtensions, Receive: receive}
}

// negotiate applies a session of these lines.
func (c *caller) negotiate(version uint64, lines ...plane.Line) {
	c.s.t.Helper()
	s := plane.Session{Version: version, Remote: plane.Transport{Ufrag: "them", Pwd: "secret"}, Setup: plane.Active, Lines: lines}
	if err := c.peer.Negotiate(s); err != nil {
		c.s.t.Fatal(err)
	}
}

func (c *caller) publish(pubs ...plane.Publication) {
	c.s.t.Helper()
	if err := c.peer.Publish(pubs); err != nil {
		c.s.t.Fatal(err)
	}
}

func publication(mid string) plane.Publication {
	return plane.Publication{Mid: mid, Stream: plane.StreamID{Room: "r", Publisher: "p", Mid: mid}}
}

// packet is one packet of a client.
type packet struct {
	ssrc       uint32
	seq        uint16
	stamp      uint32
	pt         uint8
	mid, rid   string
	repaired   string // repaired rid
	payload    []byte
	key        bool
	rollover   uint64
	extensions map[uint8][]byte
}

// write makes the packet without encryption.
func (p *packet) write() (b []byte, headerLen int) {
	if p.pt == 0 {
		p.pt = 96
	}
	w := rtp.NewExtWriter(rtp.AppendHeader(nil, &rtp.Header{PayloadType: p.pt, SequenceNumber: p.seq, Timestamp: p.stamp, SSRC: p.ssrc, Marker: true}))
	for id, v := range map[uint8]string{midID: p.mid, ridID: p.rid, repairedID: p.repaired} {
		if v != "" {
			w.Add(id, []byte(v))
		}
	}
	for id, v := range p.extensions {
		w.Add(id, v)
	}
	b = w.End()
	headerLen = len(b)
	payload := p.payload
	if payload == nil {
		payload = picture(p.key)
	}
	return append(b, payload...), headerLen
}

// picture is a VP8 frame in one packet.
func picture(key bool) []byte {
	if key {
		return append([]byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a}, []byte{64, 1, 180, 0, 'k'}...)
	}
	return []byte{0x10, 0x11, 0, 0, 'd'}
}

// send brings an authentic packet to the peer, and its stream to the sinks.
func (c *caller) send(p packet) (fed bool) {
	c.s.t.Helper()
	b, n := p.write()
	sender := c.senders[p.ssrc]
	if sender == nil {
		sender = c.keys.NewSender(p.ssrc)
		c.senders[p.ssrc] = sender
	}
	b = sender.Protect(slices.Grow(b, 32), n, p.rollover<<16|uint64(p.seq))
	s := c.peer.HandleRTP(b, c.s.now)
	if s != nil {
		s.Flush(c.s.now, c.s.out)
		_ = c.s.out.Flush()
	}
	return s != nil
}

// sendRTCP brings authentic RTCP to the peer.
func (c *caller) sendRTCP(b []byte) {
	c.peer.HandleRTCP(c.keys.ProtectRTCP(nil, b), c.s.now, c.s.out)
	_ = c.s.out.Flush()
}

// got reads what the clients were sent so far: media that is opened, and RTCP.
func (c *caller) got() (media []rtp.Header, control []rtcp.Packet) {
	c.s.t.Helper()
	_ = c.s.out.Flush()
	receivers := map[uint32]*srtp.Receiver{}
	for {
		b := make([]byte, 1600)
		_ = c.s.client.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // what was sent is in the socket's buffer
		n, err := c.s.client.Read(b)
		if err != nil {
			return media, control
		}
		b = b[:n]
		if rtcp.IsRTCP(b) {
			compound, err := c.node.OpenRTCP(nil, b)
			if err != nil {
				c.s.t.Fatalf("RTCP of the node: %v", err)
			}
			for len(compound) > 0 {
				var p rtcp.Packet
				if p, compound, err = rtcp.Next(compound); err != nil {
					c.s.t.Fatal(err)
				}
				control = append(control, p)
			}
			continue
		}
		var h rtp.Header
		if err := rtp.Parse(b, &h); err != nil {
			c.s.t.Fatal(err)
		}
		r := receivers[h.SSRC]
		if r == nil {
			r = c.node.NewReceiver(h.SSRC)
			receivers[h.SSRC] = r
		}
		if _, _, err := r.Open(b[h.Len:], b, h.Len); err != nil {
			c.s.t.Fatalf("packet %d of SSRC %d: %v", h.SequenceNumber, h.SSRC, err)
		}
		media = append(media, h)
	}
}

// recorder is a sink that keeps what it is handed.
type recorder struct {
	seqs   []int64
	stamps []uint32
	ssrcs  []uint32
	layers []uint8
	panics bool
}

func (r *recorder) Layers(int64) uint8 { return 1<<stream.MaxLayers - 1 }

func (r *recorder) Forward(burst []*stream.Packet, _ int64, _ *udp.Outbox) {
	if r.panics {
		panic("a sink that fails")
	}
	for _, p := range burst {
		r.seqs, r.stamps = append(r.seqs, p.Seq), append(r.stamps, p.Timestamp)
		r.ssrcs, r.layers = append(r.ssrcs, p.SSRC), append(r.layers, p.Layer)
	}
}

// record makes a recorder of a stream.
func (s *stand) record(mid string) *recorder {
	s.t.Helper()
	r := &recorder{}
	of := s.env.Streams.Get(publication(mid).Stream)
	if of == nil {
		s.t.Fatalf("nobody publishes %q", mid)
	}
	of.AddSink(r)
	return r
}

// rtxPayload is the payload of a retransmission (RFC 4588).
func rtxPayload(original uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, original), payload...)
}
