package videoroom

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// testPublisher puts somebody into a room who publishes a stream of each codec, "data" for data.
func testPublisher(r *room, id uint64, codecs ...string) *participant {
	p := newParticipant(numberID(id))
	p.started = true
	r.add(p)
	for i, c := range codecs {
		kind, codec := plane.Video, c
		switch c {
		case "data":
			kind, codec = plane.Data, ""
		case "opus", "pcmu":
			kind = plane.Audio
		}
		st := newStream(p, kind, i, strconv.Itoa(i))
		st.codec = codec
		p.streams = append(p.streams, st)
	}
	return p
}

// Whatever a subscriber asks for and whoever goes: lines never disappear, keep their kind and codec, are used again when
// inactive, there is one data line at most, and streams and lines know each other.
func TestLinesAreKeptAndReused(t *testing.T) {
	codecs := []string{"opus", "pcmu", "vp8", "h264", "data"}
	rapid.Check(t, func(t *rapid.T) {
		r := newRoom(numberID(1), 1, DefaultRoom("1"))
		s := newSubscriber(r, nil)
		next := uint64(1)
		type shape struct {
			kind  plane.Kind
			codec string
		}
		var known []shape
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				testPublisher(r, next, rapid.SliceOfN(rapid.SampledFrom(codecs), 1, 3).Draw(t, "codecs")...)
				next++
			},
			"go": func(t *rapid.T) {
				if len(r.members) > 0 {
					p := rapid.SampledFrom(r.members).Draw(t, "who")
					p.endStreams()
					r.remove(p)
				}
			},
			"subscribe": func(t *rapid.T) {
				if len(r.members) == 0 {
					return
				}
				p := rapid.SampledFrom(r.members).Draw(t, "who")
				idle := 0
				for _, l := range s.lines {
					if l.source() == nil {
						idle++
					}
				}
				before := len(s.lines)
				_, err := s.update(ids{}, []janus.Object{{"feed": jsonInt(int(p.id.number))}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if grown := len(s.lines) - before; grown > len(p.streams) {
					t.Fatalf("%d lines for %d streams", grown, len(p.streams))
				}
				for _, st := range p.streams {
					for _, l := range s.lines[before:] {
						for _, o := range s.lines[:before] {
							if l.has(st) && o.source() == nil && o.kind == l.kind && o.codec == l.codec {
								t.Fatalf("line %s was made though line %s is idle (of %d)", l.mid(), o.mid(), idle)
							}
						}
					}
				}
			},
			"unsubscribe": func(t *rapid.T) {
				if len(s.lines) > 0 {
					mid := rapid.SampledFrom(s.lines).Draw(t, "line").mid()
					if _, err := s.update(ids{}, nil, []janus.Object{{"sub_mid": mid}}); err != nil {
						t.Fatal(err)
					}
				}
			},
			"switch": func(t *rapid.T) {
				if len(s.lines) == 0 || len(r.members) == 0 {
					return
				}
				p := rapid.SampledFrom(r.members).Draw(t, "who")
				mid := rapid.SampledFrom(s.lines).Draw(t, "line").mid()
				_, err := s.switchTo(ids{}, janus.Object{"streams": []any{map[string]any{"feed": jsonInt(int(p.id.number)), "mid": "0", "sub_mid": mid}}})
				if err != nil {
					t.Fatal(err)
				}
			},
			"answer": func(*rapid.T) {
				for _, l := range s.lines {
					l.ready = len(l.sources) > 0
				}
			},
			"": func(t *rapid.T) {
				if len(s.lines) < len(known) {
					t.Fatalf("%d lines, there were %d", len(s.lines), len(known))
				}
				data := 0
				for i, l := range s.lines {
					if i < len(known) && known[i] != (shape{l.kind, l.codec}) {
						t.Fatalf("line %d was %v and is %s %s", i, known[i], l.kind, l.codec)
					}
					if i >= len(known) {
						known = append(known, shape{l.kind, l.codec})
					}
					checkLine(t, l, i)
					if l.kind == plane.Data {
						data++
					}
				}
				if data > 1 {
					t.Fatalf("%d data lines", data)
				}
				checkStreams(t, r, s)
			},
		})
	})
}

func checkLine(t *rapid.T, l *line, i int) {
	if l.mid() != strconv.Itoa(i) || l.mindex != i {
		t.Fatalf("line %d is called %s", i, l.mid())
	}
	if l.kind != plane.Data && len(l.sources) > 1 {
		t.Fatalf("line %d has %d sources", i, len(l.sources))
	}
	if l.ready && len(l.sources) == 0 {
		t.Fatalf("line %d is ready without a source", i)
	}
	for _, st := range l.sources {
		if st.kind != l.kind || st.codec != l.codec {
			t.Fatalf("line %d of %s %s carries %s %s", i, l.kind, l.codec, st.kind, st.codec)
		}
		if !l.has(st) {
			t.Fatalf("line %d is not known to its source", i)
		}
	}
}

func checkStreams(t *rapid.T, r *room, s *subscriber) {
	for _, p := range r.members {
		for _, st := range p.streams {
			for l := range st.lines {
				found := false
				for _, o := range l.sources {
					found = found || o == st
				}
				if !found || l.sub != s {
					t.Fatalf("stream %s/%s feeds a line that does not know it", p.id, st.mid)
				}
			}
		}
	}
	for _, sub := range s.subscriptions() {
		if sub.Stream.Publisher == "" || s.line(sub.Mid) == nil {
			t.Fatalf("subscription %+v of nothing", sub)
		}
	}
}

func TestDelays(t *testing.T) {
	for _, c := range []struct {
		body             janus.Object
		least, most      int
		wantMin, wantMax int
	}{
		{janus.Object{}, -1, -1, -1, -1},
		{janus.Object{"min_delay": jsonInt(3)}, -1, -1, 3, 3},
		{janus.Object{"max_delay": jsonInt(9)}, 3, 3, 3, 9},
		{janus.Object{"max_delay": jsonInt(1)}, 3, 9, 1, 1},
		{janus.Object{"min_delay": jsonInt(5), "max_delay": jsonInt(2)}, -1, -1, 2, 2},
		{janus.Object{"min_delay": jsonInt(-1)}, 3, 9, -1, -1},
		{janus.Object{"max_delay": jsonInt(1 << 20), "min_delay": jsonInt(0)}, -1, -1, 0, 4095},
	} {
		least, most := c.least, c.most
		delays(c.body, &least, &most)
		if least != c.wantMin || most != c.wantMax {
			t.Errorf("%v on %d,%d: %d,%d, want %d,%d", c.body, c.least, c.most, least, most, c.wantMin, c.wantMax)
		}
	}
}
