package relay

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"cardea/relay/peer"
	"cardea/relay/udp"
)

const (
	// turns is into how many parts the peers are divided.
	turns        = 5
	turnInterval = peer.TickInterval / turns
	// rushAfter is how long peers in a hurry wait, for others to join them: NACKs, keyframe requests and paced packets. Those
	// that are so again at once wait for rushInterval, with paced packets again and again.
	rushAfter    = 2500 * time.Microsecond
	rushInterval = 5 * time.Millisecond
)

// ticker does the periodic work of all peers, a part of them at each turn, and what cannot wait for that. Waking up costs more
// than there is to do for a few peers, so it does not happen for nothing.
type ticker struct {
	relay *Relay
	out   *udp.Outbox

	mu      sync.Mutex
	slots   [turns][]*peer.Peer
	slot    map[*peer.Peer]int
	next    int
	hurry   []*peer.Peer
	spare   []*peer.Peer
	rush    *time.Timer   // runs while there are peers in a hurry
	rushing bool          // these are being served
	awake   chan struct{} // has a token when there are peers
	scratch []*peer.Peer
}

func newTicker(r *Relay) *ticker {
	t := &ticker{relay: r, slot: make(map[*peer.Peer]int), awake: make(chan struct{}, 1), rush: time.NewTimer(rushInterval)}
	t.rush.Stop()
	return t
}

func (t *ticker) add(p *peer.Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slots[t.next] = append(t.slots[t.next], p)
	t.slot[p] = t.next
	t.next = (t.next + 1) % turns
	select {
	case t.awake <- struct{}{}:
	default:
	}
}

func (t *ticker) remove(p *peer.Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.slot[p]
	if !ok {
		return
	}
	delete(t.slot, p)
	if i := slices.Index(t.slots[n], p); i >= 0 {
		last := len(t.slots[n]) - 1
		t.slots[n][i] = t.slots[n][last]
		t.slots[n][last] = nil
		t.slots[n] = t.slots[n][:last]
	}
}

// urgent queues a peer that is in a hurry.
func (t *ticker) urgent(p *peer.Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.hurry) == 0 {
		after := rushAfter
		if t.rushing {
			after = rushInterval
		}
		t.rush.Reset(after)
	}
	t.hurry = append(t.hurry, p)
}

// run turns until ctx ends. Without peers it sleeps.
func (t *ticker) run(ctx context.Context) {
	t.out = udp.NewOutbox(t.relay.sockets)
	clock := time.NewTicker(turnInterval)
	defer clock.Stop()
	for turn := 0; ; {
		if t.empty() {
			select {
			case <-t.awake:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-clock.C:
			t.turn(turn)
			turn = (turn + 1) % turns
		case <-t.rush.C:
			t.drain()
		case <-ctx.Done():
			return
		}
		_ = t.out.Flush() // sockets close only after the ticker has stopped
	}
}

func (t *ticker) empty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.slot) == 0
}

// turn does the periodic work of a part of the peers.
func (t *ticker) turn(n int) {
	t.mu.Lock()
	t.scratch = append(t.scratch[:0], t.slots[n]...)
	t.mu.Unlock()
	now := t.relay.env.Clock.Now()
	for i, p := range t.scratch {
		t.each(p, now, p.Tick)
		t.scratch[i] = nil
	}
}

// drain does what peers in a hurry wait for.
func (t *ticker) drain() {
	t.mu.Lock()
	hurry := t.hurry
	t.hurry, t.spare = t.spare[:0], hurry
	t.rushing = true
	t.mu.Unlock()
	now := t.relay.env.Clock.Now()
	for i, p := range hurry {
		t.each(p, now, p.Drain)
		hurry[i] = nil
	}
	t.mu.Lock()
	t.rushing = false
	t.mu.Unlock()
}

// each does one peer's work; a fault in it ends that peer, not the node.
func (t *ticker) each(p *peer.Peer, now int64, work func(int64, *udp.Outbox)) {
	defer func() {
		if r := recover(); r != nil {
			t.relay.fault(p, r, debug.Stack())
		}
	}()
	work(now, t.out)
}
