package quality

import "time"

const (
	// freezeWindow and freezeLeast are the distances between pictures that are averaged, and how many it takes to judge
	// one, as in libwebrtc's VideoQualityObserver.
	freezeWindow = 30
	freezeLeast  = 5
	// freezeIncrease and freezeFactor are how much further apart than usual two pictures are when the picture froze
	// (freezeCount in W3C's webrtc-stats).
	freezeIncrease = int64(150 * time.Millisecond)
	freezeFactor   = 3
)

// Freezes finds the stalls in the times at which pictures came on display. The zero value is ready to use.
type Freezes struct {
	Count   int   // stalls, each counted at its end
	Frozen  int64 // ns, their sum
	Watched int64 // ns between pictures, pauses left out
	Frames  int

	last      int64 // ns of the last picture; 0 before the first and after a pause
	distances [freezeWindow]int64
	sum       int64
	n, next   int
}

// Picture tells that a picture came on display. Times never go back.
func (f *Freezes) Picture(at int64) {
	f.Frames++
	last := f.last
	f.last = at
	if last == 0 {
		return
	}
	distance := max(at-last, 0)
	f.Watched += distance
	f.add(distance)
	if f.n < freezeLeast {
		return
	}
	mean := f.sum / int64(f.n) // the distance itself is in it, as it is in Chromium's
	if distance >= max(freezeFactor*mean, mean+freezeIncrease) {
		f.Count++
		f.Frozen += distance
	}
}

// Pause tells that nothing was meant to come: the distance to the next picture says nothing.
func (f *Freezes) Pause() { f.last = 0 }

// Last returns when the last picture came on display, 0 for none since the last pause.
func (f *Freezes) Last() int64 { return f.last }

func (f *Freezes) add(distance int64) {
	f.sum += distance
	if f.n < freezeWindow {
		f.n++
	} else {
		f.sum -= f.distances[f.next]
	}
	f.distances[f.next] = distance
	f.next = (f.next + 1) % freezeWindow
}
