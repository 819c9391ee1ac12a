package quality

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"cardea/relay/plane"
)

// Bounds of a [Board]. Full, it takes some 130 MB: 7 kB a line.
const (
	// Steps is how many reports of a line are kept.
	Steps = 30
	// keepTime is how long a line is kept that nothing more is said of.
	keepTime = 5 * time.Minute
	// maxBoardLines and maxRoomLines bound the lines of all rooms, and of one.
	maxBoardLines = 20_000
	maxRoomLines  = 2_000
	// sweepTime is how often what is too old is looked for.
	sweepTime = 10 * time.Second
)

// Report is what a [Board] is told of one client.
type Report struct {
	Room            string // key: "videoroom/1234"
	Participant     string // id; "" when it is not known whose client it is
	Session, Handle uint64
	Client          bool // the client says so itself
	Quality         plane.Quality
}

// Point is one report of a line.
type Point struct {
	At      time.Time
	Span    time.Duration
	RTT     time.Duration // of the client
	Rate    uint32        // bits/s of all lines of the client's in this direction
	Figures plane.LineQuality
}

// Line is what was said of a line lately, oldest first.
type Line struct {
	Participant     string
	Session, Handle uint64
	Client          bool
	Mid             string
	Kind            plane.Kind
	Sending         bool // the node sends
	Points          []Point
}

// Board keeps the last reports of everybody in every room. It is safe for concurrent use.
type Board struct {
	mu      sync.Mutex // guards below
	rooms   map[string]map[lineKey]*Line
	lines   int
	swept   time.Time
	refused uint64
}

// lineKey names a line of a room.
type lineKey struct {
	session, handle uint64
	mid             string
	kind            plane.Kind
	sending, client bool
}

// NewBoard returns an empty board.
func NewBoard() *Board { return &Board{rooms: make(map[string]map[lineKey]*Line)} }

// Add keeps a report. Lines beyond the bounds are left out, and counted.
func (b *Board) Add(now time.Time, r *Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.swept) >= sweepTime {
		b.sweep(now)
	}
	q := &r.Quality
	for i := range q.Lines {
		f := q.Lines[i]
		l := b.line(r, &f)
		if l == nil {
			b.refused++
			continue
		}
		l.Participant = r.Participant
		rate := q.ReceivedRate
		if f.Sending {
			rate = q.SentRate
		}
		if len(l.Points) == Steps {
			l.Points = append(l.Points[:0], l.Points[1:]...)
		}
		l.Points = append(l.Points, Point{At: now, Span: q.Span, RTT: q.RTT, Rate: rate, Figures: f})
	}
}

// line finds or makes a line; nil when there are too many.
func (b *Board) line(r *Report, f *plane.LineQuality) *Line {
	k := lineKey{r.Session, r.Handle, f.Mid, f.Kind, f.Sending, r.Client}
	room := b.rooms[r.Room]
	if l := room[k]; l != nil {
		return l
	}
	if b.lines >= maxBoardLines || len(room) >= maxRoomLines {
		return nil
	}
	if room == nil {
		room = make(map[lineKey]*Line)
		b.rooms[r.Room] = room
	}
	l := &Line{Session: r.Session, Handle: r.Handle, Client: r.Client, Mid: f.Mid, Kind: f.Kind, Sending: f.Sending}
	room[k] = l
	b.lines++
	return l
}

// sweep forgets lines that nothing was said of for long.
func (b *Board) sweep(now time.Time) {
	b.swept = now
	for name, room := range b.rooms {
		for k, l := range room {
			if now.Sub(l.Points[len(l.Points)-1].At) > keepTime {
				delete(room, k)
				b.lines--
			}
		}
		if len(room) == 0 {
			delete(b.rooms, name)
		}
	}
}

// Room returns a copy of what is known of a room, by participant, handle and mid. With a participant, only of that one.
func (b *Board) Room(now time.Time, room, participant string) []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []Line
	for _, l := range b.rooms[room] {
		if now.Sub(l.Points[len(l.Points)-1].At) > keepTime || participant != "" && l.Participant != participant {
			continue
		}
		own := *l
		own.Points = slices.Clone(l.Points)
		found = append(found, own)
	}
	slices.SortFunc(found, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Participant, b.Participant), cmp.Compare(a.Session, b.Session), cmp.Compare(a.Handle, b.Handle),
			cmp.Compare(a.Mid, b.Mid), cmp.Compare(a.Kind, b.Kind), boolCompare(a.Sending, b.Sending), boolCompare(a.Client, b.Client))
	})
	return found
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Lines returns how many lines are kept, and Refused how many reports were left out.
func (b *Board) Lines() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines
}

// Refused returns how many reports of lines were left out because there were too many.
func (b *Board) Refused() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}
