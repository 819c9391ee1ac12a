package peer

import (
	"net/netip"
	"testing"
	"time"

	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/rtcp"
)

const onTheWay = 30 * time.Millisecond // one way

// watchedPair is a pair whose subscriber gives transport-wide feedback, and what its reports say.
type watchedPair struct {
	*stand
	pub, sub *caller
	seq      uint16
	number   uint8
	base     int64 // of the next feedback
	arrivals []rtcp.Arrival
	told     []*plane.Quality
}

func newWatchedPair(t *testing.T) *watchedPair {
	w := &watchedPair{stand: newStand(t)}
	w.env.QualityInterval = time.Second
	w.env.Quality = func(q *plane.Quality) { w.told = append(w.told, q) }
	w.pub, w.sub = w.newCaller("publisher"), w.newCaller("subscriber")
	w.pub.negotiate(1, videoLine("v", plane.RecvOnly))
	w.pub.publish(publication("v"))
	line := sendLine("w", 1000, 1001)
	line.Extensions = append(line.Extensions, plane.Extension{ID: 3, URI: plane.ExtTransportCC})
	w.sub.negotiate(1, line)
	w.sub.subscribe()
	return w
}

// picture sends one of the publisher's pictures, of one packet, that arrives unless lost.
func (w *watchedPair) picture(key, lost bool) {
	w.t.Helper()
	w.seq++
	w.pub.send(packet{ssrc: 1, seq: w.seq, stamp: uint32(w.seq) * 3600, key: key})
	if !lost {
		w.arrivals = append(w.arrivals, rtcp.Arrival{Sequence: int64(w.sub.peer.transport.Load()), Time: w.now + int64(time.Hour+onTheWay)})
	}
}

// feedback tells the node what arrived since the last time.
func (w *watchedPair) feedback() {
	w.t.Helper()
	b, n := rtcp.AppendTWCC(nil, 1, 1000, w.number, w.base, w.arrivals)
	if n != len(w.arrivals) {
		w.t.Fatalf("feedback of %d packets, not %d", n, len(w.arrivals))
	}
	if n > 0 {
		w.base = w.arrivals[n-1].Sequence + 1
	}
	w.number++
	w.arrivals = w.arrivals[:0]
	w.sub.sendRTCP(b)
}

// play sends pictures, 25 a second, with feedback each 80 ms on those before.
func (w *watchedPair) play(pictures int, lost bool) {
	w.t.Helper()
	for i := range pictures {
		w.pass(40*time.Millisecond, w.pub, w.sub)
		if i%2 == 1 {
			w.feedback()
		}
		w.picture(false, lost)
	}
}

func TestWhatASubscriberSees(t *testing.T) {
	w := newWatchedPair(t)
	begin := w.now
	w.pass(200*time.Millisecond, w.pub, w.sub)
	w.picture(true, false)
	first := w.now + int64(onTheWay+35*time.Millisecond) - begin // the last are the buffer's
	w.pass(60*time.Millisecond, w.pub, w.sub)
	w.feedback()
	w.play(24, false)
	w.play(20, true) // 800 ms
	w.pass(40*time.Millisecond, w.pub, w.sub)
	w.picture(true, false)
	w.play(30, false)

	line := w.sub.peer.Stats().Lines[0]
	if got := int64(line.FirstFrame); got < first-int64(15*time.Millisecond) || got > first+int64(15*time.Millisecond) {
		t.Errorf("first frame after %v, want %v", line.FirstFrame, time.Duration(first))
	}
	if line.Stalls != 1 || line.Frozen < 835*time.Millisecond || line.Frozen > 845*time.Millisecond {
		t.Errorf("%d stalls of %v, want one of 840ms", line.Stalls, line.Frozen)
	}
	var sum plane.LineQuality
	w.pass(time.Second, w.sub)
	for _, q := range w.told {
		for _, l := range q.Lines {
			if l.Sending {
				sum.FirstFrame += l.FirstFrame
				sum.Watched += l.Watched
				sum.Frozen += l.Frozen
				sum.Stalls += l.Stalls
				sum.Codec, sum.Stream = l.Codec, l.Stream
			}
		}
	}
	want := plane.LineQuality{
		FirstFrame: line.FirstFrame, Watched: line.Watched, Frozen: line.Frozen, Stalls: line.Stalls, Codec: "vp8", Stream: publication("v").Stream,
	}
	if sum != want {
		t.Errorf("reports together: %+v\nwant %+v", sum, want)
	}
	if len(w.stand.told(plane.EventQuality)) == 0 {
		t.Error("no events")
	}
}

// A stream of nobody's is not waited for, nor is one that is paused.
func TestWaitingBeginsWithTheStream(t *testing.T) {
	w := newWatchedPair(t)
	w.pub.publish()
	d := w.sub.peer.lines[0].down
	if d.owed != nil {
		t.Error("a picture is owed of what nobody publishes")
	}
	w.pub.publish(publication("v"))
	if d.owed == nil {
		t.Error("no picture is owed of what is published")
	}
	sub := plane.Subscription{Mid: "w", Stream: publication("v").Stream, Paused: true, Substream: -1, Temporal: -1, SpatialLayer: -1, TemporalSVC: -1}
	if err := w.sub.peer.Subscribe([]plane.Subscription{sub}); err != nil {
		t.Fatal(err)
	}
	if d.owed != nil {
		t.Error("a picture is owed while paused")
	}
}

func TestWhatAPublisherSends(t *testing.T) {
	w := newWatchedPair(t)
	w.picture(true, true)
	w.play(20, true)
	w.now += int64(900 * time.Millisecond)
	w.play(20, true)
	w.pass(time.Second, w.pub)
	var sum plane.LineQuality
	for _, q := range w.told {
		for _, l := range q.Lines {
			if !l.Sending {
				sum.Frames += l.Frames
				sum.Stalls += l.Stalls
				sum.Frozen += l.Frozen
			}
		}
	}
	if sum.Stalls != 1 || sum.Frozen != 940*time.Millisecond || sum.Frames != 41 {
		t.Errorf("%d stalls of %v in %d pictures, want one of 940ms in 41", sum.Stalls, sum.Frozen, sum.Frames)
	}
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(p *Peer)
		want Result
	}{
		{"ICE failed", func(p *Peer) { p.End("ICE failed") }, ResultICEFailed},
		{"DTLS failed", func(p *Peer) { p.End("DTLS timeout") }, ResultDTLSFailed},
		{"closed", (*Peer).Close, ResultAbandoned},
		{"connected", (*Peer).connected, ResultConnected},
	} {
		s := newStand(t)
		var told []Outcome
		s.env.Reached = func(o Outcome) { told = append(told, o) }
		p := New("p", plane.PeerOptions{}, s.env)
		t.Cleanup(p.Close)
		if err := p.AddCandidates([]plane.Candidate{{Type: "relay", Address: "192.0.2.1", Port: 5}, {Type: "relay", Address: "192.0.2.1", Port: 5}}, false); err != nil {
			t.Fatal(err)
		}
		if err := p.Negotiate(plane.Session{Version: 1, Remote: plane.Transport{Ufrag: "u", Pwd: "p"}, Setup: plane.Active}); err != nil {
			t.Fatal(err)
		}
		c.end(p)
		p.End("DTLS alert")
		p.Close()
		if len(told) != 1 || told[0].Result != c.want || told[0].Path.Kind != "relay" {
			t.Errorf("%s: %+v", c.name, told)
		}
	}
	s := newStand(t)
	s.env.Reached = func(Outcome) { t.Error("who never said how to be reached was counted") }
	New("p", plane.PeerOptions{}, s.env).Close()
}

func TestPaths(t *testing.T) {
	at := netip.MustParseAddrPort
	for _, c := range []struct {
		name   string
		remote []plane.Candidate
		dest   ice.Path
		want   plane.ICEPath
	}{
		{
			"named",
			[]plane.Candidate{{Type: "host", Address: "10.0.0.1", Port: 9}, {Type: "srflx", Address: "192.0.2.7", Port: 10}},
			ice.Path{Remote: at("192.0.2.7:10")},
			plane.ICEPath{Network: "ipv4", Kind: "srflx", Protocol: "udp"},
		},
		{
			"another port",
			[]plane.Candidate{{Type: "srflx", Address: "192.0.2.7", Port: 10}},
			ice.Path{Remote: at("192.0.2.7:11")},
			plane.ICEPath{Network: "ipv4", Kind: "prflx", Protocol: "udp"},
		},
		{
			"hidden",
			[]plane.Candidate{{Type: "host", Address: "0f.local", Port: 10}},
			ice.Path{Remote: at("[2001:db8::1]:10")},
			plane.ICEPath{Network: "ipv6", Kind: "prflx", Protocol: "udp"},
		},
		{
			"relays alone",
			[]plane.Candidate{{Type: "relay", Address: "192.0.2.7", Port: 10}},
			ice.Path{Remote: at("10.0.0.1:10")},
			plane.ICEPath{Network: "ipv4", Kind: "relay", Protocol: "udp"},
		},
		{
			"of a type of its own",
			[]plane.Candidate{{Type: "x\xff", Address: "192.0.2.7", Port: 10}},
			ice.Path{Remote: at("192.0.2.7:10")},
			plane.ICEPath{Network: "ipv4", Kind: "prflx", Protocol: "udp"},
		},
	} {
		s := newStand(t)
		p := New("p", plane.PeerOptions{}, s.env)
		t.Cleanup(p.Close)
		p.watch.remember(c.remote)
		p.mu.Lock()
		p.dest.Store(&c.dest)
		p.protocol = "udp"
		if got := p.path(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		p.mu.Unlock()
	}
	var w watch
	for i := range uint16(1000) {
		w.remember([]plane.Candidate{{Type: "host", Address: "192.0.2.7", Port: i}})
	}
	if len(w.remote) != maxRemote {
		t.Errorf("%d candidates are remembered", len(w.remote))
	}
}
