package stream

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"cardea/relay/rtp"
)

// sentPacket is a packet of an encoder that has not reached the stream yet.
type sentPacket struct {
	header  rtp.Header
	layer   int
	seq     int64
	payload []byte
	due     int // step at which it arrives; lost when negative
}

// world is two simulcast streams behind a bad network, and a subscriber that does everything subscribers do.
type world struct {
	t        *rapid.T
	streams  [2]*Stream
	sources  [2][]*source
	at       int // stream the viewer is attached to
	v        *viewer
	now      int64
	step     int
	inFlight [2][]sentPacket
	lost     int // packets that did not arrive in time
	paused   bool
}

// send makes one packet, or frame, of an encoder and decides its fate.
func (w *world) send(stream, layer int) {
	f := w.sources[stream][layer]
	n := rapid.IntRange(1, 4).Draw(w.t, "packets")
	key := rapid.IntRange(0, 7).Draw(w.t, "key") == 0
	tid := uint8(0)
	if !key {
		tid = uint8(rapid.IntRange(0, 2).Draw(w.t, "tid"))
	}
	sync := rapid.Bool().Draw(w.t, "sync")
	if tid == 0 {
		f.tl0++
	}
	for i := range n {
		payload := vp8(i == 0, key, sync, tid, f.picture&0x7fff, f.tl0, rapid.IntRange(20, 60).Draw(w.t, "size"))
		due := w.step
		switch fate := rapid.IntRange(0, 19).Draw(w.t, "fate"); {
		case fate == 0:
			due = -1
			w.lost++
		case fate < 4:
			due += fate
			w.lost++ // for a subscriber that has moved on meanwhile
		}
		w.inFlight[stream] = append(w.inFlight[stream], sentPacket{f.header(i == n-1), layer, f.seq, payload, due})
		f.seq++
	}
	f.picture++
	f.stamp += 3000
}

// deliver commits what is due and flushes.
func (w *world) deliver(stream int) {
	s := w.streams[stream]
	w.inFlight[stream] = slices.DeleteFunc(w.inFlight[stream], func(p sentPacket) bool {
		if p.due > w.step {
			return false
		}
		if p.due >= 0 {
			slot := s.Reserve(p.layer, len(p.payload))
			copy(slot, p.payload)
			s.Commit(p.layer, &p.header, p.seq, len(p.payload), w.now, p.due < w.step)
		}
		return true
	})
	s.Flush(w.now, nil)
}

func (w *world) locked(f func()) {
	s := w.streams[w.at]
	s.Lock()
	defer s.Unlock()
	f()
}

// act lets the subscriber do something.
func (w *world) act() {
	track := w.v.track
	switch rapid.IntRange(0, 11).Draw(w.t, "act") {
	case 0:
		w.at = 1 - w.at
		w.v.attach(w.streams[w.at], w.now)
	case 1:
		w.paused = !w.paused
		w.locked(func() { track.SetPaused(w.paused, w.now) })
	case 2, 3:
		substream, temporal := int8(rapid.IntRange(-1, 2).Draw(w.t, "substream")), int8(rapid.IntRange(-1, 2).Draw(w.t, "temporal"))
		w.locked(func() { track.SetTarget(substream, temporal, -1, -1) })
	case 4:
		w.locked(func() {
			if offers := track.Layers(nil); len(offers) > 0 {
				track.SetLimit(offers[rapid.IntRange(0, len(offers)-1).Draw(w.t, "limit")])
			}
		})
	case 5:
		w.locked(track.Hold)
	case 6:
		muted := w.streams[w.at]
		muted.SetMuted(true)
		w.deliver(w.at)
		muted.SetMuted(false)
	case 7, 8:
		w.nack()
	}
}

// nack asks for some of the last numbers.
func (w *world) nack() {
	last := w.v.track.numbers.next
	seq := uint16(last - int64(rapid.IntRange(1, 40).Draw(w.t, "back")))
	pkt, header, index, rtx, ok := w.v.nack(seq, w.now, 0)
	if ok && !rtx {
		format := w.v.track.stream.formats[96]
		w.v.receive(pkt, header, index, format)
	}
}

// check looks at everything the subscriber got.
func (w *world) check() {
	byNumber := make(map[uint64]rtpPacket)
	for _, p := range w.v.got {
		byNumber[p.index] = p
	}
	numbers := slices.Sorted(maps.Keys(byNumber))
	if len(numbers) == 0 {
		return
	}
	if missing := int(numbers[len(numbers)-1]-numbers[0]) + 1 - len(numbers); missing > w.lost && !w.v.lossy {
		w.t.Fatalf("%d numbers never used, %d packets lost or late", missing, w.lost)
	}
	stamps := make(map[uint16]uint32) // by picture
	var last rtpPacket
	for i, n := range numbers {
		p := byNumber[n]
		if len(p.payload) == 0 {
			continue
		}
		if i > 0 && last.payload != nil {
			if d := int32(p.Timestamp - last.Timestamp); d < 0 {
				w.t.Fatalf("number %d: timestamp runs back by %d", n, -d)
			}
			if d := (p.info.PictureID - last.info.PictureID) & 0x7fff; d > 0x4000 {
				w.t.Fatalf("number %d: picture %d after %d", n, p.info.PictureID, last.info.PictureID)
			}
		}
		if was, ok := stamps[p.info.PictureID]; ok && was != p.Timestamp {
			w.t.Fatalf("picture %d has timestamps %d and %d", p.info.PictureID, was, p.Timestamp)
		}
		stamps[p.info.PictureID] = p.Timestamp
		last = p
	}
}

func newWorld(t *rapid.T, tb testing.TB, rtx uint32) *world {
	w := &world{t: t, now: ms}
	for i := range w.streams {
		s, f, _ := newVideo(tb, 3)
		w.streams[i], w.sources[i] = s, f
		for _, src := range f {
			src.seq = rapid.Int64Range(0, 1<<33).Draw(t, "seq")
			src.stamp = rapid.Uint32().Draw(t, "stamp")
			src.picture = rapid.Uint16Range(0, 0x7fff).Draw(t, "picture")
		}
	}
	cfg := videoConfig()
	cfg.RTX = rtx
	w.v = newViewer(tb, cfg)
	w.v.attach(w.streams[0], w.now)
	return w
}

// TestTrackProperty: whatever is lost, reordered, dropped, switched, paused, held back and asked for again, no number is
// used for two packets or left out without a loss, and neither timestamps nor picture ids run backwards.
func TestTrackProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, t, 0)
		steps := rapid.IntRange(10, 120).Draw(rt, "steps")
		for w.step = 1; w.step <= steps; w.step++ {
			for stream := range w.streams {
				for layer := range w.sources[stream] {
					w.send(stream, layer)
				}
				w.deliver(stream)
			}
			if w.v.track.Behind() {
				w.v.catchup(rapid.IntRange(0, 2000).Draw(rt, "budget"), w.now)
			}
			w.act()
			w.now += int64(rapid.IntRange(1, 60).Draw(rt, "ms")) * ms
		}
		w.check()
	})
}
