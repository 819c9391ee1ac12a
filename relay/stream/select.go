package stream

import "time"

const (
	// switchAge is how far behind live a keyframe may lie for a switch between substreams to begin at it.
	switchAge = int64(200 * time.Millisecond)
	// reviewTime is how often the choice of substream is looked at while no keyframe comes by.
	reviewTime = int64(20 * time.Millisecond)
	// askTime is how often one track asks for the same keyframe; requests of all tracks are merged further up.
	askTime = int64(250 * time.Millisecond)
	// syncTime is how long a track waits for a place to enter a temporal layer before it asks for a keyframe.
	syncTime = int64(time.Second)
	// lagTime is how old the packet at the cursor may be before a newer keyframe is jumped to.
	lagTime = int64(500 * time.Millisecond)
)

// Select decides what to do with a live packet. After Forward and Fill, AppendRTP has to be called for the same packet
// before the next Select; if it is not, the packet counts as lost, and is there when the subscriber asks for it. While the
// track is [Track.Behind] live packets are dropped: Catchup sends them.
func (t *Track) Select(p *Packet, now int64) Action {
	t.chosen.action = Drop
	if t.stream == nil || t.paused {
		return Drop
	}
	if int8(p.Layer) == t.layer { //nolint:gosec // below MaxLayers
		if t.behind && p.Seq >= t.cursor {
			return Drop
		}
		return t.pass(p, now)
	}
	if !t.keyed {
		if t.layer >= 0 {
			return Drop
		}
		t.enter(int8(p.Layer)) //nolint:gosec // below MaxLayers
		return t.pass(p, now)
	}
	return t.elsewhere(p, now)
}

// elsewhere takes a packet of a substream that is not relayed: the chance to switch.
func (t *Track) elsewhere(p *Packet, now int64) Action {
	if !p.Info.Keyframe && now < t.review {
		return Drop
	}
	layer, want := int8(p.Layer), t.desired(now) //nolint:gosec // below MaxLayers
	if p.Info.Keyframe && t.accepts(layer, want, now) {
		if t.overtaken(p) {
			t.replay(layer, p.Seq)
			return Drop
		}
		t.enter(layer)
		return t.pass(p, now)
	}
	t.seek(want, now)
	return Drop
}

// overtaken tells whether the rest of a keyframe came before its first packet: it then has to come from the cache.
func (t *Track) overtaken(p *Packet) bool {
	next := t.stream.layers[p.Layer].ring.get(p.Seq + 1)
	return next != nil && (p.Recovered || next.Arrival < p.Arrival)
}

// desired returns the substream to relay: the highest that flows or would if it were wanted, up to target and limit; above
// them only if there is nothing else. -1 means that nothing flows and nothing did.
func (t *Track) desired(now int64) int8 {
	ceiling := min(t.target.substream, t.limit.Substream)
	above := int8(-1)
	for i := int8(len(t.stream.layers)) - 1; i >= 0; i-- { //nolint:gosec // at most MaxLayers
		l := &t.stream.layers[i]
		// What is relayed already is wanted: if it does not flow, a hint does not bring it back.
		if !l.alive(now, t.fallback) && (i == t.layer || !l.hint.offers(now)) {
			continue
		}
		if i <= ceiling {
			return i
		}
		above = i
	}
	if above >= 0 {
		return above
	}
	return t.layer
}

// accepts tells whether a keyframe of a substream is a reason to switch to it, on the way to the one wanted: to begin at
// all, or to get down from one that is too much or dead.
func (t *Track) accepts(layer, want int8, now int64) bool {
	switch {
	case layer == want:
		return true
	case t.layer < 0 || !t.stream.layers[t.layer].alive(now, t.fallback):
		return layer < want
	default:
		return want < layer && layer < t.layer
	}
}

// seek goes to the wanted substream if its last keyframe is still cached and not far behind, else asks for a keyframe.
func (t *Track) seek(want int8, now int64) {
	t.review = now + reviewTime
	if want < 0 || want == t.layer {
		return
	}
	age := switchAge
	if t.layer < 0 || !t.stream.layers[t.layer].alive(now, t.fallback) {
		age = keptTime // there is no picture to lose
	}
	l := &t.stream.layers[want]
	if l.replayable(now, age) {
		t.replay(want, l.keySeq)
		return
	}
	if t.layer < 0 {
		first := int8(-1)
		for i := want - 1; i >= 0; i-- {
			l := &t.stream.layers[i]
			if !l.alive(now, t.fallback) {
				continue
			}
			if l.replayable(now, keptTime) {
				t.replay(i, l.keySeq)
				break
			}
			first = max(first, i)
		}
		if t.layer < 0 && first >= 0 && !t.stream.layers[want].alive(now, t.fallback) {
			t.stream.wantKeyframe(int(first)) // a picture to begin with, while the one that was chosen is on its way
		}
	}
	t.ask(want, now)
}

// ask asks the source for a keyframe.
func (t *Track) ask(layer int8, now int64) {
	if t.asked != 0 && t.askedOf == layer && now-t.asked < askTime {
		return
	}
	t.asked, t.askedOf = now, layer
	t.stream.wantKeyframe(int(layer))
}

// begin starts relaying after Attach or a pause.
func (t *Track) begin(now int64) {
	if !t.keyed {
		return // with the next packet
	}
	t.asked = 0
	want := t.desired(now)
	if want < 0 {
		want = t.hoped()
	}
	t.seek(want, now)
}

// hoped returns the substream to wait for while nothing is known to flow.
func (t *Track) hoped() int8 {
	return max(min(t.target.substream, t.limit.Substream, int8(len(t.stream.layers))-1), 0) //nolint:gosec // at most MaxLayers
}

// replay makes the track relay a substream from a cached keyframe on.
func (t *Track) replay(layer int8, keyframe int64) {
	t.enter(layer)
	t.behind, t.cursor = true, keyframe
}

// enter makes a substream the one relayed, from its next packet on.
func (t *Track) enter(layer int8) {
	t.layer, t.behind = layer, false
	t.retarget()
	t.filter.restart()
	t.pictures.restart()
	t.numbers.restart()
}

// pass takes a packet of the substream that is relayed.
func (t *Track) pass(p *Packet, now int64) Action {
	if t.numbers.late(p.Seq) {
		return t.passLate(p)
	}
	if t.numbers.jumps(p.Seq) && !t.jump(p, now) {
		return Drop
	}
	if p.SSRC != t.ssrc { // another encoder, of the same or another substream
		t.ssrc = p.SSRC
		t.pictures.restart()
	}
	m, ok := t.mapping(p)
	relayed := t.filter.next(p)
	t.attend(now)
	if !ok || !relayed || len(m.payload(p)) == 0 {
		missing := t.numbers.drop(p.Seq)
		t.holes(p, missing, t.numbers.next, now)
		return Drop
	}
	t.keepTime(p, now)
	number, missing := t.numbers.forward(p.Seq)
	t.holes(p, missing, number, now)
	e := t.history.push(number, now)
	e.in, e.layer = uint32(p.Seq), p.Layer //nolint:gosec // low bits
	t.choose(Forward, p, number)
	t.chosen.picture, t.chosen.tl0 = t.pictures.next(p)
	t.time.sent(p.Timestamp, t.chosen.stamp, p.Arrival)
	return Forward
}

// jump begins anew behind a gap that is too wide to be loss that is repaired; pictures can do so only at a keyframe.
func (t *Track) jump(p *Packet, now int64) bool {
	t.numbers.restart()
	t.pictures.restart()
	if !t.keyed || p.Info.Keyframe {
		return true
	}
	t.layer, t.behind = -1, false
	t.RequestKeyframe(now)
	return false
}

// passLate takes a packet that comes after later ones: it fills the number that was kept for it, if there is one.
func (t *Track) passLate(p *Packet) Action {
	number, ok := t.numbers.lookup(p.Seq)
	if !ok {
		return Drop
	}
	e := t.history.at(number)
	if e == nil || e.flags&isSent != 0 || e.in != uint32(p.Seq) || e.layer != p.Layer { //nolint:gosec // low bits
		return Drop
	}
	action := Forward
	if m, ok := t.mapping(p); !ok || !t.filter.relays(&p.Info) || len(m.payload(p)) == 0 || p.SSRC != t.ssrc {
		action = Fill
	}
	t.choose(action, p, number)
	t.chosen.picture, t.chosen.tl0 = t.pictures.at(p)
	if action == Forward { // it may still be the newest of those that are relayed
		t.pictures.sent(p, t.chosen.picture, t.chosen.tl0)
		t.time.sent(p.Timestamp, t.chosen.stamp, p.Arrival)
	}
	return action
}

// choose remembers what AppendRTP is to make.
func (t *Track) choose(a Action, p *Packet, number int64) {
	t.chosen = chosen{
		action: a, number: number, stamp: t.time.at(p.Timestamp),
		marker: a == Forward && (p.Marker || t.filter.ends(&p.Info)),
	}
}

// holes puts the missing packets before number into the history: their numbers wait for them.
func (t *Track) holes(p *Packet, missing int, number, now int64) {
	for i := missing; i > 0; i-- {
		e := t.history.push(number-int64(i), now)
		e.in, e.layer = uint32(p.Seq-int64(i)), p.Layer //nolint:gosec // low bits
	}
}

// keepTime sets the clock when the packet is the first of its source, or of a replay.
func (t *Track) keepTime(p *Packet, now int64) {
	if t.numbers.anchored {
		return
	}
	layer := int8(p.Layer) //nolint:gosec // below MaxLayers
	switch {
	case !t.time.started:
		t.time.start(p.Timestamp, max(now-p.Arrival, 0))
	case t.previous == layer:
		t.time.resume(p.Timestamp)
	case t.previous >= 0:
		old, next := t.stream.layers[t.previous].report, t.stream.layers[layer].report
		t.time.takeOver(p.Timestamp, t.time.elapsedBetween(old, next, p.Timestamp, p.Arrival))
	default:
		t.time.takeOver(p.Timestamp, ticks(p.Arrival-t.time.arrival, t.time.rate))
	}
	t.previous = layer
}

// attend asks for the keyframe that the filter needs.
func (t *Track) attend(now int64) {
	if !t.filter.needSync {
		t.unsynced = 0
	} else if t.unsynced == 0 {
		t.unsynced = now
	}
	if t.filter.needKey || t.unsynced != 0 && now-t.unsynced > syncTime {
		t.ask(t.layer, now)
	}
}
