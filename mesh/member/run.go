package member

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"cardea/relay/link"
)

const (
	tick      = 250 * time.Millisecond // of the loop that sees what is to be done
	peersKeep = 3 * time.Second        // between writes of the remembered peers
	leaveTime = 2 * time.Second        // to tell others that this node leaves
	askTime   = 8 * time.Second        // for one request of its own to another member
)

// Run takes part in the cluster until the context ends, and then leaves it. It fails only with [ErrTwin]. It must be called once.
func (c *Cluster) Run(ctx context.Context) error {
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { c.watch(ctx) })
	if c.admission == nil {
		<-ctx.Done()
		wg.Wait()
		return nil
	}
	wg.Go(func() { c.admission.serve(ctx) })
	wg.Go(func() { c.finder.run(ctx) })
	c.jobs.begin(ctx)
	err := c.loop(ctx)
	cancel()
	_ = c.admission.listener.Close() // ends serve
	c.transport.endCalls()           // for which jobs may be waiting
	c.jobs.wait()
	c.leave(err == nil)
	wg.Wait()
	if len(c.expulsions.news()) > 0 { // they came too late for the loop
		c.voidInvitations()
		c.keepExpulsions()
	}
	c.keepPeers(true)
	return err
}

// watch calls the watchers.
func (c *Cluster) watch(ctx context.Context) {
	for {
		select {
		case <-c.notify:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		all := c.watchers
		c.mu.Unlock()
		for _, f := range all {
			f()
		}
	}
}

// loop begins what is due until the context ends or the node must not go on.
func (c *Cluster) loop(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	c.nextOwed = c.now().Add(holderTime) // others may be ahead
	for {
		c.carryOut()
		if !c.Expelled() {
			c.publish()
			c.call()
			c.greet()
			c.recount()
			c.renew()
			c.turnRing()
		}
		c.keepPeers(false)
		c.resolve()
		select {
		case <-t.C:
		case <-c.wake:
		case err := <-c.fatal:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// leave ends gossip, and says goodbye first, unless that would be understood of a twin too.
func (c *Cluster) leave(goodbye bool) {
	if goodbye {
		if err := c.list.Leave(leaveTime); err != nil {
			c.log.Debug("leaving took too long", "error", err)
		}
	}
	if err := c.list.Shutdown(); err != nil {
		c.log.Debug("gossip did not end cleanly", "error", err)
	}
}

// jobs are short pieces of work on the network, each kind at most once at a time, that end with the run.
type jobs struct {
	mu   sync.Mutex
	ctx  context.Context //nolint:containedctx // of the run, for what begins during it
	busy map[string]bool
	wg   sync.WaitGroup
}

func (j *jobs) begin(ctx context.Context) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ctx, j.busy = ctx, map[string]bool{}
}

// start runs f unless one of the same name is running, or nothing may run any more.
func (j *jobs) start(name string, f func(ctx context.Context)) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ctx == nil || j.ctx.Err() != nil || j.busy[name] {
		return false
	}
	j.busy[name] = true
	ctx := j.ctx
	j.wg.Go(func() {
		defer func() {
			j.mu.Lock()
			delete(j.busy, name)
			j.mu.Unlock()
		}()
		f(ctx)
	})
	return true
}

// wait waits for all of them. The context must have ended.
func (j *jobs) wait() {
	j.mu.Lock()
	j.mu.Unlock() //nolint:staticcheck // whoever is in start has added itself now
	j.wg.Wait()
}

// renewMetadata signs this node's entry anew, with a number above both the last one and least. The caller holds c.mu, or is alone.
func (c *Cluster) renewMetadata(least uint64) {
	m := c.member()
	c.sequence = max(c.sequence+1, least+1, uint64(c.now().UnixMilli())) //nolint:gosec // after 1970
	c.metadata = pack(c.self, m.credentials.pass, c.public(), c.sequence, m.ring.Serial).sign(m.authority.cluster(), c.key)
	c.pace = pace{told: c.self, ring: m.ring.Serial, pass: m.credentials.pass.Until, at: c.now()}
}

// publish tells others what is new of this node.
func (c *Cluster) publish() {
	live := len(c.table.live())
	m := c.member()
	c.mu.Lock()
	due := c.pace.due(c.self, m.ring.Serial, m.credentials.pass.Until, live, c.now())
	if due {
		c.renewMetadata(0)
	}
	c.mu.Unlock()
	if due {
		c.announce()
	}
}

// announce has the metadata gossiped.
func (c *Cluster) announce() {
	if !c.jobs.start("announce", func(context.Context) {
		_ = c.list.UpdateNode(time.Second) // it goes out later if nobody takes it now
	}) {
		c.mu.Lock()
		c.pace.at = c.now().Add(-paceSlow) // again, soon
		c.pace.ring = 0
		c.mu.Unlock()
	}
}

// keepPeers writes the remembered peers.
func (c *Cluster) keepPeers(now bool) {
	c.mu.Lock()
	due := c.changed && (now || c.now().Sub(c.kept) >= peersKeep)
	var all []peer
	if due {
		for _, d := range c.table.live() {
			if k := c.peers.byID[d.ID]; k != nil {
				k.Seen = c.now()
			}
		}
		all = c.peers.kept()
		c.changed, c.kept = false, c.now()
	}
	c.mu.Unlock()
	if !due {
		return
	}
	if err := c.storage.writeJSON(peersFile, all); err != nil {
		c.log.Warn("the peers cannot be remembered", "error", err)
	}
}

// call calls on nodes that are missing.
func (c *Cluster) call() {
	live := map[link.NodeID]Node{}
	for _, n := range c.Nodes() {
		live[n.ID] = n
	}
	c.mu.Lock()
	due := c.peers.due(live, c.now())
	at := make([]peer, len(due)) // they may be seen elsewhere meanwhile
	for i, p := range due {
		at[i] = *p
	}
	c.mu.Unlock()
	for i, p := range due {
		begun := c.jobs.start("call "+string(at[i].ID)+" "+at[i].Links[0].String(), func(ctx context.Context) {
			err := c.meet(ctx, at[i])
			c.mu.Lock()
			defer c.mu.Unlock()
			if err != nil {
				c.peers.called(p, len(live), c.now())
				c.log.Debug("a node that is missing cannot be reached", "id", at[i].ID, "addresses", at[i].Links, "error", err)
				return
			}
			c.peers.met(p, c.now())
		})
		if !begun {
			c.mu.Lock()
			c.peers.called(p, len(live), c.now())
			c.mu.Unlock()
		}
	}
}

var errSelf = errors.New("it is this node itself")

// meet calls on a node: its gossip keys and number of this node's metadata first, over mutual TLS; then gossip.
func (c *Cluster) meet(ctx context.Context, p peer) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r, err := c.ask(ctx, p.Links, p.ID, &request{Meet: &meetRequest{c.instance, c.started.UnixNano()}})
	var gossip []netip.AddrPort
	switch {
	case err != nil && p.ID == "": // a seed may be where somebody gossips
		gossip = p.Links
	case err != nil:
		return err
	case r.Meet == nil:
		return errors.New("an answer to something else")
	default:
		if gossip, err = c.met(r.Meet); err != nil {
			return err
		}
	}
	for _, a := range gossip {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err = c.list.Join([]string{a.String()}); err == nil {
			return nil
		}
	}
	return err
}

// met takes in what a node said that was called on, and returns where it gossips.
func (c *Cluster) met(r *meetReply) ([]netip.AddrPort, error) {
	id := link.NodeID(r.ID)
	if id == c.id {
		if r.Instance != c.instance {
			c.twin(r.Instance, time.Unix(0, r.Started))
		}
		return nil, errSelf
	}
	if err := c.adopt(r.Ring); err != nil {
		return nil, err
	}
	c.mu.Lock()
	again := r.Sequence >= c.sequence
	if again {
		c.renewMetadata(r.Sequence)
	}
	c.mu.Unlock()
	if again {
		_ = c.list.UpdateNode(time.Millisecond) // for the session that follows
	}
	all := peersOf(r.Peers, c.now())
	if len(all) == 0 {
		return nil, fmt.Errorf("%s does not say where it gossips", id)
	}
	return all[0].Gossip, nil
}
