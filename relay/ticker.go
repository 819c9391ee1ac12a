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
	// turnInterval is how often the ticker looks for peers in a hurry: NACKs, keyframe requests and paced packets.
	turnInterval = 5 * time.Millisecond
	turns        = int(peer.TickInterval / turnInterval)
)

// ticker does the periodic work of all peers, a tenth of them at each turn, and what cannot wait for that.
type ticker struct {
	relay *Relay
	out   *udp.Outbox

	mu      sync.Mutex
	slots   [turns][]*peer.Peer
	slot    map[*peer.Peer]int
	next    int
	hurry   []*peer.Peer
	spare   []*peer.Peer
	awake   chan struct{} // has a token when there are peers
	scratch []*peer.Peer
}

func newTicker(r *Relay) *ticker {
	return &ticker{relay: r, slot: make(map[*peer.Peer]int), awake: make(chan struct{}, 1)}
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

// urgent queues a peer for the next turn.
func (t *ticker) urgent(p *peer.Peer) {
	t.mu.Lock()
	t.hurry = append(t.hurry, p)
	t.mu.Unlock()
}

// run turns until ctx ends. Without peers it sleeps.
func (t *ticker) run(ctx context.Context) {
	t.out = udp.NewOutbox(t.relay.sockets)
	clock := time.NewTicker(turnInterval)
	defer clock.Stop()
	for turn := 0; ; turn = (turn + 1) % turns {
		if t.empty() {
			select {
			case <-t.awake:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			return
		}
		t.turn(turn)
	}
}

func (t *ticker) empty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.slot) == 0
}

func (t *ticker) turn(n int) {
	t.mu.Lock()
	hurry := t.hurry
	t.hurry, t.spare = t.spare[:0], hurry
	t.scratch = append(t.scratch[:0], t.slots[n]...)
	t.mu.Unlock()
	now := t.relay.env.Clock.Now()
	for i, p := range hurry {
		t.each(p, now, p.Drain)
		hurry[i] = nil
	}
	for i, p := range t.scratch {
		t.each(p, now, p.Tick)
		t.scratch[i] = nil
	}
	_ = t.out.Flush() // sockets close only after the ticker has stopped
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
