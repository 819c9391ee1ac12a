package post

import (
	"sync"
	"time"

	"cardea/relay/link"
	"cardea/relay/peer"
	"cardea/relay/plane"
)

// intake is a line published elsewhere that somebody here listens to.
type intake struct {
	id      plane.StreamID
	channel *peer.Channel // set once

	// Guarded by Post.mu.
	number    uint64         // of the subscription; a new one at each home
	home      link.NodeID    // "" while it has none
	remote    *correspondent // of home
	local     bool           // home is this node
	published bool           // the channel is in the directory
	refused   time.Time      // when home last said that it does not have the line

	mu    sync.Mutex // guards below, and has messages said one after the other
	line  *line      // the association on which it is subscribed
	tally tally
}

// take says a message that came over the line unless it came before.
func (i *intake) take(l *line, f *frame, counts *counters) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.line != l {
		counts.stale.Add(1)
		return
	}
	fresh, missing := i.tally.take(f)
	counts.missing.Add(missing)
	if fresh {
		counts.received.Add(1)
		i.channel.Say(f.message())
	} else {
		counts.duplicates.Add(1)
	}
	if f.Number > 0 {
		l.acknowledge(i, time.Now())
	}
}

// subscribe returns what to say on the line to subscribe there. Messages of another line do not count from now on, so that
// the state said is what it is when the first message comes.
func (i *intake) subscribe(l *line) subscribe {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.line = l
	return subscribe{
		Number: i.number, Room: i.id.Room, Publisher: i.id.Publisher, Mid: i.id.Mid, State: i.tally.copy(),
	}
}

// leave forgets where it was subscribed and what came from there.
func (i *intake) leave() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.line, i.tally = nil, tally{}
}

// detach takes note that the line has ended.
func (i *intake) detach(l *line) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.line == l {
		i.line = nil
	}
}

// ack returns what to say of it on the line; false if it is not subscribed there.
func (i *intake) ack(l *line) (ack, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.line != l {
		return ack{}, false
	}
	return ack{Subscription: i.number, State: i.tally.copy()}, true
}
