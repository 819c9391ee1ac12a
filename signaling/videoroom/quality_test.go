package videoroom

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
	"cardea/signaling/events"
	"cardea/signaling/janus/janustest"
)

// reports collects what the plugin tells of quality.
type reports struct {
	mu  sync.Mutex
	all []QualityReport
}

func (r *reports) add(q QualityReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.Session, q.Handle = 0, 0 // random
	r.all = append(r.all, q)
}

func (r *reports) take() []QualityReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

func newQualityStage(t *testing.T) (*stage, *reports) {
	s := newStage(t, m{}, m{"display": "Alice"}, "audio", "video")
	r := &reports{}
	s.plugin.cfg.Quality = r.add // nothing is reported yet
	return s, r
}

func TestQualityOfThePlane(t *testing.T) {
	s, r := newQualityStage(t)
	l := listen(t)
	s.plugin.cfg.Events = l.bus
	q := &plane.Quality{Span: time.Second, Lines: []plane.LineQuality{{Mid: "1", Kind: plane.Video, Stalls: 2}}}
	report := func(id plane.PeerID) {
		e := janustest.Event(id, plane.EventQuality)
		e.Quality = q
		s.plane.Emit(e)
	}
	_, stranger := s.subscribe(m{})
	for id, want := range map[plane.PeerID]QualityReport{
		s.plane.Peers()[0].ID: {Room: "videoroom/1", Participant: "1", Quality: *q},
		stranger:              {Room: "videoroom/1", Subscriber: true, Quality: *q},
	} {
		report(id)
		s.eventually(func() string { return cmp.Diff([]QualityReport{want}, r.take()) })
	}
	told := []string{}
	for range 2 {
		if e, ok := l.next(events.User); ok && e.Room == "videoroom/1" && e.Handle != 0 {
			told = append(told, string(e.Body))
		}
	}
	slices.Sort(told)
	want := []string{
		`{"event":"network_quality","room":1,"id":1,"display":"Alice","quality":{"source":"server","role":"publisher","span_ms":1000,` +
			`"lines":[{"mid":"1","kind":"video","stalls":2}]}}`,
		`{"event":"network_quality","room":1,"quality":{"source":"server","role":"subscriber","span_ms":1000,` +
			`"lines":[{"mid":"1","kind":"video","stalls":2}]}}`,
	}
	if d := cmp.Diff(want, told); d != "" {
		t.Error(d)
	}
}

func TestQualityOfTheClient(t *testing.T) {
	s, r := newQualityStage(t)
	sub, _ := s.subscribe(m{})
	answer := s.ok(sub, m{"request": "quality", "span_ms": 10000, "rtt_ms": 80.5, "lines": []any{
		m{"mid": "0", "packets": 500, "loss": 0.02, "jitter_ms": 3},
		m{"mid": "1", "first_frame_ms": 350, "watched_ms": 9000, "frozen_ms": 9500, "stalls": 2, "frames": 180},
	}}, nil)
	if d := janustest.Data(answer); d["quality"] != "ok" {
		t.Errorf("answered by %v", d)
	}
	stream := func(mid string) plane.StreamID { return plane.StreamID{Room: "videoroom/1", Publisher: "1", Mid: mid} }
	want := []QualityReport{{Room: "videoroom/1", Subscriber: true, Client: true, Quality: plane.Quality{
		Span: 10 * time.Second, RTT: 80500 * time.Microsecond, Lines: []plane.LineQuality{
			{Mid: "0", Kind: plane.Audio, Codec: "opus", Sending: true, Stream: stream("0"), Packets: 500, Loss: 0.02, Jitter: 3 * time.Millisecond},
			{
				Mid: "1", Kind: plane.Video, Codec: "vp8", Sending: true, Stream: stream("1"), FirstFrame: 350 * time.Millisecond,
				Watched: 9 * time.Second, Frozen: 9 * time.Second, Stalls: 2, Frames: 180,
			},
		},
	}}}
	if d := cmp.Diff(want, r.take()); d != "" {
		t.Error(d)
	}
	s.ok(s.alice, m{"request": "quality", "lines": []any{m{"mid": "1", "frames": 20}}}, nil)
	if all := r.take(); len(all) != 1 || all[0].Subscriber || all[0].Participant != "1" || all[0].Quality.Lines[0].Codec != "vp8" {
		t.Errorf("of a publisher: %+v", all)
	}
}

// TestWhoseQuality wants subscriptions told to be of who made them: who showed a private id, also where the room asks for none, and the
// only participant of a session; not one of several that share it.
func TestWhoseQuality(t *testing.T) {
	s, r := newQualityStage(t)
	whose := func(h *janustest.Handle, join m) string {
		t.Helper()
		event := s.ok(h, with(m{"request": "join", "ptype": "subscriber", "room": 1, "streams": []any{m{"feed": 1}}}, join), nil)
		s.ok(h, m{"request": "start"}, janustest.Answer(event["jsep"].(m)["sdp"].(string)))
		r.take()
		s.ok(h, m{"request": "quality", "lines": []any{m{"mid": "0", "packets": 5}}}, nil)
		all := r.take()
		if len(all) != 1 || !all[0].Subscriber {
			t.Fatalf("told %+v", all)
		}
		return all[0].Participant
	}
	bob := janustest.Open(s, s.server, Package)
	joined := janustest.Data(s.ok(bob, m{"request": "join", "ptype": "publisher", "room": 1, "id": 2}, nil))
	if got := whose(janustest.Open(s, s.server, Package), m{"private_id": joined["private_id"]}); got != "2" {
		t.Errorf("with a private id: %q", got)
	}
	if got := whose(bob.Attach(Package), m{}); got != "2" {
		t.Errorf("in his session: %q", got)
	}
	if got := whose(janustest.Open(s, s.server, Package), m{}); got != "" {
		t.Errorf("a stranger: %q", got)
	}
	s.ok(bob.Attach(Package), m{"request": "join", "ptype": "publisher", "room": 1, "id": 3}, nil)
	if got := whose(bob.Attach(Package), m{}); got != "" {
		t.Errorf("in a session of two: %q", got)
	}
}

// What no browser says is refused, and nothing of it is told.
func TestQualityIsChecked(t *testing.T) {
	many := make([]any, maxQualityLines+1)
	for i := range many {
		many[i] = m{"mid": "1"}
	}
	for name, body := range map[string]m{
		"no lines":       {},
		"lines that are": {"lines": "all of them"},
		"too many lines": {"lines": many},
		"no mid":         {"lines": []any{m{"stalls": 1}}},
		"unknown mid":    {"lines": []any{m{"mid": "77"}}},
		"a mid twice":    {"lines": []any{m{"mid": "1"}, m{"mid": "1"}}},
		"not a number":   {"lines": []any{m{"mid": "1", "stalls": "many"}}},
		"negative":       {"lines": []any{m{"mid": "1", "stalls": -1}}},
		"beyond all":     {"lines": []any{m{"mid": "1", "watched_ms": json.Number("1e300")}}},
		"loss of 200 %":  {"lines": []any{m{"mid": "1", "loss": 2}}},
		"span":           {"lines": []any{}, "span_ms": 1e9},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := newQualityStage(t)
			body["request"] = "quality"
			if d := janustest.Data(s.alice.Message(body, nil)); d["error_code"] == nil {
				t.Errorf("answered by %v", d)
			}
			if all := r.take(); len(all) != 0 {
				t.Errorf("told: %+v", all)
			}
		})
	}
}

func TestQualityIsLimited(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var l reportLimit
	for i := range qualityBurst {
		if !l.admit(now) {
			t.Errorf("report %d of a burst is refused", i)
		}
	}
	if l.admit(now) {
		t.Error("a burst has no end")
	}
	now = now.Add(qualityPause)
	if !l.admit(now) || l.admit(now) {
		t.Error("a pause admits other than one")
	}
	now = now.Add(time.Hour)
	for range qualityBurst {
		if !l.admit(now) {
			t.Error("an hour does not fill the bucket")
		}
	}
	if l.admit(now) {
		t.Error("an hour fills it over its brim")
	}
	s, r := newQualityStage(t)
	for range qualityBurst + 1 {
		s.ok(s.alice, m{"request": "quality", "lines": []any{}}, nil)
	}
	if d := janustest.Data(s.ok(s.alice, m{"request": "quality", "lines": []any{}}, nil)); d["quality"] != "ignored" {
		t.Errorf("answered by %v", d)
	}
	if n := len(r.take()); n != qualityBurst {
		t.Errorf("%d reports are told", n)
	}
}

func TestQualityEvent(t *testing.T) {
	text, err := json.Marshal(qualityEvent(&QualityReport{Client: true, Subscriber: true, Quality: plane.Quality{
		Span: 10 * time.Second, RTT: 80*time.Millisecond + 123*time.Microsecond,
		Path:  plane.ICEPath{Network: "ipv4", Kind: "relay", Protocol: "udp"},
		Lines: []plane.LineQuality{{Mid: "1", Kind: plane.Video, Codec: "vp8", Stalls: 1, Frozen: time.Second, Loss: 1. / 3}},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"source":"client","role":"subscriber","span_ms":10000,"rtt_ms":80.1,"network":"ipv4","path":"relay","protocol":"udp",` +
		`"lines":[{"mid":"1","kind":"video","codec":"vp8","frozen_ms":1000,"stalls":1,"loss":0.3333}]}`
	if string(text) != want {
		t.Errorf("%s\nwant %s", text, want)
	}
}
