package room

import "slices"

// view is one user of a room on this node, and what it is to be told. Each participant that changed is in the queue once, and
// what is told is the state when its turn comes: a user that is slow is told less, not late, and costs no more memory than the room
// has participants.
type view struct {
	c     *core
	r     *roster
	put   map[string]struct{} // participants that this user has put or claimed
	shown map[string]*entry   // as it was told
	over  bool

	queue   []event
	pending map[string]string // participants in the queue, and why they went
	editing bool              // eventEdited is in the queue
	told    *record
	woken   bool
	owner   *Room // whom to wake; nil in simulations
}

// event is something to tell a user.
type event struct {
	kind        eventKind
	participant string
	payload     []byte
	why         string
	run         func()
}

type eventKind uint8

const (
	eventChanged   eventKind = iota // in the queue; becomes one of the next two
	eventPresent                    // participant, payload
	eventGone                       // participant, why
	eventLost                       // participant
	eventEdited                     // payload
	eventDestroyed                  //
	eventRun                        // run: in its turn
)

func (c *core) newView() *view {
	return &view{c: c, put: map[string]struct{}{}, shown: map[string]*entry{}, pending: map[string]string{}}
}

// attach begins to tell a user of the room: first all who are there, as they came.
func (v *view) attach(r *roster) {
	v.r = r
	v.told = r.c.table.live(r.id)
	ids := make([]string, 0, len(r.seats))
	for id := range r.seats {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, r.byClaim)
	for _, id := range ids {
		v.mark(id, "")
	}
}

// push queues an event.
func (v *view) push(e event) {
	v.queue = append(v.queue, e)
	if !v.woken {
		v.woken = true
		v.c.woken = append(v.c.woken, v)
	}
}

// mark notes that a participant changed.
func (v *view) mark(participant, why string) {
	if _, ok := v.pending[participant]; !ok {
		v.push(event{kind: eventChanged, participant: participant})
	}
	v.pending[participant] = why
}

func (v *view) lost(participant string) {
	delete(v.put, participant)
	v.push(event{kind: eventLost, participant: participant})
}

// edited notes another version of the record; one that says the same is none.
func (v *view) edited(rec *record) {
	if string(rec.value) != string(v.told.value) && !v.editing {
		v.editing = true
		v.push(event{kind: eventEdited})
	}
}

// destroyed is the last thing that a user is told.
func (v *view) destroyed() {
	if !v.over {
		v.over = true
		v.push(event{kind: eventDestroyed})
	}
}

// run has f called in its turn; false if too many wait already.
func (v *view) run(f func()) bool {
	if v.over || len(v.queue) >= v.c.limits.queued+len(v.pending) {
		return false
	}
	v.push(event{kind: eventRun, run: f})
	return true
}

// next takes the next thing to tell. Without one the view sleeps until it is woken again.
func (v *view) next() (e event, ok bool) {
	for len(v.queue) > 0 {
		e, v.queue = v.queue[0], v.queue[1:]
		switch e.kind {
		case eventChanged:
			if e, ok = v.change(e.participant); ok {
				return e, true
			}
		case eventEdited:
			v.editing = false
			if rec := v.c.table.live(v.r.id); rec != nil && !v.over {
				v.told = rec
				e.payload = rec.value
				return e, true
			}
		default:
			return e, true
		}
	}
	v.queue, v.woken = nil, false
	return event{}, false
}

// change returns what to tell of a participant: false if the user knows it.
func (v *view) change(participant string) (event, bool) {
	why := v.pending[participant]
	delete(v.pending, participant)
	var now *entry
	if s := v.r.seats[participant]; s != nil {
		now = s.all.entry
	}
	if _, own := v.put[participant]; own && now != nil && now.home == v.c.self {
		now = nil
	}
	was := v.shown[participant]
	switch {
	case now == was, now != nil && was != nil && now.home == was.home && now.version == was.version:
		return event{}, false
	case was != nil && (now == nil || now.home != was.home || now.claim != was.claim):
		// Another one of the same id is another one: the first goes before the second comes.
		delete(v.shown, participant)
		if now != nil {
			v.pending[participant] = ""
			v.queue = append([]event{{kind: eventChanged, participant: participant}}, v.queue...)
		}
		return event{kind: eventGone, participant: participant, why: why}, true
	}
	v.shown[participant] = now
	return event{kind: eventPresent, participant: participant, payload: now.payload}, true
}
