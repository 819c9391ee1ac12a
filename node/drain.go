package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"cardea/mesh"
	"cardea/mesh/member"
	"cardea/node/console"
	"cardea/node/farewell"
	"cardea/relay/link"
)

// drainTick is how often a draining node looks what is left.
const drainTick = 250 * time.Millisecond

// maxDrain bounds how long a node may drain.
const maxDrain = 7 * 24 * time.Hour

// waitingLog is how often the log says what a draining node waits for.
const waitingLog = 10 * time.Second

// errDrained ends a node that has drained. It is no failure.
var errDrained = errors.New("drained")

// ErrDrain says why a node does not drain, or cannot take it back.
var ErrDrain = errors.New("cannot drain")

// drain is whether the node drains, and how far it is.
type drain struct {
	mu   sync.Mutex
	plan *departure // nil: it does not
	left presence   // what there was when it was looked last
	told time.Time  // when the log last said what it waits for
	wake chan struct{}
}

// leaving returns what the node waits for, and until when; nil if it does not drain.
func (d *drain) leaving() *console.Leaving {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plan == nil {
		return nil
	}
	return &console.Leaving{Until: d.plan.deadline, Waiting: d.left.waiting()}
}

// saw notes what is left, and tells whether that is to be logged.
func (d *drain) saw(now time.Time, p presence) (tell bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = p
	if d.plan == nil {
		return false // taken back meanwhile
	}
	if tell = now.Sub(d.told) >= waitingLog && now.Sub(d.plan.begun) >= waitingLog; tell {
		d.told = now
	}
	return tell
}

// draining returns when the node ends at the latest; false if it does not drain.
func (d *drain) draining() (deadline time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plan == nil {
		return time.Time{}, false
	}
	return d.plan.deadline, true
}

// since returns when it began to; false if it does not.
func (d *drain) since() (begun time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plan == nil {
		return time.Time{}, false
	}
	return d.plan.begun, true
}

// step is [departure.step]; false if that was taken back meanwhile.
func (d *drain) step(now time.Time, p presence, alone bool) (a act, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plan == nil {
		return act{}, false
	}
	d.plan.alone = alone
	return d.plan.step(now, p), true
}

// orderDrain obeys a member, or this node's own operator.
func (n *Node) orderDrain(_ context.Context, from link.NodeID, o mesh.DrainOrder) (mesh.Drained, error) {
	log := n.log.With("asked_by", from)
	if o.Undo {
		if err := n.undrain(); err != nil {
			return mesh.Drained{}, err
		}
		log.Info("not draining any more")
		return mesh.Drained{}, nil
	}
	within := o.Within
	if within == 0 {
		within = n.cfg.Node.DrainTimeout
	}
	if within <= 0 || within > maxDrain {
		return mesh.Drained{}, fmt.Errorf("%w within %v: want more than 0 and at most %v (node.drain_timeout)", ErrDrain, within, maxDrain)
	}
	n.beginDrain(within)
	p := n.presence(time.Now())
	n.drain.saw(time.Now(), p)
	log.Info("draining", "within", within, "waits_for", p.waiting())
	return mesh.Drained{
		Within: within, Clients: uint64(p.clients), Relays: uint64(p.relays), Streams: uint64(p.streams), Records: uint64(p.records), //nolint:gosec // counts
	}, nil
}

// beginDrain has the node drain, from now on or with another deadline.
func (n *Node) beginDrain(within time.Duration) {
	now := time.Now()
	d := &n.drain
	d.mu.Lock()
	defer d.mu.Unlock() // what others are told fits the plan, whoever takes it back meanwhile
	if d.plan == nil {
		d.plan, d.told = &departure{begun: now, media: n.media != nil}, time.Time{}
	}
	if d.plan.hung.IsZero() {
		d.plan.deadline = now.Add(within)
	}
	n.load.refuse("draining")
	if n.server != nil {
		n.server.Drain(true)
	}
	n.cluster.Update(func(m *member.Node) { m.State = member.Draining })
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// undrain takes it back.
func (n *Node) undrain() error {
	d := &n.drain
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.plan == nil:
		return nil
	case !d.plan.hung.IsZero():
		return fmt.Errorf("%w back: calls are hung up already", ErrDrain)
	case n.cluster.Expelled():
		return fmt.Errorf("%w back: this node was %w", ErrDrain, member.ErrExpelled)
	}
	d.plan = nil
	if n.server != nil {
		n.server.Drain(false)
	}
	n.cluster.Update(func(m *member.Node) { m.State = member.Ready })
	n.load.refuse("")
	return nil
}

// runDrain does what a draining node has to, and has clients moved whose media is on another that drains, until ctx ends; with
// [errDrained] the node is to end.
func (n *Node) runDrain(ctx context.Context) error {
	clock := time.NewTicker(drainTick)
	defer clock.Stop()
	var others departures
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
		case <-n.drain.wake:
		}
		now := time.Now()
		if _, ok := n.drain.draining(); !ok {
			n.relaysInUse(now) // so that it is known when a drain begins
			n.moveFromOthers(&others, now)
			continue
		}
		if n.stepDrain(now) {
			return errDrained
		}
	}
}

// stepDrain looks what is left, and does what is due; true says that the node ends.
func (n *Node) stepDrain(now time.Time) bool {
	begun, ok := n.drain.since()
	if !ok {
		return false
	}
	p, alone := n.presence(begun), !n.replaceable()
	if n.drain.saw(now, p) {
		n.log.Info("draining", "waits_for", p.waiting())
	}
	a, ok := n.drain.step(now, p, alone)
	if !ok {
		return false
	}
	n.tellToMove(a.move, n.watch.Waiting())
	if a.depart > 0 {
		n.server.Depart(begun, a.depart)
	}
	if a.hangUp {
		n.log.Info("hanging up", "clients", p.clients, "relays", p.relays)
		n.hangUp()
	}
	if a.over {
		n.log.Info("drained", "took", now.Sub(begun).Round(drainTick), "clients", p.clients, "relays", p.relays)
	}
	return a.over
}

// presence counts what is still on this node.
func (n *Node) presence(begun time.Time) (p presence) {
	if n.media != nil {
		p.clients = n.media.Peers()
	}
	p.relays = n.relaysInUse(time.Now())
	if n.server != nil {
		p.clients = max(p.clients, int(n.server.Metrics().Peers.Load()))
		p.connections = n.server.Departing(begun)
		p.movable = len(n.watch.Waiting())
	}
	left := n.mesh.Leaving()
	p.streams, p.records = left.Streams, left.Records
	return p
}

// relaysInUse counts the allocations of TURN by which somebody sends.
func (n *Node) relaysInUse(now time.Time) int {
	if n.media == nil || n.media.TURN() == nil {
		return 0
	}
	return n.media.TURN().InUse(now)
}

// replaceable tells whether other nodes could do what this one does.
func (n *Node) replaceable() bool {
	planes := n.cluster.Self().Planes
	for _, p := range []member.Planes{member.Signaling, member.Media} {
		if planes&p != 0 && !n.mesh.Others(p) {
			return false
		}
	}
	return true
}

// hangUp ends all calls on this node, so that clients are told.
func (n *Node) hangUp() {
	if n.media != nil {
		n.media.HangUp("Node is going away")
	}
}

// tellToMove tells so many clients to move, those of these sessions that come first.
func (n *Node) tellToMove(most int, sessions []uint64) {
	for _, s := range sessions {
		if most <= 0 {
			return
		}
		if n.watch.Tell(s) {
			most--
		}
	}
}

// moveFromOthers has clients of this node moved whose media is on another node that drains.
func (n *Node) moveFromOthers(others *departures, now time.Time) {
	if n.server == nil {
		return
	}
	var draining []link.NodeID
	for _, m := range n.cluster.Nodes() {
		if m.State != member.Ready {
			draining = append(draining, m.ID)
		}
	}
	if len(draining) == 0 || !n.mesh.Others(member.Media) && n.media == nil {
		*others = departures{}
		return
	}
	others.drain(now, draining, max(n.cfg.Node.DrainTimeout, time.Second))
	waiting := slices.DeleteFunc(n.watch.Waiting(), func(session uint64) bool {
		return !slices.ContainsFunc(n.mesh.Places(session), func(id link.NodeID) bool { return slices.Contains(draining, id) })
	})
	n.tellToMove(others.pace(now, len(waiting)), waiting)
}

// terminateOn drains at the first signal, if other nodes could take the clients, and ends the node at the second, or if there are none.
func (n *Node) terminateOn(ctx context.Context, signals <-chan os.Signal) error {
	for again := false; ; again = true {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
		}
		within := n.cfg.Node.DrainTimeout
		if again || within == 0 || !n.replaceable() {
			return errDrained
		}
		if until, ok := n.drain.draining(); ok {
			within = min(within, time.Until(until))
		}
		n.beginDrain(within)
		n.log.Info("draining; another signal stops at once", "within", within, "waits_for", n.presence(time.Now()).waiting())
		n.notifier.stopping(within + n.cfg.Node.StopTimeout)
	}
}

// consoleDrain is what operators may do.
func (n *Node) consoleDrain(ctx context.Context, r console.DrainRequest) (console.Drained, error) {
	m, err := n.named(r.Node)
	if err != nil {
		return console.Drained{}, err
	}
	d, err := n.mesh.Drain(ctx, link.NodeID(m.ID), mesh.DrainOrder{Undo: r.Undo, Within: time.Duration(r.DeadlineSeconds * float64(time.Second))})
	if err != nil {
		return console.Drained{}, err
	}
	drained := console.Drained{Node: m.Name, Label: m.Label, ID: m.ID, Draining: !r.Undo, DeadlineSeconds: d.Within.Seconds()}
	if !r.Undo {
		drained.Waiting = &console.Waiting{Clients: int(d.Clients), Relays: int(d.Relays), Streams: int(d.Streams), Records: int(d.Records)} //nolint:gosec // a member's counts
	}
	return drained, nil
}

// watchable makes what clients watch to know when they should move.
func (n *Node) watchable() {
	n.drain.wake = make(chan struct{}, 1)
	n.watch = farewell.New(func(session uint64) bool { return n.server != nil && n.server.Has(session) }, n.cfg.Limits.Sessions)
}

// pageHosts names where the nodes are that the page may ask how far they are, and move to; first this one, which may be named otherwise
// than where the page came from, and has other ports.
func (n *Node) pageHosts() []string {
	var own, others []string
	for _, m := range n.cluster.Nodes() {
		switch {
		case m.ID == n.cluster.Self().ID:
			own = hostsOf(m)
		case m.State == member.Ready:
			others = append(others, hostsOf(m)...)
		}
	}
	slices.Sort(others)
	return append(own, slices.Compact(others)...)
}

// hostsOf names where clients reach a node. What only other nodes know of it is not for pages, which everybody may ask for.
func hostsOf(m member.Node) (hosts []string) {
	if m.Doors.Host != "" {
		hosts = append(hosts, m.Doors.Host)
	}
	for _, a := range publicAddresses(m) {
		hosts = append(hosts, a.String())
	}
	return hosts
}
