package measure

// FirstFrame finds the moment when a stream's first keyframe is complete: all packets from the one that begins it to the one
// with the marker have come, in whatever order. The zero value is ready. Not safe for concurrent use.
type FirstFrame struct {
	at        int64 // when it was complete; 0 not yet
	began     bool
	timestamp uint32
	first     int64 // extended sequence number of the frame's first packet
	last      int64 // of the one with the marker, 0 when it has not come
	got       int64 // packets of [first, last], each once
}

// Done returns when the frame was complete.
func (f *FirstFrame) Done() (at int64, ok bool) { return f.at, f.at != 0 }

// Add takes a packet that was not seen before: its extended sequence number (above 0), RTP timestamp and marker, whether it
// begins a keyframe, and when it came. It tells whether the frame is complete with it.
func (f *FirstFrame) Add(seq int64, timestamp uint32, marker, beginsKeyframe bool, arrival int64) bool {
	if f.at != 0 {
		return false
	}
	if beginsKeyframe && (!f.began || seq > f.first) {
		// A later keyframe is as good as an incomplete earlier one.
		*f = FirstFrame{began: true, timestamp: timestamp, first: seq}
	}
	if !f.began || timestamp != f.timestamp || seq < f.first {
		return false
	}
	f.got++
	if marker {
		f.last = seq
	}
	if f.last == 0 || f.got != f.last-f.first+1 {
		return false
	}
	f.at = arrival
	return true
}
