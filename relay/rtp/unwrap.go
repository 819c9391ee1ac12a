package rtp

// Unwrapper extends counters that wrap, sequence numbers (uint16) or timestamps (uint32), to an int64 that does not.
// Each value is taken to be the one nearest to the highest so far, so reordering across a wrap is followed both ways.
// The first value stands for itself; one that comes late from before it may be negative. The zero value is ready.
// Not safe for concurrent use.
type Unwrapper[T uint16 | uint32] struct {
	highest int64
	started bool
}

// Unwrap returns the extended value of v and remembers it if it is the highest.
func (u *Unwrapper[T]) Unwrap(v T) int64 {
	x := u.Peek(v)
	if !u.started || x > u.highest {
		u.highest, u.started = x, true
	}
	return x
}

// Peek returns the extended value of v without remembering it.
func (u *Unwrapper[T]) Peek(v T) int64 {
	if !u.started {
		return int64(v)
	}
	ahead := v - T(u.highest)
	if ahead <= ^T(0)>>1 {
		return u.highest + int64(ahead)
	}
	return u.highest - int64(-ahead)
}

// Highest returns the highest extended value so far; ok is false before the first.
func (u *Unwrapper[T]) Highest() (v int64, ok bool) { return u.highest, u.started }

// Reset forgets everything, as when a source starts anew.
func (u *Unwrapper[T]) Reset() { *u = Unwrapper[T]{} }
