package videoroom

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/sdp"
)

// heldRoom is a room of a plugin whose mesh does nothing.
func heldRoom(t testing.TB) *room {
	t.Helper()
	c := &cluster{t: t, rooms: map[string]*clusterRoom{}, maxRooms: 1, apart: map[int]int{}}
	n := &node{cluster: c, held: map[string]*nodeRoom{}}
	p, err := New(Config{Mesh: n})
	if err != nil {
		t.Fatal(err)
	}
	n.plugin, c.nodes = p, []*node{n}
	record, err := writeRecord(DefaultRoom("1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Create(t.Context(), "1", record, false); err != nil {
		t.Fatal(err)
	}
	r, err := p.lookup(t.Context(), numberID(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return r
}

// full is a participant of whom there is everything to tell.
func fullParticipant(r *room) *participant {
	name, what := "display", "description"
	p := newParticipant(numberID(5))
	p.privateID, p.display, p.metadata, p.e2ee, p.started = 77, &name, janus.Object{"big": json.Number("12345678901234567890")}, true, true
	p.shared = shared{version: 3, joined: 11, seat: 12, announced: 2, unpublished: 1, renamed: 4}
	p.room = r
	for i, n := range []negotiated{
		{codec: "opus", fec: true, dtx: true, stereo: true, red: true, audioLevel: true},
		{codec: "h264", h264: "42e01f", simulcast: true, encodings: 3, videoOrient: true, playoutDelay: true},
		{codec: "vp9", vp9: "2", svc: true, descriptor: true},
		{},
		{disabled: true},
	} {
		st := newStream(p, []plane.Kind{plane.Audio, plane.Video, plane.Video, plane.Data, plane.Audio}[i], i, fmt.Sprint("m", i))
		st.negotiated, st.description = n, &what
		st.muted, st.moderated, st.talking, st.level = i == 0, 2, i == 0, 30.5
		if i == 1 {
			st.minDelay, st.maxDelay = 2, 40
		}
		p.streams = append(p.streams, st)
	}
	return p
}

// A mirror says of itself what the participant says.
func TestMirrorIsLikeThePublisher(t *testing.T) {
	r := heldRoom(t)
	p := fullParticipant(r)
	b, changed := p.encode()
	if !changed {
		t.Fatal("nothing to tell")
	}
	if _, changed := p.encode(); changed {
		t.Error("the same is told again")
	}
	e, err := readEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	r.present(t.Context(), p.id, e)
	q := r.byID[p.id]
	if q == nil || !q.remote || q.privateID != 0 {
		t.Fatalf("mirror: %+v", q)
	}
	if d := cmp.Diff(p.info(true), q.info(true), cmp.AllowUnexported(ID{})); d != "" {
		t.Errorf("-publisher +mirror\n%s", d)
	}
	for i, st := range p.streams {
		if d := cmp.Diff(st.entry(), q.streams[i].entry()); d != "" {
			t.Errorf("stream %d: -publisher +mirror\n%s", i, d)
		}
		if st.id() != q.streams[i].id() {
			t.Errorf("stream %v is called %v", st.id(), q.streams[i].id())
		}
	}
	if r.owner(77) != q || r.owner(78) != nil {
		t.Error("the private id is not recognised")
	}
	if strings.Contains(string(b), `77`) {
		t.Errorf("the private id is in %s", b)
	}
}

// However much a client says of itself, the others learn that it is there.
func TestLargeEntriesAreShortened(t *testing.T) {
	r := heldRoom(t)
	long := strings.Repeat("<", maxText)
	for name, fill := range map[string]func(p *participant){
		"descriptions": func(p *participant) {
			for _, st := range p.streams {
				st.description = &long
			}
		},
		"metadata": func(p *participant) { p.metadata = janus.Object{"k": strings.Repeat("x", maxMetadata-10)} },
		"all": func(p *participant) {
			p.display, p.metadata = &long, janus.Object{"k": strings.Repeat("x", maxMetadata-10)}
			for range maxForwarders {
				_ = p.addForwarder(&forwarder{stream: p.streams[0]})
			}
			for i := len(p.streams); i < maxStreams; i++ {
				p.streams = append(p.streams, newStream(p, plane.Data, i, "m"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := fullParticipant(r)
			fill(p)
			b, _ := p.encode()
			var e entry
			if err := json.Unmarshal(b, &e); err != nil || len(b) > MaxMeshEntry || len(e.Streams) != len(p.streams) {
				t.Errorf("%d bytes, %d streams: %v", len(b), len(e.Streams), err)
			}
		})
	}
}

func TestBadEntries(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":          `{`,
		"left how":          `{"left":"angrily"}`,
		"a kind":            `{"streams":[{"type":"smell"}]}`,
		"a codec":           `{"streams":[{"type":"audio","codec":"vp8"}]}`,
		"a codec of data":   `{"streams":[{"type":"data","codec":"vp8"}]}`,
		"a profile":         `{"streams":[{"type":"video","codec":"h264","h264_profile":"42\r\na=x"}]}`,
		"encodings":         `{"streams":[{"type":"video","encodings":1000}]}`,
		"a delay":           `{"streams":[{"type":"video","delay":{"min-delay":5,"max-delay":4}}]}`,
		"a long delay":      `{"streams":[{"type":"video","delay":{"min-delay":5,"max-delay":4096}}]}`,
		"streams":           `{"streams":[` + strings.Repeat(`{"type":"data"},`, maxStreams) + `{"type":"data"}]}`,
		"a forwarder":       `{"forwarders":[{"id":1,"host":"somewhere"}]}`,
		"size":              `{"display":"` + strings.Repeat("x", MaxMeshEntry) + `"}`,
		"display of a kind": `{"display":5}`,
	} {
		if _, err := readEntry([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for why, ok := range map[string]bool{"leaving 0": true, "kicked 7": true, "": false, "moved 7": true, "leaving": false, "leaving x": false, "gone 1": false, "node lost": false} {
		if _, _, is := readFarewell(why); is != ok {
			t.Errorf("%q: %v", why, is)
		}
	}
}

// Whatever other nodes send, the room's books agree afterwards, and what comes of it can be offered.
func FuzzEntries(f *testing.F) {
	p := fullParticipant(&room{id: numberID(1)})
	whole, _ := p.encode()
	f.Add(whole, []byte(`{"version":9,"joined":11,"left":"kicked"}`), "kicked 3")
	f.Add([]byte(`{"version":1,"joined":1,"seat":1,"started":true,"announced":1,"streams":[{"type":"video","mid":"0","codec":"vp8"}]}`),
		[]byte(`{"version":2,"joined":1,"seat":2,"streams":[{"type":"audio","mid":"0","codec":"opus"},{"type":"data","mid":"x"}]}`), "")
	f.Add([]byte(`{"version":18446744073709551615,"unpublished":18446744073709551615}`), []byte(`{"joined":-1,"version":1}`), "leaving 18446744073709551615")
	f.Fuzz(func(t *testing.T, a, b []byte, why string) {
		r := heldRoom(t)
		sub := newSubscriber(r, nil)
		w := r.held.inbox.watcher()
		for _, entry := range [][]byte{a, b, a} {
			w.Present("5", entry)
			r.held.plugin.workers.Wait()
			r.mu.Lock()
			if m := r.mirror(numberID(5)); m != nil {
				for _, st := range m.streams {
					if !st.disabled && len(sub.lines) < 20 {
						sub.attach(st)
					}
				}
			}
			_ = sdp.Format(&sdp.Description{Medias: sub.offer()}, plane.Transport{})
			r.mu.Unlock()
			checkRoom(t, r)
		}
		sub.autoupdate = false
		w.Gone("5", why)
		r.held.plugin.workers.Wait()
		r.expire(t.Context())
		checkRoom(t, r)
		if len(r.members)+len(r.departed) != 0 {
			t.Errorf("left: %d members, %d departed", len(r.members), len(r.departed))
		}
	})
}

// What nobody has worked on yet takes no more than two notices a participant.
func TestInboxIsBounded(t *testing.T) {
	var b inbox
	w := b.watcher()
	for i := range 1000 {
		w.Edited(nil)
		w.Present("5", fmt.Append(nil, i))
		if i%2 == 0 {
			w.Present("5", fmt.Append(nil, i))
		}
		w.Gone("5", fmt.Sprint(i))
		w.Present("6", fmt.Append(nil, i))
		w.Lost("7")
		if i%10 == 0 {
			b.take()
		}
	}
	if len(b.waiting) > 2*3+1 {
		t.Errorf("%d wait", len(b.waiting))
	}
	w.Present("5", []byte("last"))
	var got []string
	for n := b.take(); n != nil; n = b.take() {
		if n.participant == "5" {
			got = append(got, string(n.entry)+n.why)
		}
	}
	if len(got) != 2 || got[1] != "last" { // how the one went that is known here, and who is there now
		t.Errorf("5 is told %v", got)
	}
	if b.last != nil || b.stale {
		t.Error("something is left")
	}
}

// What another node's participant does is told as if it was done here, also when entries in between were left out.
func TestEntriesMakeEvents(t *testing.T) {
	const video = `"streams":[{"type":"video","mid":"0","codec":"vp8"}]`
	base := `{"version":1,"joined":1,"seat":2,"started":true,"display":"a","announced":1,` + video + `}`
	for name, tt := range map[string]struct {
		before, entry string // before: "" for nobody
		why           string // that it is gone, instead of an entry
		want          string
	}{
		"a newcomer":            {"", `{"version":1,"joined":1}`, "", "joining 5"},
		"one who publishes":     {"", base, "", "joining 5, publishers 5"},
		"one who is about to":   {"", `{"version":2,"joined":1,"seat":3,"announced":4,"unpublished":3,"renamed":2}`, "", "joining 5"},
		"one who has left":      {"", `{"version":2,"joined":1,"left":"leaving",` + video + `}`, "", ""},
		"the same again":        {base, base, "", ""},
		"an older one":          {`{"version":5,"joined":1,"seat":2,"announced":2}`, `{"version":4,"joined":1,"announced":1}`, "", ""},
		"another name":          {base, `{"version":2,"joined":1,"seat":2,"started":true,"display":"b","renamed":1,"announced":1,` + video + `}`, "", "id 5"},
		"renegotiated":          {base, `{"version":2,"joined":1,"seat":2,"started":true,"display":"a","announced":2,` + video + `}`, "", "publishers 5"},
		"renegotiated often":    {base, `{"version":9,"joined":1,"seat":2,"started":true,"display":"a","announced":7,` + video + `}`, "", "publishers 5"},
		"media ends":            {base, `{"version":2,"joined":1,"announced":1,"display":"a"}`, "", ""},
		"unpublished":           {base, `{"version":3,"joined":1,"announced":1,"unpublished":1}`, "", "unpublished 5"},
		"and hung up":           {base, `{"version":3,"joined":1,"announced":1,"unpublished":2}`, "", "unpublished 5, unpublished 5"},
		"and published again":   {base, `{"version":3,"joined":1,"seat":9,"started":true,"announced":2,"unpublished":2,` + video + `}`, "", "unpublished 5, unpublished 5, publishers 5"},
		"many times":            {base, `{"version":3,"joined":1,"announced":1,"unpublished":200}`, "", "unpublished 5, unpublished 5"},
		"muted":                 {base, `{"version":2,"joined":1,"seat":2,"announced":1,"streams":[{"type":"video","mid":"0","codec":"vp8","muted":true,"moderated":1}]}`, "", "moderation muted"},
		"left, still sending":   {base, `{"version":2,"joined":1,"seat":2,"announced":1,"left":"leaving",` + video + `}`, "", "leaving 5"},
		"kicked, still sending": {base, `{"version":2,"joined":1,"seat":2,"announced":1,"left":"kicked",` + video + `}`, "", "kicked 5"},
		"left":                  {base, "", "leaving 0", "leaving 5"},
		"hung up and left":      {base, "", "leaving 2", "unpublished 5, unpublished 5, leaving 5"},
		"kicked":                {base, "", "kicked 0", "kicked 5"},
		"its node is gone":      {base, "", "", "unpublished 5, unpublished 5, leaving 5"},
		"gone, never known":     {"", "", "leaving 0", ""},
		"come again":            {base, `{"version":1,"joined":7}`, "", "leaving 5, joining 5"},
	} {
		t.Run(name, func(t *testing.T) {
			r := heldRoom(t)
			r.cfg.NotifyJoining = true
			see := func(b string) {
				e, err := readEntry([]byte(b))
				if err != nil {
					t.Fatal(err)
				}
				r.present(t.Context(), numberID(5), e)
			}
			if tt.before != "" {
				see(tt.before)
			}
			witness := newParticipant(numberID(6))
			witness.session = &session{} // has a client, who has not been greeted: events wait in early
			r.add(witness)
			if tt.entry != "" {
				see(tt.entry)
			} else {
				r.gone(t.Context(), numberID(5), tt.why)
				r.expire(t.Context())
			}
			var got []string
			for _, e := range witness.early {
				var o map[string]any
				if err := json.Unmarshal(e.(json.RawMessage), &o); err != nil {
					t.Fatal(err)
				}
				got = append(got, brief(o)...)
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
			witness.session = nil
		})
	}
}

// Options that a newer node knows stay in the record when an older one changes others.
func TestRecordsKeepWhatIsNotKnown(t *testing.T) {
	c := DefaultRoom("1")
	c.Private = true
	earlier, err := writeRecord(c)
	if err != nil {
		t.Fatal(err)
	}
	earlier = append(earlier[:len(earlier)-1], `,"holograms":{"n":2}}`...)
	c.Private, c.Publishers = false, 9
	record, err := writeRecord(c)
	if err != nil {
		t.Fatal(err)
	}
	if record, err = carryOver(earlier, record); err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(record, &o); err != nil || fmt.Sprint(o["holograms"]) != "map[n:2]" || o["is_private"] != nil {
		t.Errorf("%s: %v", record, err)
	}
	back, err := readRecord(numberID(1), record)
	if err != nil || cmp.Diff(c, back) != "" {
		t.Errorf("%v: %s", err, cmp.Diff(c, back))
	}
	for name, text := range map[string]string{
		"not JSON": `{`, "a codec": `{"videocodec":["theora"]}`, "publishers": `{"publishers":-1}`, "size": `{"description":"` + strings.Repeat("x", MaxMeshRecord) + `"}`,
	} {
		if _, err := readRecord(numberID(1), []byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
