package post

import (
	"slices"

	"cardea/relay/data"
)

// maxSpans bounds the gaps in the unordered messages of one line that are remembered.
const maxSpans = 64

// tally is what a listener's node has of a line's reliable messages. It is pure.
type tally struct {
	Incarnation uint64 `pb:"1"` // whose numbers these are; 0: nothing came yet
	Ordered     uint64 `pb:"2"` // the ordered ones up to this number came, or will never
	Unordered   []span `pb:"3"` // the unordered ones that came, and those below the first span's end
}

// span is the numbers from First to Last.
type span struct {
	First uint64 `pb:"1"`
	Last  uint64 `pb:"2"`
}

// valid says that a tally from elsewhere is one.
func (t *tally) valid() bool {
	if len(t.Unordered) > maxSpans {
		return false
	}
	end := uint64(0)
	for _, s := range t.Unordered {
		// Spans leave a gap, or they would be one; the first may begin with 0.
		if s.Last < s.First || (end > 0 && s.First <= end) || s.Last == ^uint64(0) {
			return false
		}
		end = s.Last + 1
	}
	return true
}

// take enters a message; false if it came before. Ordered ones that are missing before it are counted: their sender gave
// them up.
func (t *tally) take(f *frame) (fresh bool, missing uint64) {
	if f.Partial != data.Reliable {
		return true, 0
	}
	if f.Incarnation != t.Incarnation {
		*t = tally{Incarnation: f.Incarnation}
		if !f.Unordered {
			t.Ordered = f.Number - 1 // where a subscription begins
		}
	}
	if f.Unordered {
		t.settle(f.Floor)
		return t.add(f.Number), 0
	}
	if f.Number <= t.Ordered {
		return false, 0
	}
	if t.Ordered > 0 {
		missing = f.Number - t.Ordered - 1
	}
	t.Ordered = f.Number
	return true, missing
}

// has says whether a number is one of the unordered that came.
func (t *tally) has(n uint64) bool {
	i, ok := t.find(n)
	return ok && t.Unordered[i].First <= n
}

// find returns the first span that ends at n or after it.
func (t *tally) find(n uint64) (i int, ok bool) {
	i, _ = slices.BinarySearchFunc(t.Unordered, n, func(s span, n uint64) int {
		if s.Last < n {
			return -1
		}
		return 1
	})
	return i, i < len(t.Unordered)
}

// settle forgets about the gaps below floor.
func (t *tally) settle(floor uint64) {
	if floor == 0 {
		return
	}
	i, ok := t.find(floor - 1)
	first := span{0, floor - 1}
	if ok && t.Unordered[i].First <= floor { // it reaches into, or touches, what is settled
		first.Last = t.Unordered[i].Last
		i++
	}
	t.Unordered = slices.Replace(t.Unordered, 0, i, first)
}

// add enters an unordered number; false if it is there.
func (t *tally) add(n uint64) bool {
	if t.has(n) {
		return false
	}
	i, ok := t.find(n) // the span after n
	touches := ok && t.Unordered[i].First == n+1
	follows := i > 0 && t.Unordered[i-1].Last+1 == n
	switch {
	case touches && follows:
		t.Unordered[i-1].Last = t.Unordered[i].Last
		t.Unordered = slices.Delete(t.Unordered, i, i+1)
	case touches:
		t.Unordered[i].First = n
	case follows:
		t.Unordered[i-1].Last = n
	default:
		t.Unordered = slices.Insert(t.Unordered, i, span{n, n})
	}
	if len(t.Unordered) > maxSpans { // their sender has left the gaps for longer than it should
		t.Unordered[1].First = t.Unordered[0].First
		t.Unordered = slices.Delete(t.Unordered, 0, 1)
	}
	return true
}

// covers returns how many numbers came, or never will: it only grows with what comes.
func (t *tally) covers() uint64 {
	n := t.Ordered
	for _, s := range t.Unordered {
		n += s.Last - s.First + 1
	}
	return n
}

// copy returns a tally that shares nothing with t.
func (t *tally) copy() tally {
	c := *t
	c.Unordered = slices.Clone(t.Unordered)
	return c
}
