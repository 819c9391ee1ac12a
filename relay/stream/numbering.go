package stream

import "slices"

// maxGap is the largest jump of a source's numbers that is taken for loss; behind a larger one numbers go on without it.
const maxGap = 512

// maxSpans bounds how many changes of the offset are remembered for packets that come late.
const maxSpans = 64

// numbering gives packets outgoing numbers without gaps over what is not relayed, and keeps the numbers of packets that
// are missing, should they come late.
type numbering struct {
	next     int64 // the first number not given away
	highest  int64 // highest incoming number so far, with anchored
	anchored bool
	spans    []span // newest last
}

// span says that incoming numbers from in on, up to the next span, leave as the number less offset.
type span struct {
	in, offset int64
}

// restart makes the next packet, whatever its number, follow the last one. Packets from before are not renumbered any more.
func (n *numbering) restart() { n.anchored = false }

// jumps tells whether a number is too far from those before to be counted from them.
func (n *numbering) jumps(in int64) bool { return n.anchored && in-n.highest > maxGap }

// late tells whether a number is below one seen already.
func (n *numbering) late(in int64) bool { return n.anchored && in <= n.highest }

// forward gives the next packet, which must not be late, its number. The missing ones before it keep missing numbers.
func (n *numbering) forward(in int64) (out int64, missing int) {
	missing = n.advance(in)
	out = in - n.spans[len(n.spans)-1].offset
	n.next = out + 1
	return out, missing
}

// drop takes note of a packet, which must not be late, that is not relayed. The missing ones before it keep numbers.
func (n *numbering) drop(in int64) (missing int) {
	if !n.anchored {
		return 0
	}
	missing = n.advance(in)
	last := &n.spans[len(n.spans)-1]
	n.next = in - last.offset
	if last.in == in {
		*last = span{in + 1, last.offset + 1}
		return missing
	}
	if len(n.spans) == maxSpans {
		n.spans = n.spans[:copy(n.spans, n.spans[maxSpans/2:])]
	}
	n.spans = append(n.spans, span{in + 1, n.spans[len(n.spans)-1].offset + 1})
	return missing
}

// advance moves the highest number to in.
func (n *numbering) advance(in int64) (missing int) {
	if !n.anchored || n.jumps(in) {
		n.anchored = true
		n.spans = append(n.spans[:0], span{in, in - n.next})
		n.highest = in
		return 0
	}
	missing = int(in - n.highest - 1)
	n.highest = in
	return missing
}

// lookup returns the number that belongs to a late packet.
func (n *numbering) lookup(in int64) (out int64, ok bool) {
	for _, v := range slices.Backward(n.spans) {
		if s := v; in >= s.in {
			return in - s.offset, true
		}
	}
	return 0, false
}
