package peer

import (
	"testing"

	"cardea/relay/plane"
	"cardea/relay/rtcp"
)

// busy is a peer with everything there is: simulcast received, sound received, pictures sent.
func busy(t testing.TB) *caller {
	s := newStand(t)
	pub, sub := s.pair()
	sound := plane.Line{Mid: "a", Kind: plane.Audio, Direction: plane.RecvOnly, Codecs: []plane.Codec{testOps}, Extensions: testExtensions}
	extensions := append([]plane.Extension{{ID: 3, URI: plane.ExtTransportCC}, {ID: 7, URI: plane.ExtDependencyDescriptor}, {ID: 8, URI: plane.ExtAbsCaptureTime}}, testExtensions...)
	simulcast := videoLine("s", plane.RecvOnly, three...)
	simulcast.Extensions = extensions
	sub.negotiate(2, sendLine("w", 1000, 1001), simulcast, sound)
	p := publication("a")
	p.Talking = &plane.Talking{Packets: 1, Level: 50}
	sub.publish(publication("s"), p)
	pub.send(packet{ssrc: 1, seq: 1, key: true})
	sub.send(packet{ssrc: 2, seq: 1, mid: "s", rid: "m", key: true})
	sub.send(packet{ssrc: 3, seq: 1, pt: 111, payload: []byte("sound")})
	return sub
}

// FuzzRTP brings arbitrary packets to a peer, from somebody who knows the keys and from somebody who does not.
func FuzzRTP(f *testing.F) {
	for _, p := range []packet{
		{ssrc: 2, seq: 2},
		{ssrc: 9, mid: "s", rid: "x"},
		{ssrc: 9, mid: "s", repaired: "m", pt: 97, payload: rtxPayload(1, picture(true))},
		{ssrc: 0, pt: 127},
		{ssrc: 3, seq: 30000, pt: 111},
		{ssrc: 9, mid: "z"},
		{ssrc: 9, pt: 97, payload: []byte{1}},
	} {
		b, n := p.write()
		f.Add(b, n)
	}
	f.Add([]byte{0xb0, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 0, 0, 0}, 20)
	c := busy(f)
	f.Fuzz(func(t *testing.T, b []byte, header int) {
		c.s.now += int64(1e6)
		_ = c.peer.HandleRTP(append([]byte(nil), b...), c.s.now)
		if len(b) >= 12 && header >= 12 && header <= len(b) {
			ssrc := uint32(b[8])<<24 | uint32(b[9])<<16 | uint32(b[10])<<8 | uint32(b[11])
			seq := uint64(b[2])<<8 | uint64(b[3])
			sealed := c.keys.NewSender(ssrc).Protect(append(make([]byte, 0, len(b)+32), b...), header, seq)
			if s := c.peer.HandleRTP(sealed, c.s.now); s != nil {
				s.Flush(c.s.now, c.s.out)
			}
		}
		c.peer.Drain(c.s.now, c.s.out)
		_ = c.s.out.Flush()
		if n := len(c.peer.sources); n > maxSources || len(c.peer.receivers) > 2*maxSources {
			t.Fatalf("%d sources, %d receivers", n, len(c.peer.receivers))
		}
		if len(c.s.faults) > 0 {
			t.Fatal("a sink panicked")
		}
	})
}

// FuzzRTCP brings arbitrary RTCP to a peer, from somebody who knows the keys and from somebody who does not.
func FuzzRTCP(f *testing.F) {
	f.Add(rtcp.AppendPLI(nil, 1, 1000))
	f.Add(rtcp.AppendFIR(nil, 1, 1000, 3))
	f.Add(rtcp.AppendNACK(nil, 1, 1000, []uint16{1, 2, 3, 40000}))
	f.Add(rtcp.AppendREMB(nil, 1, 1<<40, []uint32{1000}))
	f.Add(rtcp.AppendReceiverReport(nil, 1, []rtcp.ReportBlock{{SSRC: 1000, LastSR: 1, DelaySinceSR: 1 << 31, Lost: -1}}))
	f.Add(rtcp.AppendSenderReport(nil, 2, rtcp.SenderInfo{NTP: 1<<64 - 1, RTP: 1}, nil))
	f.Add(append([]byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0xff, 0xff, 0, 0, 0, 0}, 0x3f, 0xff, 0xff, 0xff))
	c := busy(f)
	f.Fuzz(func(_ *testing.T, b []byte) {
		c.s.now += int64(1e6)
		c.peer.HandleRTCP(append([]byte(nil), b...), c.s.now, c.s.out)
		if len(b) >= 8 && len(b) < 1400 {
			c.sendRTCP(b)
		}
		c.peer.Drain(c.s.now, c.s.out)
		c.peer.Tick(c.s.now, c.s.out)
		_ = c.s.out.Flush()
	})
}
