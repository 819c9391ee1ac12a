package relay

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
	"cardea/relay/stream"
)

// receiver is what a media plane forwards to: a socket for RTP, and one for RTCP.
type receiver struct {
	t         *testing.T
	relay     *Relay
	rtp, rtcp *net.UDPConn
}

func newReceiver(t *testing.T, r *Relay, host string) *receiver {
	t.Helper()
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(host)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return &receiver{t: t, relay: r, rtp: listen(), rtcp: listen()}
}

func portOf(c *net.UDPConn) uint16 { return c.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

// forward has a substream forwarded to the receiver, and returns the port that takes its RTCP.
func (d *receiver) forward(id string, f plane.Forwarder) uint16 {
	d.t.Helper()
	f.ID, f.Stream, f.Address, f.RTCPPort = id, plane.StreamID{Room: "r", Publisher: "p", Mid: "0"}, d.rtp.LocalAddr().String(), portOf(d.rtcp)
	port, err := d.relay.Forward(d.t.Context(), f)
	if err != nil {
		d.t.Fatal(err)
	}
	return port
}

// read returns the next packet that came to a socket, and from where.
func (d *receiver) read(c *net.UDPConn) ([]byte, netip.AddrPort) {
	d.t.Helper()
	b := make([]byte, 1600)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		d.t.Fatal(err)
	}
	return b[:n], from
}

// TestForwardKeyframes: who is forwarded to may ask for keyframes, of what it is sent, from any port of its host; nobody else may.
func TestForwardKeyframes(t *testing.T) {
	r, _ := serve(t)
	d := newReceiver(t, r, "127.0.0.1")
	s := stream.New(stream.Config{
		ID: plane.StreamID{Room: "r", Publisher: "p", Mid: "0"}, Kind: plane.Video, Layers: 3,
		Codecs: []plane.Codec{{Name: "vp8", PayloadType: 96, ClockRate: 90000}},
	})
	r.env.Streams.Publish(s.Config().ID, s)
	out := r.newLoop(0).out
	port := d.forward("low", plane.Forwarder{Substream: 0})
	d.forward("high", plane.Forwarder{Substream: 2, SSRC: 77})
	media := r.sockets[0].LocalAddr()
	if port != media.Port() {
		t.Errorf("RTCP is taken at port %d, media at %v", port, media)
	}
	for range 2 { // of the first substream alone, as Janus does
		b, from := d.read(d.rtcp)
		var h rtp.Header
		if err := rtp.Parse(b, &h); err != nil || len(b) != rtp.HeaderSize || from != media {
			t.Errorf("what tells the receiver where to send RTCP: %x from %v, %v", b, from, err)
		}
	}
	for layer, ssrc := range []uint32{11, 22, 33} {
		payload := []byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0, 7}
		copy(s.Reserve(layer, len(payload)), payload)
		s.Commit(layer, &rtp.Header{PayloadType: 96, SSRC: ssrc}, 1, len(payload), 1, false)
	}
	s.Flush(1, out)
	_ = out.Flush()
	for range 2 {
		_, _ = d.read(d.rtp)
	}

	elsewhere := newReceiver(t, r, "127.0.0.2")
	// send sends RTCP to the media port, and something that is counted behind it, so that it has been looked at.
	send := func(c *net.UDPConn, b []byte) uint8 {
		t.Helper()
		for _, f := range r.forwarders {
			f.asked.Store(0)
		}
		s.KeyframesAsked(0xff)
		rubbish := r.metrics.Rubbish.Load()
		for _, b := range [][]byte{b, {255}} {
			if _, err := c.WriteToUDPAddrPort(b, media); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "the packets were not read", func() bool { return r.metrics.Rubbish.Load() > rubbish })
		return s.KeyframesWanted()
	}
	receiverReport := rtcp.AppendReceiverReport(nil, 1, nil)
	encrypted := append(rtcp.AppendPLI(nil, 1, 0x9a7b3c11), 0x80, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9)
	for _, c := range []struct {
		name   string
		from   *net.UDPConn
		packet []byte
		want   uint8
	}{
		{"PLI for the lowest", d.rtcp, rtcp.AppendPLI(nil, 1, 11), 0b001},
		{"PLI for the highest, which has an SSRC of its own", d.rtcp, rtcp.AppendPLI(nil, 1, 77), 0b100},
		{"FIR", d.rtcp, rtcp.AppendFIR(nil, 1, 77, 1), 0b100},
		{"a compound packet", d.rtcp, rtcp.AppendPLI(receiverReport, 1, 77), 0b100},
		{"another port of the host", d.rtp, rtcp.AppendPLI(nil, 1, 11), 0b001},
		{"no SSRC that we know, from the RTCP port", d.rtcp, rtcp.AppendPLI(nil, 1, 0), 0b101},
		{"encrypted, from the RTCP port", d.rtcp, encrypted, 0b101},
		{"no SSRC that we know, from another port", d.rtp, rtcp.AppendPLI(nil, 1, 22), 0},
		{"a report", d.rtcp, receiverReport, 0},
		{"another host", elsewhere.rtcp, rtcp.AppendPLI(nil, 1, 11), 0},
		{"cut short", d.rtcp, rtcp.AppendPLI(nil, 1, 11)[:8], 0},
	} {
		if got := send(c.from, c.packet); got != c.want {
			t.Errorf("%s: keyframes wanted of %03b, not %03b", c.name, got, c.want)
		}
	}

	for _, id := range []string{"low", "high"} {
		if err := r.StopForward(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if got := send(d.rtcp, rtcp.AppendPLI(nil, 1, 11)); got != 0 || len(*r.receivers.byHost.Load()) != 0 {
		t.Errorf("after the end: keyframes wanted of %03b, hosts %v", got, *r.receivers.byHost.Load())
	}
}

// TestForwardKeyframeRate: a receiver's requests reach the stream at a bounded rate, and a datagram of them costs what a few do.
func TestForwardKeyframeRate(t *testing.T) {
	r := newRelay(t)
	t.Cleanup(r.Release)
	asked := 0
	s := stream.New(stream.Config{Kind: plane.Video, RequestKeyframe: func(int) { asked++ }})
	f := &forwarder{to: netip.MustParseAddrPort("192.0.2.1:9"), cfg: plane.Forwarder{RTCPPort: 10}, stream: s}
	r.receivers.add(f)
	var flood []byte
	for range 100 {
		flood = rtcp.AppendPLI(flood, 1, 5)
	}
	from := netip.MustParseAddrPort("192.0.2.1:10")
	for now := int64(1); now <= int64(time.Second); now += int64(5 * time.Millisecond) {
		if !r.receivers.feedback(flood, from, now) {
			t.Fatal("it is a stranger's")
		}
	}
	if asked != 10 {
		t.Errorf("%d requests in a second", asked)
	}
	if n := testing.AllocsPerRun(10, func() { r.receivers.feedback(flood, from, 2e9) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
