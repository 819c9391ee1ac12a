package link

import (
	"bytes"
	"strings"
	"testing"

	"cardea/relay/plane"
	"cardea/relay/shield/queue"
	"cardea/relay/stream"
)

func TestParts(t *testing.T) {
	room := make([]byte, queue.MaxPacket+2*partHeader)
	var h halves
	for i, size := range []int{1, 2, 3, 1243, queue.MaxPacket - 1, queue.MaxPacket} {
		want := bytes.Repeat([]byte{byte(i + 1)}, size)
		first, second := cut(room, want, uint16(i))
		if first[0] != wirePart || second[0] != wirePart || len(second) > len(first) || len(first) > size/2+1+partHeader {
			t.Errorf("%d bytes are cut into %d and %d", size, len(first), len(second))
		}
		for _, order := range [][2][]byte{{first, second}, {second, first}} {
			if size == 1 {
				continue // there is no second part of it to speak of
			}
			if h.join(bytes.Clone(order[0][1:])) != nil {
				t.Error("half a datagram")
			}
			if got := h.join(bytes.Clone(order[1][1:])); !bytes.Equal(got, want) {
				t.Errorf("%d bytes are joined to %d", size, len(got))
			}
		}
	}
	for i := range 5 * maxHalves { // what never becomes whole makes room
		h.join([]byte{byte(i), 0, 0, 1})
	}
	first, second := cut(room, []byte("hello"), 9999)
	h.join(first[1:])
	if got := h.join(second[1:]); string(got) != "hello" {
		t.Errorf("%q", got)
	}
}

// A packet that QUIC does not take whole yet arrives from the first moment on.
func TestLargeAtOnce(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	l, back := a.to(t, b), b.to(t, a)
	k := &sink{}
	next := stream.New(config(plane.Audio, 1, true))
	next.AddSink(k)
	flow := back.NewFlow()
	back.Import(flow, next)
	s := stream.New(config(plane.Audio, 1, false))
	l.Export(flow, s, 1)
	publish(s, 0, 1, 1400, 1)
	s.Flush(1, nil)
	eventually(t, "it does not arrive", func() bool { return k.len() == 1 })
	if p := k.all()[0]; len(p.Payload) != 1400 || p.Level != 0x81 || l.Stats().Cut != 1 {
		t.Errorf("%d bytes, level %x, %+v", len(p.Payload), p.Level, l.Stats())
	}
}

func FuzzParts(f *testing.F) {
	f.Add([]byte("abc0"), []byte("abc1"))
	f.Add([]byte{0, 1, 0, 'a'}, []byte{0, 1, 1, 'b'})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var h halves
		if h.join(bytes.Clone(a)) != nil {
			t.Error("one part is a whole")
		}
		if got := h.join(bytes.Clone(b)); got != nil && len(got) != len(a)+len(b)-2*(partHeader-1) {
			t.Errorf("%d bytes of %d and %d", len(got), len(a), len(b))
		}
	})
}

// Ten thousand flows on a link: ids are small and unique, packets find theirs, and none of it grows.
func TestManyFlows(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	a.to(t, b)
	back := b.to(t, a)
	const flows, streams = 10000, 50
	var into [streams]*stream.Stream
	for i := range into {
		into[i] = stream.New(config(plane.Audio, 1, true))
	}
	s := stream.New(config(plane.Audio, 1, false))
	k := &capture{}
	s.AddSink(k)
	imports := map[uint64]*Import{}
	for i := range flows {
		flow := back.NewFlow()
		if imports[flow] != nil || flow >= 4*maxFlows {
			t.Fatalf("flow %d", flow)
		}
		imports[flow] = back.Import(flow, into[i%streams])
	}
	seq := int64(0)
	for flow, i := range imports {
		k.flow = flow
		seq++
		publish(s, 0, seq, 100, 1)
		s.Flush(1, nil)
		back.flows.mu.Lock()
		back.datagram(k.b, 1)
		back.flush(1)
		back.flows.mu.Unlock()
		if st := i.Stats(); st.Packets != 1 {
			t.Fatalf("flow %d: %+v", flow, st)
		}
	}
	for _, i := range imports {
		i.Close()
	}
	if n := len(back.flows.of); n != 0 || back.flows.any() || len(b.feeds.of) != 0 {
		t.Errorf("%d flows and %d feeds stay", n, len(b.feeds.of))
	}
}

// A member that floods its link with all it has keeps nobody else from theirs.
func TestFlood(t *testing.T) {
	c := newCluster(t)
	n, good, bad := c.node(), c.node(), c.node()
	l, flood := good.to(t, n), bad.to(t, n)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		big := strings.Repeat("flood ", 200)
		for {
			select {
			case <-stop:
				return
			case <-flood.Done():
				return
			default:
			}
			for range 20 {
				_ = flood.SendDatagram(queue.Feedback, []byte(big[:MaxDatagram]))
				_ = flood.Notify(4711, []byte(big))
				if s, err := flood.conn.OpenStream(); err == nil {
					_, _ = s.Write([]byte{0, 200})
				}
			}
		}
	}()
	for i := range 30 {
		if reply, err := l.Call(t.Context(), kindEcho, []byte("still there")); err != nil || string(reply) != "still there" {
			t.Fatalf("call %d: %v", i, err)
		}
		_ = l.Notify(kindText, []byte("x"))
	}
	eventually(t, "notices do not arrive", func() bool { return len(n.notice) == 30 })
	close(stop)
	<-done
	if l.closed() {
		t.Errorf("the other link ended: %v", l.Err())
	}
}
