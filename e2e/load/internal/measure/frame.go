package measure

// frameWindow bounds how long a first frame may be, packets.
const frameWindow = 1024

// FirstFrame finds the moment when a stream's first keyframe is complete: all packets from the one that begins it to the one
// with the marker have come, in whatever order. The zero value is ready. Not safe for concurrent use.
type FirstFrame struct {
	at     int64              // when it was complete; 0 not yet
	seen   [frameWindow]int64 // extended sequence numbers that came, each at its place
	began  bool
	first  int64 // of the keyframe
	stamp  uint32
	marked bool
	last   int64 // of the packet with the marker
	marker uint32
}

// Done returns when the frame was complete.
func (f *FirstFrame) Done() (at int64, ok bool) { return f.at, f.at != 0 }

// Add takes a packet: its extended sequence number (above 0), RTP timestamp and marker, whether it begins a keyframe, and
// when it came. It tells whether the frame is complete with it.
func (f *FirstFrame) Add(seq int64, timestamp uint32, marker, beginsKeyframe bool, arrival int64) bool {
	if f.at != 0 || seq <= 0 {
		return false
	}
	f.seen[seq%frameWindow] = seq
	if beginsKeyframe && (!f.began || seq > f.first) { // a later keyframe is as good as one that has not been completed
		f.began, f.first, f.stamp = true, seq, timestamp
	}
	if marker && (!f.marked || !f.began || timestamp == f.stamp) {
		f.marked, f.last, f.marker = true, seq, timestamp
	}
	if !f.complete() {
		return false
	}
	f.at = arrival
	return true
}

func (f *FirstFrame) complete() bool {
	if !f.began || !f.marked || f.marker != f.stamp || f.last < f.first || f.last-f.first >= frameWindow {
		return false
	}
	for seq := f.first; seq <= f.last; seq++ {
		if f.seen[seq%frameWindow] != seq {
			return false
		}
	}
	return true
}
