package pull

import (
	"slices"
	"time"

	"cardea/relay/link"
)

const (
	// lingerTime is for how long a stream that nobody wants any more is kept: who comes back soon finds it.
	lingerTime = int64(3 * time.Second)
	// answerTime is how long a node has to answer, if there is another to ask.
	answerTime = int64(1500 * time.Millisecond)
	// rootTime is how long a source may be without a way to the publisher: it looks for another itself.
	rootTime = int64(600 * time.Millisecond)
	// overlapTime is how long a second source has to show packets beside the first.
	overlapTime = int64(time.Second)
	// agreeTime is how long two sources may disagree about which incarnation there is: the news is on its way.
	agreeTime = int64(2 * time.Second)
	// keepTime is how often the routes are asked whether there is a better parent.
	keepTime = int64(time.Second)
	// steadyTime is for how long a source must do well for what it did before to be forgotten.
	steadyTime = int64(10 * time.Second)

	// forgiveTime is how long ago a failure must be for the next one to count as the first.
	forgiveTime = int64(time.Minute)

	// A node that failed is asked again after this, doubled each time. The publisher's node is the last resort: it is asked
	// more often.
	retryMin, retryMax, retryHome = int64(500 * time.Millisecond), int64(15 * time.Second), int64(2 * time.Second)
)

// verb is what an [action] is to do.
type verb uint8

const (
	ask    verb = iota + 1 // ask the node for the stream
	leave                  // take that back, and take no more of its packets
	open                   // make the stream that the node offers, fed by the node, in place of what there is
	feed                   // let the node feed the stream too
	shut                   // there is no stream any more
	adjust                 // tell the node which layers are wanted
	warm                   // have a link to the node: it is the next to be asked
	forget                 // the want is over
)

// action is what a want wants done.
type action struct {
	verb   verb
	node   link.NodeID
	layers uint8
	best   bool // the highest layer, too: the stream is not known yet
}

// routes is what a want asks of the routes.
type routes struct {
	// parents returns whom to ask for streams of a node, best first.
	parents func(home link.NodeID) []link.NodeID
	// keep returns whom to ask instead of the present parent, if that is better now. It is asked once a second.
	keep func(home, parent link.NodeID) (better link.NodeID, move bool)
}

// retry is when a node may be asked again.
type retry struct {
	at, delay int64
}

// want decides from whom one stream comes. Its methods take what happened, and leave in actions what is to be done. It knows neither
// links nor streams. There are at most two sources: the one that feeds the stream or is to once there is one, and one that is
// tried in its place.
type want struct {
	self   link.NodeID
	routes routes

	wanted bool
	since  int64       // when that changed
	home   link.NodeID // the publisher's node, "" while it is not known
	moved  int64       // when that changed
	here   bool        // the stream is published on this node

	main, trial *source
	incarnation uint64 // of the stream that is open, 0 for none
	demand      demand
	retries     map[link.NodeID]*retry
	kept        int64 // when the routes were asked last
	steady      int64 // since when main does well

	moves, failovers uint64 // changes of the source of a stream, for a better one and because it failed

	actions []action
}

func newWant(self link.NodeID, r routes, now int64) *want {
	return &want{self: self, routes: r, since: now, moved: now, retries: make(map[link.NodeID]*retry)}
}

func (w *want) do(a action) { w.actions = append(w.actions, a) }

// take returns what is to be done, in order.
func (w *want) take() []action {
	a := w.actions
	w.actions = nil
	return a
}

// path returns the way the stream takes from the publisher's node to this one, nil while there is none.
func (w *want) path() []link.NodeID {
	if w.main == nil || !w.main.rooted() {
		return nil
	}
	return append(slices.Clip(w.main.path), w.self)
}

// want tells whether somebody here wants the stream.
func (w *want) want(on bool, now int64) {
	if w.wanted != on {
		w.wanted, w.since = on, now
	}
	w.settle(now)
}

// locate tells where the stream is published, "" if that is not known, and whether it is here.
func (w *want) locate(home link.NodeID, here bool, now int64) {
	here = here || home == w.self
	if home == w.home && here == w.here {
		return
	}
	w.home, w.here, w.moved = home, here, now
	clear(w.retries)
	w.settle(now)
}

// source returns the one that is the node, or nil.
func (w *want) source(node link.NodeID) *source {
	for _, s := range []*source{w.main, w.trial} {
		if s != nil && s.node == node {
			return s
		}
	}
	return nil
}

// announced takes how the stream stands at a node: the incarnation is 0 while nobody publishes it.
func (w *want) announced(node link.NodeID, path []link.NodeID, incarnation uint64, layers uint8, video bool, now int64) {
	s := w.source(node)
	if s == nil {
		return
	}
	if len(path) == 0 && s.rooted() || len(path) > 0 && !s.rooted() || !s.answered {
		s.pathAt = now
	}
	s.answered, s.path, s.offer, s.layers, s.video = true, path, incarnation, layers, video
	if s.waits(w.self) {
		w.give(s, now)
	}
	w.settle(now)
}

// failed tells that a node refused, cannot be reached, or that the link to it is gone.
func (w *want) failed(node link.NodeID, now int64) {
	if s := w.source(node); s != nil {
		w.give(s, now)
	}
	w.settle(now)
}

// stalled tells whether the link to a node is silent.
func (w *want) stalled(node link.NodeID, on bool, now int64) {
	s := w.source(node)
	if s == nil || s.stalled == on {
		return
	}
	s.stalled = on
	if s == w.main && w.trial != nil && w.trial.fed == 0 && w.healthy(s, now) { // it was over before the other had answered
		w.do(action{verb: leave, node: w.trial.node})
		w.trial = nil
	}
	w.settle(now)
}

// progress takes how many packets came from a node so far.
func (w *want) progress(node link.NodeID, packets uint64) {
	if s := w.source(node); s != nil {
		s.progress(packets)
	}
}

// hinted takes how many packets a node says it has sent.
func (w *want) hinted(node link.NodeID, sent uint64, now int64) {
	if s := w.source(node); s != nil {
		s.hints(sent)
		w.settle(now)
	}
}

// demanded takes which layers are wanted here now.
func (w *want) demanded(layers uint8, now int64) {
	if w.incarnation == 0 {
		return
	}
	w.demand.update(layers, now)
	w.adjust()
}

// adjust tells the sources which layers are wanted, if that is new to them.
func (w *want) adjust() {
	for _, s := range []*source{w.main, w.trial} {
		if s != nil && w.incarnation != 0 && (!s.informed || s.told != w.demand.layers) {
			s.told, s.informed = w.demand.layers, true
			w.do(action{verb: adjust, node: s.node, layers: s.told})
		}
	}
}

// tick does what is due.
func (w *want) tick(now int64) {
	if m := w.main; m != nil && w.steady != 0 && now-w.steady > steadyTime {
		delete(w.retries, m.node)
	}
	w.settle(now)
}

// settle brings the sources into the state they should be in.
func (w *want) settle(now int64) {
	switch {
	case !w.wanted && now-w.since >= lingerTime:
		w.drop()
		w.do(action{verb: forget})
		return
	case w.here:
		w.drop()
		return
	}
	w.promote(now)
	w.expire(now)
	w.watch(now)
	w.seek(now)
	if w.main != nil && w.main.rooted() && w.main.offer != w.incarnation {
		w.sync(now)
	}
}

// drop leaves all sources.
func (w *want) drop() {
	for _, s := range []*source{w.trial, w.main} {
		if s != nil {
			w.do(action{verb: leave, node: s.node})
		}
	}
	w.main, w.trial = nil, nil
	w.close()
}

func (w *want) close() {
	if w.incarnation != 0 {
		w.incarnation, w.demand = 0, demand{}
		w.starve()
		w.do(action{verb: shut})
	}
}

// starve notes that the stream the sources fed is no more.
func (w *want) starve() {
	for _, s := range []*source{w.main, w.trial} {
		if s != nil {
			s.fed, s.packets, s.hint, s.informed = 0, 0, hinted{}, false
		}
	}
}

// works tells whether a source passes on what there is.
func (w *want) works(s *source, now int64) bool {
	return s != nil && !s.stalled && !s.starved && (s.rooted() || now-s.pathAt < rootTime)
}

// healthy tells whether a source does what it is there for.
func (w *want) healthy(s *source, now int64) bool {
	if !w.works(s, now) {
		return false
	}
	if w.home == "" || !s.rooted() || s.path[0] == w.home {
		return true
	}
	// The publisher moved. Who is on the way will know it soon; who was its node has no more to say.
	return len(s.path) > 1 && s.offer != 0 && now-w.moved < rootTime
}

// watch notes since when the main source does well.
func (w *want) watch(now int64) {
	switch {
	case !w.healthy(w.main, now):
		w.steady = 0
	case w.steady == 0:
		w.steady = now
	}
}

// promote makes the trial the main source when that is right.
func (w *want) promote(now int64) {
	t, m := w.trial, w.main
	switch {
	case t == nil || !t.rooted():
	case w.works(m, now) && m.offer != 0 && t.offer == 0 && now-w.moved < agreeTime: // the publisher is moving
	case !w.healthy(m, now):
		if m != nil {
			w.block(m.node, now)
		}
		w.adopt(now)
	case m.offer == 0: // there is nothing to lose
		w.adopt(now)
	case t.offer != m.offer: // one of them is behind
	case t.fed == 0:
		w.feed(t, now)
		fallthrough
	default:
		if t.packets > 0 || w.demand.layers == 0 {
			w.adopt(now)
		}
	}
}

// adopt makes the trial the main source.
func (w *want) adopt(now int64) {
	old := w.main
	if w.incarnation != 0 && w.incarnation == w.trial.offer {
		if w.healthy(old, now) {
			w.moves++
		} else {
			w.failovers++
		}
	}
	w.main, w.trial, w.steady = w.trial, nil, 0
	w.sync(now)
	if old != nil {
		w.do(action{verb: leave, node: old.node})
	}
}

// sync makes the stream what the main source offers.
func (w *want) sync(now int64) {
	m := w.main
	switch {
	case m.offer == 0:
		w.close()
	case m.offer != w.incarnation:
		w.incarnation = m.offer
		w.starve()
		m.fed = now
		best := uint8(1)
		if m.video {
			best = 1 << (m.layers - 1)
		}
		w.demand.begin(best, now) // it is on its way
		w.do(action{verb: open, node: m.node})
	case m.fed == 0:
		w.feed(m, now)
	}
}

// feed lets a source feed the open stream.
func (w *want) feed(s *source, now int64) {
	s.fed, s.packets, s.hint = now, 0, hinted{}
	if w.main != nil {
		s.rival = w.main.packets
	}
	w.do(action{verb: feed, node: s.node})
	w.adjust()
}

// expire gives up a trial that came to nothing.
func (w *want) expire(now int64) {
	t := w.trial
	if t == nil {
		return
	}
	well := w.healthy(w.main, now)
	switch {
	case !t.rooted(): // its answer takes long, or cannot come: an ocean that is cut silences one link after the other
		if (t.stalled || now-t.asked >= answerTime) && (well || w.next(now) != "") {
			w.give(t, now)
		}
	case !well: // it would have been promoted
	case t.fed != 0:
		if now-t.fed < overlapTime {
			return
		}
		if w.main.packets != t.rival { // the main source goes on, and this one brings nothing
			w.give(t, now)
		} else {
			w.adopt(now)
		}
	case now-t.asked >= answerTime+agreeTime:
		w.give(t, now)
	}
}

// give gives a source up for now.
func (w *want) give(s *source, now int64) {
	w.do(action{verb: leave, node: s.node})
	w.block(s.node, now)
	if s == w.main {
		w.main = nil
	} else {
		w.trial = nil
	}
}

// block keeps a node that failed from being asked for a while.
func (w *want) block(node link.NodeID, now int64) {
	r := w.retries[node]
	if r == nil || now-r.at > forgiveTime {
		r = &retry{}
		w.retries[node] = r
	}
	most := retryMax
	if node == w.home {
		most = retryHome
	}
	r.delay = min(max(2*r.delay, retryMin), most)
	r.at = now + r.delay
}

func (w *want) blocked(node link.NodeID, now int64) bool {
	r := w.retries[node]
	return r != nil && now < r.at
}

// seek asks another node if there is reason to.
func (w *want) seek(now int64) {
	if w.trial != nil || w.home == "" || !w.wanted {
		return
	}
	if !w.healthy(w.main, now) {
		if node := w.next(now); node != "" {
			w.try(node, now)
		}
		return
	}
	if now-w.kept < keepTime {
		return
	}
	w.kept = now
	better, move := w.routes.keep(w.home, w.main.node)
	if move && better != w.self && better != w.main.node && !w.blocked(better, now) {
		w.try(better, now)
		return
	}
	if second := w.next(now); second != "" {
		w.do(action{verb: warm, node: second})
	}
}

// next returns the best node to ask instead of the sources there are, "" if there is none just now.
func (w *want) next(now int64) link.NodeID {
	for _, node := range append(w.routes.parents(w.home), w.home) {
		if node != "" && node != w.self && w.source(node) == nil && !w.blocked(node, now) {
			return node
		}
	}
	return ""
}

// try asks a node.
func (w *want) try(node link.NodeID, now int64) {
	w.trial = &source{node: node, asked: now, pathAt: now, told: w.demand.layers, informed: w.incarnation != 0}
	w.do(action{verb: ask, node: node, layers: w.demand.layers, best: w.incarnation == 0})
}
