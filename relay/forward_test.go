package relay

import (
	"net"
	"slices"
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

// forwarded is a forwarder's destination with a stream that is its source.
type forwarded struct {
	t      *testing.T
	relay  *Relay
	out    *udp.Outbox
	socket *net.UDPConn
	stream *stream.Stream
	opener func(ssrc uint32) *srtp.Receiver // nil for plain RTP
	opened map[uint32]*srtp.Receiver
}

var forwardID = plane.StreamID{Room: "r", Publisher: "p", Mid: "0"}

func newForwarded(t *testing.T, f plane.Forwarder) *forwarded {
	t.Helper()
	r := newRelay(t)
	t.Cleanup(r.Release)
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	f.ID, f.Stream, f.Address = "f", forwardID, socket.LocalAddr().String()
	if _, err := r.Forward(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	d := &forwarded{t: t, relay: r, out: udp.NewOutbox(r.sockets), socket: socket, opened: map[uint32]*srtp.Receiver{}}
	if f.SRTPSuite != 0 {
		keys, err := srtp.NewKeys(srtp.AES128CMHMACSHA180, f.SRTPKey[:16], f.SRTPKey[16:])
		if err != nil {
			t.Fatal(err)
		}
		d.opener = keys.NewReceiver
	}
	d.publish()
	return d
}

// publish puts a new stream in the place of the last.
func (d *forwarded) publish() {
	d.stream = stream.New(stream.Config{ID: forwardID, Kind: plane.Video, Codecs: []plane.Codec{{Name: "vp8", PayloadType: 96, ClockRate: 90000}}, Layers: 2})
	d.relay.env.Streams.Publish(forwardID, d.stream)
}

// send has the stream receive a packet, and returns what the destination got of it.
func (d *forwarded) send(layer int, ssrc uint32, seq int64, key bool) (h rtp.Header, ok bool) {
	d.t.Helper()
	payload := []byte{0x10, 0x11, 0, 0, 7}
	if key {
		payload = []byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0, 7}
	}
	slot := d.stream.Reserve(layer, len(payload))
	copy(slot, payload)
	d.stream.Commit(layer, &rtp.Header{PayloadType: 96, SSRC: ssrc, Timestamp: uint32(seq) * 3000}, seq, len(payload), seq*1e6, false) //nolint:gosec // modular
	d.stream.Flush(seq*1e6, d.out)
	_ = d.out.Flush()
	b := make([]byte, 1600)
	_ = d.socket.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // it is in the socket's buffer, or does not come
	n, err := d.socket.Read(b)
	if err != nil {
		return h, false
	}
	if err := rtp.Parse(b[:n], &h); err != nil {
		d.t.Fatal(err)
	}
	got := b[h.Len:n]
	if d.opener != nil {
		if d.opened[h.SSRC] == nil {
			d.opened[h.SSRC] = d.opener(h.SSRC)
		}
		size, _, err := d.opened[h.SSRC].Open(got, b[:n], h.Len)
		if err != nil {
			d.t.Fatalf("packet %d of SSRC %d: %v", h.SequenceNumber, h.SSRC, err)
		}
		got = got[:size]
	}
	if !slices.Equal(got, payload) {
		d.t.Fatalf("payload %x, want %x", got, payload)
	}
	return h, true
}

func (d *forwarded) want(h rtp.Header, ok bool, ssrc uint32, seq uint16) {
	d.t.Helper()
	if !ok || h.SSRC != ssrc || h.SequenceNumber != seq {
		d.t.Fatalf("%v: SSRC %d, number %d; want %d, %d", ok, h.SSRC, h.SequenceNumber, ssrc, seq)
	}
}

// TestForwardSRTP: a receiver of SRTP can follow whatever happens to the stream, though it is told of no rollover: a stream
// that is joined late, a mute, another publisher, another substream.
func TestForwardSRTP(t *testing.T) {
	for name, fixed := range map[string]uint32{"the publisher's SSRC": 0, "an SSRC of its own": 77} {
		t.Run(name, func(t *testing.T) {
			d := newForwarded(t, plane.Forwarder{SRTPSuite: 80, SRTPKey: make([]byte, 30), Substream: -1, SSRC: fixed, PayloadType: 100})
			ssrc := func(own uint32) uint32 {
				if fixed != 0 {
					return fixed
				}
				return own
			}
			h, ok := d.send(0, 1, 3<<16+500, true) // joined late
			d.want(h, ok, ssrc(1), 500)
			if h.PayloadType != 100 {
				t.Errorf("payload type %d", h.PayloadType)
			}
			h, ok = d.send(0, 1, 3<<16+503, false)
			d.want(h, ok, ssrc(1), 503)
			h, ok = d.send(0, 1, 3<<16+502, false) // late
			d.want(h, ok, ssrc(1), 502)
			d.stream.SetMuted(true)
			if _, ok = d.send(0, 1, 3<<16+504, false); ok {
				t.Error("a muted packet came through")
			}
			d.stream.SetMuted(false)
			h, ok = d.send(0, 1, 3<<16+505, true)
			d.want(h, ok, ssrc(1), 504)
			h, ok = d.send(1, 2, 9000, true) // the better substream
			d.want(h, ok, ssrc(2), 505)
			if _, ok = d.send(1, 2, 8999, false); ok {
				t.Error("a number was used twice")
			}
			if _, ok = d.send(0, 1, 3<<16+506, true); ok {
				t.Error("two substreams at once")
			}
			d.publish()
			h, ok = d.send(0, 3, 40, true)
			d.want(h, ok, ssrc(3), 506)
		})
	}
}

// TestForwardSubstream forwards one substream only, as it is, and ends on request.
func TestForwardSubstream(t *testing.T) {
	d := newForwarded(t, plane.Forwarder{Substream: 1})
	if _, ok := d.send(0, 1, 10, true); ok {
		t.Error("the wrong substream")
	}
	h, ok := d.send(1, 2, 65535, true)
	d.want(h, ok, 2, 65535)
	h, ok = d.send(1, 2, 65536, false)
	d.want(h, ok, 2, 0)
	if h.PayloadType != 96 {
		t.Errorf("payload type %d", h.PayloadType)
	}
	for range 2 {
		if err := d.relay.StopForward(t.Context(), "f"); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := d.send(1, 2, 65537, false); ok || d.stream.Sinks() != 0 {
		t.Error("goes on after the end")
	}
}

// TestForwardDemand: a forwarder wants its substream, or the best there is and until that comes the one that it has.
func TestForwardDemand(t *testing.T) {
	d := newForwarded(t, plane.Forwarder{Substream: 0})
	if got := d.stream.Demanded(1e6); got != 0b01 {
		t.Errorf("a forwarder of substream 0 wants %02b", got)
	}
	d = newForwarded(t, plane.Forwarder{Substream: -1})
	if got := d.stream.Demanded(1e6); got != 0b10 {
		t.Errorf("a forwarder of the best wants %02b", got)
	}
	d.stream.Hint(0, 1000, 30, 1e6)
	d.stream.Hint(1, 0, 0, 1e6)
	d.send(0, 1, 10, true)
	if got := d.stream.Demanded(10e6); got != 0b01 {
		t.Errorf("while only the lower one flows: %02b", got)
	}
	d.stream.Hint(1, 1000, 30, 10e6)
	if got := d.stream.Demanded(10e6); got != 0b11 {
		t.Errorf("when the higher one could: %02b", got)
	}
}

// TestFar: what the mesh gets is the media plane's own.
func TestFar(t *testing.T) {
	r := newRelay(t)
	t.Cleanup(r.Release)
	far := r.Far()
	if far.Streams != r.env.Streams || far.Channels != r.env.Channels || far.Fault == nil {
		t.Errorf("%+v", far)
	}
	if a, b := far.Now(), far.Now(); a < 1 || b < a || far.NTP(b)-far.NTP(a) > 1<<32 {
		t.Errorf("times %d and %d", a, b)
	}
	out := far.NewOutbox()
	copy(out.Reserve(0, r.sockets[0].LocalAddr(), 1), "x")
	out.Commit(1)
	if err := out.Flush(); err != nil {
		t.Errorf("outbox for the media sockets: %v", err)
	}
}
