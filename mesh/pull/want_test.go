package pull

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cardea/relay/link"
)

const ms = int64(time.Millisecond)

// script drives a want and checks what it does, step by step.
type script struct {
	t       *testing.T
	w       *want
	now     int64
	parents []link.NodeID
	better  link.NodeID
	packets map[link.NodeID]uint64
}

func newScript(t *testing.T, parents ...link.NodeID) *script {
	s := &script{t: t, now: 1000 * ms, parents: parents, packets: map[link.NodeID]uint64{}}
	s.w = newWant("me", routes{
		parents: func(link.NodeID) []link.NodeID { return s.parents },
		keep:    func(_, parent link.NodeID) (link.NodeID, bool) { return s.better, s.better != "" && s.better != parent },
	}, s.now)
	return s
}

var verbNames = map[verb]string{
	ask: "ask", leave: "leave", open: "open", feed: "feed", shut: "shut", adjust: "adjust", warm: "warm", forget: "forget",
}

func (a action) String() string {
	text := verbNames[a.verb]
	if a.node != "" {
		text += " " + string(a.node)
	}
	if a.verb == adjust || a.verb == ask && !a.best {
		text += fmt.Sprintf(" %03b", a.layers)
	}
	return text
}

// wants checks what is done now; links that are only kept warm do not count.
func (s *script) wants(want string) {
	s.t.Helper()
	var got []string
	for _, a := range s.w.take() {
		if a.verb != warm {
			got = append(got, a.String())
		}
	}
	if g := strings.Join(got, ", "); g != want {
		s.t.Fatalf("at %d ms: did %q, want %q", s.now/ms-1000, g, want)
	}
}

// pass lets time pass in steps of 100 ms; those that flow bring packets.
func (s *script) pass(d int64, flowing ...link.NodeID) {
	for end := s.now + d; s.now < end; {
		s.now = min(s.now+100*ms, end)
		for _, n := range flowing {
			s.packets[n] += 5
			s.w.progress(n, s.packets[n])
		}
		s.w.tick(s.now)
	}
}

// offers announces a video stream of three layers that takes the path.
func (s *script) offers(incarnation uint64, path ...link.NodeID) {
	s.w.announced(path[len(path)-1], path, incarnation, 3, true, s.now)
}

// lacks announces that a node has no way to the publisher.
func (s *script) lacks(node link.NodeID, incarnation uint64) {
	s.w.announced(node, nil, incarnation, 3, true, s.now)
}

// begin has the stream come from the first parent.
func (s *script) begin() {
	s.t.Helper()
	s.w.locate("home", false, s.now)
	s.w.want(true, s.now)
	first := s.parents[0]
	s.wants("ask " + string(first))
	s.offers(7, s.way(first)...)
	s.wants("open " + string(first))
	s.w.demanded(0b100, s.now)
	s.wants("adjust " + string(first) + " 100")
	s.pass(500*ms, first)
	s.wants("")
}

// way is the path by a node.
func (s *script) way(node link.NodeID) []link.NodeID {
	if node == "home" {
		return []link.NodeID{"home"}
	}
	return []link.NodeID{"home", node}
}

func (s *script) path(want string) {
	s.t.Helper()
	if got := strings.Join(texts(s.w.path()), " "); got != want {
		s.t.Fatalf("path %q, want %q", got, want)
	}
}

func TestStreamComesAndGoes(t *testing.T) {
	s := newScript(t, "home")
	s.begin()
	s.path("home me")
	s.w.want(false, s.now)
	s.pass(2900*ms, "home")
	s.wants("") // a quick return costs nothing
	s.w.want(true, s.now)
	s.pass(5000*ms, "home")
	s.wants("")
	s.w.want(false, s.now)
	s.pass(3000*ms, "home")
	s.wants("leave home, shut, forget")
}

func TestNothingIsAskedForWhatIsHere(t *testing.T) {
	for name, locate := range map[string]func(s *script){
		"home is this node": func(s *script) { s.w.locate("me", false, s.now) },
		"published here":    func(s *script) { s.w.locate("home", true, s.now) },
		"home is not known": func(s *script) { s.w.locate("", false, s.now) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, "home")
			locate(s)
			s.w.want(true, s.now)
			s.pass(10_000 * ms)
			s.wants("")
			s.path("")
			s.w.locate("home", false, s.now)
			s.wants("ask home")
		})
	}
}

func TestPublishedLaterAndWithdrawn(t *testing.T) {
	s := newScript(t, "home")
	s.w.locate("home", false, s.now)
	s.w.want(true, s.now)
	s.wants("ask home")
	s.offers(0, "home")
	s.pass(60_000 * ms) // there is nothing better to do than to wait
	s.wants("")
	s.path("home me")
	s.offers(7, "home")
	s.wants("open home")
	s.w.demanded(0b100, s.now)
	s.wants("adjust home 100")
	s.offers(0, "home")
	s.wants("shut")
	s.pass(10_000 * ms)
	s.wants("")
	s.offers(8, "home")
	s.wants("open home")
	s.w.demanded(0b010, s.now)
	s.wants("adjust home 110") // the best one is on its way until it is clear that nobody wants it
	s.offers(9, "home")        // published anew in one step
	s.wants("open home")
}

func TestParentDies(t *testing.T) {
	s := newScript(t, "a", "b")
	s.begin()
	s.w.failed("a", s.now)
	s.wants("leave a, ask b 100")
	s.path("")
	s.offers(7, "home", "b")
	s.wants("feed b") // the stream goes on
	s.path("home b me")
	s.pass(20_000*ms, "b")
	s.wants("")
}

func TestParentStalls(t *testing.T) {
	s := newScript(t, "a", "b")
	s.begin()
	s.w.stalled("a", true, s.now)
	s.wants("ask b 100")
	s.offers(7, "home", "b")
	s.wants("feed b, leave a")
	s.pass(20_000*ms, "b")
	s.wants("")
	if s.w.failovers != 1 || s.w.moves != 0 {
		t.Fatalf("%d failovers, %d moves", s.w.failovers, s.w.moves)
	}
}

// A link that is silent again and again makes one change of parent and not one each time.
func TestFlappingLink(t *testing.T) {
	s := newScript(t, "a", "b")
	s.begin()
	s.w.stalled("a", true, s.now)
	s.wants("ask b 100")
	s.pass(50 * ms)
	s.w.stalled("a", false, s.now) // before b has answered
	s.wants("leave b")
	s.pass(500*ms, "a")
	s.wants("")
	s.w.stalled("a", true, s.now)
	s.wants("ask b 100")
	s.offers(7, "home", "b")
	s.wants("feed b, leave a")
	for range 10 {
		s.pass(500*ms, "b")
		s.w.stalled("a", true, s.now)
		s.w.stalled("a", false, s.now)
	}
	s.wants("")
	s.path("home b me")
}

func TestEverybodyFails(t *testing.T) {
	s := newScript(t, "a", "b")
	s.w.locate("home", false, s.now)
	s.w.want(true, s.now)
	s.wants("ask a")
	s.w.failed("a", s.now)
	s.wants("leave a, ask b")
	s.w.failed("b", s.now)
	s.wants("leave b, ask home") // the last resort
	s.w.failed("home", s.now)
	s.wants("leave home")
	s.pass(400 * ms)
	s.wants("")
	s.pass(100 * ms)
	s.wants("ask a")
	asked := 0
	for range 600 { // a minute
		for _, a := range s.w.take() {
			if a.verb == ask {
				asked++
			}
		}
		for _, n := range []link.NodeID{"a", "b", "home"} {
			s.w.failed(n, s.now)
		}
		s.pass(100 * ms)
	}
	if asked < 25 || asked > 60 {
		t.Fatalf("asked %d times in a minute", asked)
	}
}

func TestSilentCandidate(t *testing.T) {
	s := newScript(t, "a", "b")
	s.w.locate("home", false, s.now)
	s.w.want(true, s.now)
	s.wants("ask a")
	s.pass(1400 * ms)
	s.wants("")
	s.pass(100 * ms)
	s.wants("leave a, ask b")
	s.lacks("b", 0) // it is looking itself
	s.pass(1500 * ms)
	s.wants("leave b, ask a")
}

// Links that fall silent one after the other: nobody waits for the answer of one.
func TestCandidatesStall(t *testing.T) {
	s := newScript(t, "a", "b", "c")
	s.begin()
	s.w.stalled("a", true, s.now)
	s.wants("ask b 100")
	s.w.stalled("b", true, s.now)
	s.wants("leave b, ask c 100")
	s.offers(7, "home", "c")
	s.wants("feed c, leave a")
}

func TestLoopIsLeft(t *testing.T) {
	s := newScript(t, "a", "home")
	s.w.locate("home", false, s.now)
	s.w.want(true, s.now)
	s.wants("ask a")
	s.offers(7, "home", "me", "a")
	s.wants("leave a, ask home")
	s.offers(7, "home")
	s.wants("open home")
	s.path("home me")
}

// The parent lost its own parent: it has a moment to find another.
func TestParentWithoutWay(t *testing.T) {
	s := newScript(t, "a", "b")
	s.begin()
	s.lacks("a", 7)
	s.path("")
	s.pass(500 * ms)
	s.wants("")
	s.offers(7, "home", "x", "a")
	s.path("home x a me")
	s.pass(2000*ms, "a")
	s.wants("")
	s.lacks("a", 7)
	s.pass(600 * ms)
	s.wants("ask b 100")
	s.offers(7, "home", "b")
	s.wants("feed b, leave a")
}

func TestBetterParent(t *testing.T) {
	s := newScript(t, "a", "b")
	s.begin()
	s.better = "b"
	s.pass(1000*ms, "a")
	s.wants("ask b 100")
	s.pass(100*ms, "a")
	s.offers(7, "home", "b")
	s.wants("feed b") // both feed the stream
	s.path("home a me")
	s.pass(100*ms, "a", "b")
	s.wants("leave a")
	s.path("home b me")
	if s.w.failovers != 0 || s.w.moves != 1 {
		t.Fatalf("%d failovers, %d moves", s.w.failovers, s.w.moves)
	}
}

func TestBetterParentThatBringsNothing(t *testing.T) {
	s := newScript(t, "a", "b")
	s.begin()
	s.better = "b"
	s.pass(1000*ms, "a")
	s.wants("ask b 100")
	s.offers(7, "home", "b")
	s.wants("feed b")
	s.pass(1000*ms, "a")
	s.wants("leave b")
	s.path("home a me")
}

func TestBetterParentOfSilence(t *testing.T) {
	s := newScript(t, "a", "b")
	s.begin()
	s.better = "b"
	s.pass(1000 * ms)
	s.wants("ask b 100")
	s.offers(7, "home", "b")
	s.wants("feed b")
	s.pass(1000 * ms) // the publisher is muted
	s.wants("leave a")
	s.path("home b me")
}

func TestBetterParentKnowsLess(t *testing.T) {
	for name, incarnation := range map[string]uint64{"another incarnation": 6, "nothing published": 0} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, "a", "b")
			s.begin()
			s.better = "b"
			s.pass(1000*ms, "a")
			s.wants("ask b 100")
			s.offers(incarnation, "home", "b")
			s.pass(2900*ms, "a")
			s.wants("")
			s.pass(200*ms, "a")
			s.wants("leave b")
			s.path("home a me")
		})
	}
}

func TestParentThatSaysItSends(t *testing.T) {
	s := newScript(t, "a", "b")
	s.begin()
	sent := s.packets["a"]
	for range 5 { // silence: nothing sent, nothing received
		s.pass(1000 * ms)
		s.w.hinted("a", sent, s.now)
	}
	s.wants("")
	s.pass(1000 * ms)
	s.w.hinted("a", sent+50, s.now)
	s.wants("") // the hint may have overtaken the packets
	s.pass(1000 * ms)
	s.w.hinted("a", sent+100, s.now)
	s.wants("ask b 100")
}

func TestPublisherMoves(t *testing.T) {
	s := newScript(t, "home")
	s.begin()
	s.parents = []link.NodeID{"new"}
	s.w.locate("new", false, s.now)
	s.wants("ask new 100") // the old node has no more to say
	s.offers(0, "new")
	s.wants("") // the stream goes on while it does
	s.offers(8, "new")
	s.wants("open new, leave home")
	s.path("new me")
}

func TestPublisherMovesBehindRelay(t *testing.T) {
	s := newScript(t, "a")
	s.begin()
	s.w.locate("new", false, s.now)
	s.wants("")
	s.offers(0, "new", "a") // it follows by itself
	s.wants("shut")
	s.offers(8, "new", "a")
	s.wants("open a")
}

func TestPublisherMovesHere(t *testing.T) {
	s := newScript(t, "home")
	s.begin()
	s.w.locate("home", true, s.now)
	s.wants("leave home, shut")
	s.pass(5000 * ms)
	s.wants("")
}

func TestLayers(t *testing.T) {
	s := newScript(t, "home")
	s.begin()
	s.w.demanded(0b100, s.now)
	s.wants("")
	s.w.demanded(0b010, s.now)
	s.wants("adjust home 110") // more at once
	for range 19 {
		s.pass(100*ms, "home")
		s.w.demanded(0b010, s.now)
	}
	s.wants("")
	s.pass(100*ms, "home")
	s.w.demanded(0b010, s.now)
	s.wants("adjust home 010") // less after two seconds
	s.w.demanded(0, s.now)
	s.pass(2000*ms, "home")
	s.w.demanded(0, s.now)
	s.wants("adjust home 000")
	s.w.demanded(0b001, s.now)
	s.wants("adjust home 001")
}

func TestKeyframesAreMerged(t *testing.T) {
	s := newScript(t, "home")
	s.begin()
	d := &s.w.demand
	for _, step := range []struct {
		at     int64
		layers uint8
		rtt    time.Duration
		want   uint8
	}{
		{0, 0b100, 0, 0b100},
		{10, 0b100, 0, 0},
		{499, 0b100, 0, 0},
		{500, 0b100, 0, 0b100},
		{1000, 0b100, 800 * time.Millisecond, 0},
		{1300, 0b100, 800 * time.Millisecond, 0b100},
		{1900, 0b111, 0, 0b100}, // of the others nothing flows
	} {
		if got := d.keyframes(step.layers, step.rtt, s.now+step.at*ms); got != step.want {
			t.Fatalf("at %d ms: asked for %03b, want %03b", step.at, got, step.want)
		}
	}
}
