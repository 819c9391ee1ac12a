package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// Watcher is told what happens in a room. Its functions are called one at a time and in order, without any lock of this package
// held, so they may call the room's methods; those that wait, from another goroutine. Nil ones are left out. A watcher that
// is slow is told less: of several changes of one participant, or of the record, the last.
//
// It is not told what its own [Room] did: its participants, its edits, that it destroyed the room.
type Watcher struct {
	// Edited brings the new record of the room.
	Edited func(record []byte)
	// Destroyed says that the room is no more. It is the last call.
	Destroyed func()
	// Present brings a participant's entry, the first and each that differs. If another one takes over the id, Gone is called before.
	Present func(participant string, entry []byte)
	// Gone says that a participant left, and why if it left by itself.
	Gone func(participant, why string)
	// Lost says that an own participant's id belongs to somebody else, who claimed it earlier elsewhere: when a partition heals, or
	// after a claim that nobody could check. It is out of the room as if removed.
	Lost func(participant string)
	// Asked answers [Room.Ask] for an own participant. It comes in the same order as the other calls, so it must not wait for another
	// room's Ask.
	Asked func(ctx context.Context, participant string, request []byte) ([]byte, error)
}

// askTimeout bounds how long a request waits for a watcher here, if whoever asks does not bound it.
const askTimeout = 10 * time.Second

// Room is a room in which somebody on this node has an interest. It is safe for concurrent use.
type Room struct {
	rooms   *Rooms
	id      string
	watcher Watcher
	view    *view // guarded by rooms.mu
	closed  bool  // guarded by rooms.mu
}

// Open begins to follow a room. When it returns, [Watcher].Present was called for all who were there. It takes a second at most;
// if the keeper does not answer by then, Open returns what is known here, and the rest comes later.
func (r *Rooms) Open(ctx context.Context, id string, w Watcher) (*Room, error) {
	if id == "" || len(id) > MaxID {
		return nil, fmt.Errorf("open room: %w", ErrTooLong)
	}
	m := &Room{rooms: r, id: id, watcher: w}
	ready := make(chan struct{})
	var cancel func(time.Time)
	err := r.wait(ctx, func(now time.Time, done func(error)) {
		m.view = r.core.newView()
		m.view.owner = m
		cancel = r.core.open(now, id, m.view, func(err error) {
			if err == nil {
				m.view.push(event{kind: eventRun, run: func() { close(ready) }})
			}
			done(err)
		})
	})
	if err != nil {
		r.do(cancel)
		m.Close() // it may have been opened just now
		return nil, fmt.Errorf("open room %q: %w", id, err)
	}
	slow := time.NewTimer(answerWithin)
	defer slow.Stop()
	select {
	case <-ready:
	case <-slow.C:
	case <-ctx.Done():
		m.Close()
		return nil, fmt.Errorf("open room %q: %w", id, ctx.Err())
	}
	return m, nil
}

// deliver tells the watcher what there is to tell.
func (m *Room) deliver() {
	r := m.rooms
	for {
		r.mu.Lock()
		e, ok := m.view.next()
		closed := m.closed || r.stopped
		r.mu.Unlock()
		if !ok {
			return
		}
		m.tell(&e, closed)
	}
}

func (m *Room) tell(e *event, closed bool) {
	w := &m.watcher
	switch {
	case e.kind == eventRun:
		e.run()
	case closed:
	case e.kind == eventPresent && w.Present != nil:
		w.Present(e.participant, e.payload)
	case e.kind == eventGone && w.Gone != nil:
		w.Gone(e.participant, e.why)
	case e.kind == eventLost && w.Lost != nil:
		w.Lost(e.participant)
	case e.kind == eventEdited && w.Edited != nil:
		w.Edited(e.payload)
	case e.kind == eventDestroyed && w.Destroyed != nil:
		w.Destroyed()
	}
}

// ID returns the room's id.
func (m *Room) ID() string { return m.id }

// Record returns the room's record; it is not to be changed. Nil if the room was destroyed.
func (m *Room) Record() []byte {
	m.rooms.mu.Lock()
	defer m.rooms.mu.Unlock()
	if rec := m.rooms.core.table.live(m.id); rec != nil {
		return rec.value
	}
	return nil
}

// Edit replaces the record. Others may be told before it returns, which it does when two nodes have the new one, or as [Rooms.Create].
// A permanent room stays one, and each of its records is kept on disk.
func (m *Room) Edit(ctx context.Context, record []byte, permanent bool) error {
	if len(record) > MaxRecord {
		return fmt.Errorf("edit room %q: %w", m.id, ErrTooLong)
	}
	err := m.rooms.wait(ctx, func(now time.Time, done func(error)) { m.rooms.core.edit(now, m.view, record, permanent, done) })
	if err != nil {
		return fmt.Errorf("edit room %q: %w", m.id, err)
	}
	return nil
}

// Destroy ends the room everywhere. A permanent room that is not destroyed permanently may come back after all nodes have been
// restarted.
func (m *Room) Destroy(ctx context.Context, permanent bool) error {
	err := m.rooms.wait(ctx, func(now time.Time, done func(error)) { m.rooms.core.destroy(now, m.view, permanent, done) })
	if err != nil {
		return fmt.Errorf("destroy room %q: %w", m.id, err)
	}
	return nil
}

// Claim asks the keeper for a participant's id that somebody chose; ids that nobody else can have need no claim. It takes a second
// at most; if the keeper does not answer by then, what is known here decides. Put follows within 10 seconds, or Remove.
func (m *Room) Claim(ctx context.Context, participant string) error {
	if participant == "" || len(participant) > MaxID {
		return fmt.Errorf("claim id: %w", ErrTooLong)
	}
	err := m.rooms.wait(ctx, func(now time.Time, done func(error)) { m.rooms.core.claim(now, m.view, participant, done) })
	if err != nil {
		return fmt.Errorf("claim %q in room %q: %w", participant, m.id, err)
	}
	return nil
}

// Put says what there is to know of a participant of this node, the first time or again. All who follow the room are told. It does
// not wait. An entry that is too long ends in [Watcher].Lost.
func (m *Room) Put(participant string, entry []byte) {
	m.rooms.do(func(now time.Time) { m.rooms.core.set(now, m.view, participant, entry) })
}

// Remove says that a participant has left, and why. It does not wait.
func (m *Room) Remove(participant, why string) {
	m.rooms.do(func(now time.Time) { m.rooms.core.remove(now, m.view, participant, why) })
}

// Close ends the interest: its participants are removed, and no call of the watcher begins any more. It does not wait for one
// that has begun.
func (m *Room) Close() {
	m.rooms.do(func(now time.Time) {
		if m.closed {
			return
		}
		m.closed = true
		if m.view.r != nil {
			m.rooms.core.close(now, m.view)
		}
	})
}

// Ask has the watcher of the participant's home answer a request.
func (m *Room) Ask(ctx context.Context, participant string, request []byte) ([]byte, error) {
	reply, err := m.ask(ctx, participant, request)
	if err != nil {
		return nil, fmt.Errorf("ask %q in room %q: %w", participant, m.id, err)
	}
	return reply, nil
}

func (m *Room) ask(ctx context.Context, participant string, request []byte) ([]byte, error) {
	home, ok := m.rooms.Home(m.id, participant)
	if !ok {
		return nil, ErrNoParticipant
	}
	if home == m.rooms.cfg.Self {
		return m.rooms.asked(ctx, m.id, participant, request)
	}
	b, err := m.rooms.cfg.Call(ctx, home, KindAsk, wire.Marshal(&askMessage{Room: m.id, Participant: participant, Request: request}))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", home, err)
	}
	var reply askReply
	if err := wire.Unmarshal(b, &reply); err != nil {
		return nil, fmt.Errorf("%s: %w", home, err)
	}
	switch {
	case reply.Absent:
		return nil, ErrNoParticipant
	case reply.Refused != "":
		return nil, fmt.Errorf("%w: %s", ErrAsked, reply.Refused)
	}
	return reply.Reply, nil
}

// handleAsk answers another node's request to a participant of this one.
func (r *Rooms) handleAsk(ctx context.Context, from link.NodeID, payload []byte) ([]byte, error) {
	r.metrics.BytesReceived.Add(uint64(len(payload)))
	r.mu.Lock()
	r.core.enter(r.cfg.Now())
	p := r.core.peer(from)
	ok := p != nil && p.afford(len(payload))
	r.mu.Unlock()
	if !ok {
		r.metrics.Flooded.Add(1)
		return nil, errRefused
	}
	var m askMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		r.metrics.Malformed.Add(1)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := r.asked(ctx, m.Room, m.Participant, m.Request)
	reply := askReply{Reply: answer}
	switch {
	case errors.Is(err, ErrNoParticipant):
		reply.Absent = true
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		reply.Refused = err.Error()
	}
	return wire.Marshal(&reply), nil
}

// asked has the watcher of an own participant answer.
func (r *Rooms) asked(ctx context.Context, room, participant string, request []byte) ([]byte, error) {
	type answer struct {
		reply []byte
		err   error
	}
	answers := make(chan answer, 1)
	err := ErrNoParticipant
	r.do(func(time.Time) {
		v := r.core.putter(room, participant)
		if v == nil || v.owner.watcher.Asked == nil {
			return
		}
		err = ErrBusy
		if v.run(func() {
			if ctx.Err() != nil {
				return
			}
			reply, err := v.owner.watcher.Asked(ctx, participant, request)
			answers <- answer{reply, err}
		}) {
			err = nil
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case a := <-answers:
		return a.reply, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// putter returns the user whose a participant is; nil if it is nobody's here.
func (c *core) putter(room, participant string) *view {
	r := c.rosters[room]
	if r == nil || r.own.given[participant] == nil {
		return nil
	}
	for _, v := range r.views {
		if _, ok := v.put[participant]; ok {
			return v
		}
	}
	return nil
}

// home returns whose client a participant is.
func (c *core) home(room, participant string) (link.NodeID, bool) {
	if r := c.rosters[room]; r != nil {
		if s := r.seats[participant]; s != nil && s.all.entry != nil {
			return s.all.entry.home, true
		}
	}
	return "", false
}

// keeper returns the node where a room's roster is: whom this node follows, if it has the room open.
func (c *core) keeper(room string) link.NodeID {
	if r := c.rosters[room]; r != nil && r.above != "" {
		return r.above
	} else if r != nil {
		return c.self
	}
	if o := c.ranking.first(rendezvous.Hash(room), 1); o.n > 0 {
		return o.nodes[0]
	}
	return ""
}
