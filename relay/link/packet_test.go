package link

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/codec"
	"cardea/relay/link/wire"
	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/shield/queue"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

func TestEpoch(t *testing.T) {
	for epoch, want := range map[int64]string{
		0: "00", 1: "01", 127: "7f", 128: "0080", -1: "ff", -128: "80", -129: "ff7f", 1 << 20: "100000", 1<<46 - 1: "3fffffffffff", -1 << 46: "c00000000000",
	} {
		b := appendEpoch(nil, epoch)
		if got := hex.EncodeToString(b); got != want {
			t.Errorf("%d is written as %s, want %s", epoch, got, want)
		}
		if back, ok := parseEpoch(b); !ok || back != epoch {
			t.Errorf("%d is read as %d, %v", epoch, back, ok)
		}
	}
	for _, b := range []string{"", "\x40\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x01"} {
		if epoch, ok := parseEpoch([]byte(b)); ok {
			t.Errorf("%x is read as %d", b, epoch)
		}
	}
}

// Whatever is lost or overtakes, both ends agree on the number of each packet that has one.
func TestNumbers(t *testing.T) {
	for name, packets := range map[string]struct {
		from, jump, at int64
		drop           func(i int) bool
		late           int // packets that the one before the jump is overtaken by
		unknown        int
	}{
		"in order":        {from: 5},
		"wraps":           {from: 3<<16 - 100},
		"negative":        {from: -70},
		"large":           {from: 1<<46 - 50},
		"jumps":           {from: 65000, jump: 1 << 16, at: 77},
		"jumps far":       {from: 65000, jump: 900 << 16, at: 77, drop: func(i int) bool { return i >= 77 && i < 90 }},
		"overtaken":       {from: 65000, jump: 1 << 16, at: 77, late: 9},
		"overtaken much":  {from: -77, jump: 1 << 16, at: 77, late: 40},
		"first lost":      {from: 33, drop: func(i int) bool { return i < 20 }, unknown: 64 - 53},
		"every other one": {from: 65530, drop: func(i int) bool { return i%2 == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			var a anchoring
			var n numbering
			a.begin()
			seq, unknown, anchored := packets.from, 0, 0
			var held []byte
			var heldSeq int64
			arrive := func(b []byte, want int64) {
				var h rtp.Header
				if err := rtp.Parse(b, &h); err != nil {
					t.Fatal(err)
				}
				got, ok := n.number(&h)
				if !ok {
					unknown++
				} else if got != want {
					t.Fatalf("packet %d is taken for %d", want, got)
				}
			}
			for i := range 400 {
				if packets.at > 0 && int64(i) == packets.at {
					seq += packets.jump
				}
				p := &stream.Packet{Seq: seq}
				anchor := a.next(p)
				if anchor {
					anchored++
				}
				_, _, b, _ := parseFlow(appendPacket(nil, 1, p, anchor))
				seq++
				if packets.drop != nil && packets.drop(i) {
					continue
				}
				if packets.late > 0 && int64(i) == packets.at-1 {
					held, heldSeq = append(held, b...), p.Seq
					continue
				}
				arrive(b, p.Seq)
				if held != nil && i == int(packets.at)+packets.late {
					arrive(held, heldSeq)
				}
			}
			if unknown != packets.unknown {
				t.Errorf("%d packets without a number", unknown)
			}
			if anchored > 2*anchorFirst+400/anchorEvery+1 {
				t.Errorf("%d packets of 400 carry their number", anchored)
			}
		})
	}
}

// TestPacketBytes pins what other versions read.
func TestPacketBytes(t *testing.T) {
	s := stream.New(config(plane.Video, 2, false))
	k := capture{flow: 5}
	s.AddSink(&k)
	publish(s, 1, 0x12348, 20, 1)
	s.Flush(1, nil)
	const want = "29" + // flow 5, layer 1
		"90602348" + "06aab9e0" + "000003e9" + // payload type 96; number, time stamp, SSRC
		"bede0005" + "2000" + "32000148" + "470000000000012348" + "6001" + "000000" // orientation, delay, capture time, upper bits
	if got := hex.EncodeToString(k.b[:len(k.b)-20]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// capture is a sink that writes packets as they go out.
type capture struct {
	sink
	flow uint64
	b    []byte
}

func (k *capture) Forward(burst []*stream.Packet, _ int64, _ *udp.Outbox) {
	for _, p := range burst {
		k.b = appendPacket(nil, k.flow, p, true)
	}
}

func TestClasses(t *testing.T) {
	for name, c := range map[string]struct {
		kind   plane.Kind
		p      stream.Packet
		layers uint8
		want   queue.Class
	}{
		"audio":                 {plane.Audio, stream.Packet{}, 1, queue.Audio},
		"video":                 {plane.Video, stream.Packet{Info: codec.Info{Temporal: -1, Spatial: -1}}, 1, queue.Base},
		"temporal layer":        {plane.Video, stream.Packet{Info: codec.Info{Temporal: 1}}, 1, queue.Enhancement},
		"spatial layer":         {plane.Video, stream.Packet{Info: codec.Info{Spatial: 1}}, 1, queue.Enhancement},
		"discardable":           {plane.Video, stream.Packet{Info: codec.Info{Discardable: true}}, 1, queue.Enhancement},
		"higher simulcast":      {plane.Video, stream.Packet{Layer: 1}, 3, queue.Enhancement},
		"lowest that is sent":   {plane.Video, stream.Packet{Layer: 2}, 4, queue.Base},
		"lowest of the highest": {plane.Video, stream.Packet{Layer: 2}, 6, queue.Enhancement},
	} {
		if got := classOf(c.kind, &c.p, c.layers); got != c.want {
			t.Errorf("%s: class %d, want %d", name, got, c.want)
		}
	}
}

func TestCompress(t *testing.T) {
	c, err := newCompressor()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	long := bytes.Repeat([]byte("participant "), 1000)
	b, enc := c.pack(long)
	if enc != zstandard || len(b) > len(long)/20 {
		t.Errorf("%d bytes become %d", len(long), len(b))
	}
	if got, err := c.unpack(b, enc, len(long)); err != nil || !bytes.Equal(got, long) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, size := range []int{0, len(long) - 1, len(long) + 1} {
		if _, err := c.unpack(b, enc, size); err == nil {
			t.Errorf("unpacks to %d bytes", size)
		}
	}
	if _, enc := c.pack([]byte("short")); enc != plain {
		t.Error("a short message is compressed")
	}
}

// A relay passes the same bytes on that it got, whatever they say.
func FuzzPacket(f *testing.F) {
	s := stream.New(config(plane.Video, 2, false))
	k := capture{flow: 5}
	s.AddSink(&k)
	for seq := range int64(6) {
		publish(s, 1, seq, 30, 1)
		s.Flush(1, nil)
		f.Add(k.b)
	}
	f.Add(appendReport(nil, 5, 1, 7, 1<<40, 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, layer, rest, ok := parseFlow(b)
		if !ok || layer > 1 {
			return
		}
		var h rtp.Header
		if rtp.Parse(rest, &h) != nil {
			return
		}
		var n numbering
		seq, ok := n.number(&h)
		if !ok {
			return
		}
		s := stream.New(config(plane.Video, 2, true))
		var first, second sink
		s.AddSink(&first)
		k := capture{flow: 9}
		s.AddSink(&k)
		copy(s.Reserve(layer, len(rest)-h.Len), rest[h.Len:])
		s.Commit(layer, &h, seq, len(rest)-h.Len, 1, false)
		s.Flush(1, nil)
		if len(first.packets) == 0 {
			return
		}
		_, layer, rest, _ = parseFlow(k.b)
		if err := rtp.Parse(rest, &h); err != nil {
			t.Fatal(err)
		}
		again, ok := n.number(&h)
		if !ok || again != seq {
			t.Fatalf("number %d is passed on as %d", seq, again)
		}
		s = stream.New(config(plane.Video, 2, true))
		s.AddSink(&second)
		copy(s.Reserve(layer, len(rest)-h.Len), rest[h.Len:])
		s.Commit(layer, &h, again, len(rest)-h.Len, 1, false)
		s.Flush(1, nil)
		if diff := cmp.Diff(first.packets, second.packets); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(wire.Marshal(hello{Version: "1", Features: []string{"a"}, Instance: 5, Last: 7}))
	f.Add(wire.Marshal(hello{Carrier: 3, Generation: 5, Refused: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil {
			return
		}
		again, err := readHello(bytes.NewReader(h.bytes()))
		if diff := cmp.Diff(h, again); err != nil || diff != "" {
			t.Error(err, diff)
		}
	})
}

func FuzzNotice(f *testing.F) {
	c, err := newCompressor()
	if err != nil {
		f.Fatal(err)
	}
	long := bytes.Repeat([]byte("text"), 500)
	b, enc := c.pack(long)
	f.Add(appendNotice(nil, 7, b, enc, len(long)))
	f.Add(appendNotice(nil, 7, []byte("short"), plain, 5))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, payload, err := readNotice(bufio.NewReader(bytes.NewReader(b)), c)
		if err != nil {
			return
		}
		if len(payload) > MaxNotice+8 {
			t.Fatalf("%d bytes", len(payload))
		}
		p, enc := c.pack(payload)
		k2, payload2, err := readNotice(bufio.NewReader(bytes.NewReader(appendNotice(nil, k, p, enc, len(payload)))), c)
		if err != nil || k2 != k || !bytes.Equal(payload, payload2) {
			t.Errorf("kind %d, %d bytes, %v", k2, len(payload2), err)
		}
	})
}

func FuzzCall(f *testing.F) {
	c, err := newCompressor()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(appendMessage(requestHeader{Kind: 7, Wait: 1e9, Length: 3, Size: 3}, []byte("abc")))
	f.Add(appendMessage(replyHeader{Code: 7, Text: "no"}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var h requestHeader
		if readHeader(r, &h) == nil && check(h.Encoding, h.Length, h.Size) == nil && h.Length < 1<<16 && h.Size < 1<<16 {
			if body, err := c.readBody(r, h.Encoding, h.Length, h.Size); err == nil && len(body) != int(h.Size) {
				t.Errorf("%d bytes of %d", len(body), h.Size)
			}
		}
		var reply replyHeader
		_ = readHeader(bytes.NewReader(b), &reply)
	})
}
