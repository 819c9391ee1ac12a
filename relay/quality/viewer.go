package quality

import "time"

const (
	// window is how many packets are remembered, a power of two: as many as may be sent again.
	window = 2048
	// maxPictures is how many pictures may wait to be whole, a power of two: two seconds of 30 a second, and nothing is sent
	// again that is older than one. Older ones are given up, and with them what builds upon them.
	maxPictures = 64
	// fewPictures is for how many there is room at first, a power of two: where the way is short and loses nothing, no more wait.
	fewPictures = 8
	// allLayers is above all temporal layers.
	allLayers = 127
	// silence is how long nothing may come until a gap is a pause. To libwebrtc's VideoReceiveStream2 that is 5 s, but it looks
	// every 3 s.
	silence = int64(6 * time.Second)
)

// Packet is what a [Viewer] must know of a packet that is sent.
type Packet struct {
	Number   int64  // without gaps but for packets that are not there yet: those come late, under the number kept for them
	Stamp    uint32 // of its picture
	Keyframe bool   // it begins a picture that builds upon none
	End      bool   // it ends its picture
	Sync     bool   // its picture builds upon lower temporal layers only
	Spare    bool   // nothing builds upon its picture
	Temporal int8   // layer of its picture, below 0 when not known
}

// picture is what is known of one that is not on display.
type picture struct {
	first, last int64 // numbers; first includes those kept for what is missing before it
	sent        int64 // ns, of the last packet, or of the last sent again
	arrived     int64 // ns, latest known arrival
	stamp       uint32
	came, lost  int32 // packets
	temporal    int8
	key, sync   bool
	spare       bool
	ended       bool
	repaired    bool // packets were sent again
	passed      bool // what is not known to have come is taken to have
}

// whole tells whether all packets of the picture have come.
func (p *picture) whole() bool {
	return p.ended && p.lost == 0 && (p.passed || p.came == int32(p.last-p.first+1)) //nolint:gosec // within window
}

// Viewer reckons what is on display at the other end of one video line. Make it with [NewViewer].
type Viewer struct {
	Freezes
	independent bool // pictures are taken to build upon none
	held        bool // by a browser's buffer

	began   int64 // ns, when the subscription began whose first picture is awaited; 0 when none is
	first   int64 // ns it took; 0 while unknown
	started bool  // highest is known
	highest int64 // number sent last
	stamp   uint32
	heard   int64 // ns, latest arrival
	playout Playout

	pictures   []picture           // a power of two of places
	head, next int64               // pictures that wait; head is the oldest
	broken     int8                // temporal layers from here on build upon what was given up
	received   [window / 64]uint64 // by number
	missed     [window / 64]uint64 // by number: known to be lost, and not sent again since
	again      [window / 64]uint64 // by number: sent again
}

// NewViewer returns a viewer of what the node sends.
func NewViewer() *Viewer { return newViewer(Viewer{held: true}) }

// NewIntake returns a viewer of what the node receives. Pictures are taken to build upon none, since it is not known which do, and
// nothing holds them.
func NewIntake() *Viewer { return newViewer(Viewer{independent: true}) }

func newViewer(v Viewer) *Viewer {
	v.broken, v.pictures = allLayers, make([]picture, fewPictures)
	return &v
}

// Begin tells that a subscription begins: the next picture on display is its first.
func (v *Viewer) Begin(now int64) {
	v.Pause()
	v.began, v.first = now, 0
}

// Pause tells that nothing is meant to flow until the next Begin.
func (v *Viewer) Pause() {
	v.forget()
	v.Freezes.Pause()
	v.began, v.heard = 0, 0
}

// forget gives up all pictures that wait, without harm to those that follow.
func (v *Viewer) forget() {
	v.head, v.broken = v.next, allLayers
	v.started, v.playout = false, Playout{}
}

// FirstFrame returns how long the present subscription waited for its first picture, ns; 0 while it does.
func (v *Viewer) FirstFrame() int64 { return v.first }

// Sent tells of a packet that leaves.
func (v *Viewer) Sent(p *Packet, now int64) {
	if v.started && p.Number <= v.highest {
		v.Again(uint16(p.Number), now) //nolint:gosec // low bits
		return
	}
	from := p.Number // numbers below are still under way, and their packets with them
	if v.started && p.Number-v.highest < window {
		from = v.highest + 1
	} else if v.started {
		v.forget()
	}
	fresh := !v.started || p.Stamp != v.stamp || v.next == v.head
	v.started, v.highest, v.stamp = true, p.Number, p.Stamp
	if fresh {
		if v.next > v.head {
			v.at(v.next - 1).ended = true
		}
		v.makeRoom()
		*v.at(v.next) = picture{first: from, stamp: p.Stamp}
		v.next++
	}
	q := v.at(v.next - 1)
	for n := from; n <= p.Number; n++ {
		clearBit(&v.received, n)
		clearBit(&v.again, n)
		if n < p.Number {
			setBit(&v.missed, n) // until it is sent after all
			q.lost++
		}
	}
	clearBit(&v.missed, p.Number)
	q.last, q.sent = p.Number, now
	q.key, q.sync, q.spare, q.ended = q.key || p.Keyframe, q.sync || p.Sync, p.Spare, q.ended || p.End
	q.temporal = max(q.temporal, p.Temporal)
}

// at returns the place of a picture.
func (v *Viewer) at(i int64) *picture { return &v.pictures[i&int64(len(v.pictures)-1)] }

// makeRoom has a place for one more picture.
func (v *Viewer) makeRoom() {
	was := v.pictures
	switch {
	case v.next-v.head < int64(len(was)):
	case len(was) == maxPictures:
		v.giveUp()
	default:
		v.pictures = make([]picture, 2*len(was))
		for i := v.head; i < v.next; i++ {
			*v.at(i) = was[i&int64(len(was)-1)]
		}
	}
}

// giveUp stops waiting for the oldest picture: it will never be on display.
func (v *Viewer) giveUp() {
	v.broken = min(v.broken, v.at(v.head).breaks())
	v.head++
}

// breaks returns the lowest temporal layer that is lost without the picture.
func (p *picture) breaks() int8 {
	if p.spare {
		return allLayers
	}
	return p.temporal
}

// Extend returns the full number of a packet sent, from its low 16 bits.
func (v *Viewer) Extend(low uint16) int64 { return v.highest - int64(uint16(v.highest)-low) } //nolint:gosec // modular

// Came tells that a packet arrived, at a time on our clock. Repeats do no harm.
func (v *Viewer) Came(low uint16, at int64) {
	if v.heard != 0 && at-v.heard > silence {
		v.Freezes.Pause()
	}
	v.heard = max(v.heard, at)
	n := v.Extend(low)
	q := v.find(n)
	if q == nil || bit(&v.received, n) {
		return
	}
	setBit(&v.received, n)
	if bit(&v.missed, n) {
		clearBit(&v.missed, n)
		q.lost--
	}
	q.came++
	if q.arrived = max(q.arrived, at); q.whole() {
		v.show(at)
	}
}

// Missed tells that a packet did not arrive. With repeat that is said of it as it was sent last; else of the first time, which
// is no news if it was sent again since.
func (v *Viewer) Missed(low uint16, repeat bool) {
	n := v.Extend(low)
	q := v.find(n)
	if q == nil || bit(&v.received, n) || bit(&v.missed, n) || !repeat && bit(&v.again, n) {
		return
	}
	setBit(&v.missed, n)
	q.lost++
	q.passed = false
}

// Again tells that a packet was sent once more.
func (v *Viewer) Again(low uint16, now int64) {
	n := v.Extend(low)
	q := v.find(n)
	if q == nil || bit(&v.received, n) {
		return
	}
	q.sent, q.repaired = now, true
	setBit(&v.again, n)
	if bit(&v.missed, n) {
		clearBit(&v.missed, n)
		q.lost--
	}
}

// Passed tells that all there will be to hear of packets sent before the given time has been heard: those of which nothing was, arrived
// as fast as packets do.
func (v *Viewer) Passed(sent, oneWay, now int64) {
	for i := v.head; i < v.next; i++ {
		q := v.at(i)
		if !q.ended || q.sent >= sent || q.lost > 0 || q.whole() {
			continue
		}
		q.passed = true
		q.arrived = max(q.arrived, min(q.sent+oneWay, now))
		v.heard = max(v.heard, q.arrived)
		v.show(q.arrived)
	}
}

// PassedNumber is Passed for a client that tells the highest number it received, as receiver reports do, instead of each.
func (v *Viewer) PassedNumber(low uint16, oneWay, now int64) {
	n := v.Extend(low)
	for i := v.next - 1; i >= v.head; i-- {
		if q := v.at(i); q.last <= n {
			v.Passed(q.sent+1, oneWay, now)
			return
		}
	}
}

// find returns the waiting picture of a packet, nil when there is none.
func (v *Viewer) find(n int64) *picture {
	low, high := v.head, v.next
	for low < high { // the last whose first number is at most n
		if middle := low + (high-low)/2; v.at(middle).first <= n {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == v.head {
		return nil
	}
	if q := v.at(low - 1); n <= q.last {
		return q
	}
	return nil
}

// show puts on display, in order, what can be now that a picture is whole.
func (v *Viewer) show(at int64) {
	for i := v.head; i < v.next; {
		q := v.at(i)
		if !q.whole() || !v.stands(q) {
			i++
			continue
		}
		for v.head < i { // overtaken
			v.giveUp()
		}
		if q.key {
			v.broken = allLayers
		} else if q.sync && q.temporal >= v.broken {
			v.broken = q.temporal + 1
		}
		v.head++
		shown := max(at, q.arrived)
		if v.held {
			shown = v.playout.Due(q.stamp, q.arrived, shown, q.repaired)
		}
		v.display(shown)
		i = v.head
	}
}

// stands tells whether all that a picture builds upon is on display.
func (v *Viewer) stands(q *picture) bool {
	if v.independent || q.key {
		return true
	}
	below := v.broken
	for i := v.head; v.at(i) != q; i++ {
		below = min(below, v.at(i).breaks())
	}
	if q.sync {
		return q.temporal <= below
	}
	return q.temporal < below
}

func (v *Viewer) display(at int64) {
	at = max(at, v.last)
	if v.began != 0 {
		v.first, v.began = max(at-v.began, 1), 0
	}
	v.Picture(at)
}

func bit(set *[window / 64]uint64, n int64) bool { return set[n%window/64]>>(n%64)&1 != 0 }
func setBit(set *[window / 64]uint64, n int64)   { set[n%window/64] |= 1 << (n % 64) }
func clearBit(set *[window / 64]uint64, n int64) { set[n%window/64] &^= 1 << (n % 64) }
