package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
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

// errDrained ends a node that has drained. It is no failure.
var errDrained = errors.New("drained")

// ErrDrain says why a node does not drain, or cannot take it back.
var ErrDrain = errors.New("cannot drain")

// drain is whether the node drains, and how far it is.
type drain struct {
	mu   sync.Mutex
	plan *departure // nil: it does not
	wake chan struct{}
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
	log.Info("draining", "within", within)
	return mesh.Drained{Within: within}, nil
}

// beginDrain has the node drain, from now on or with another deadline.
func (n *Node) beginDrain(within time.Duration) {
	now := time.Now()
	d := &n.drain
	d.mu.Lock()
	defer d.mu.Unlock() // what others are told fits the plan, whoever takes it back meanwhile
	if d.plan == nil {
		d.plan = &departure{begun: now, media: n.media != nil}
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
	a, ok := n.drain.step(now, p, alone)
	if !ok {
		return false
	}
	n.tellToMove(a.move, n.watch.Waiting())
	if a.depart > 0 {
		n.server.Depart(begun, a.depart)
	}
	if a.hangUp {
		n.log.Info("hanging up", "calls", p.calls)
		n.hangUp()
	}
	if a.over {
		n.log.Info("drained", "took", now.Sub(begun).Round(drainTick), "calls", p.calls)
	}
	return a.over
}

// presence counts what is still on this node.
func (n *Node) presence(begun time.Time) (p presence) {
	if n.media != nil {
		p.calls = n.media.Peers()
		if t := n.media.TURN(); t != nil {
			p.calls += int(t.Stats().Allocations.Load())
		}
	}
	if n.server != nil {
		p.calls = max(p.calls, int(n.server.Metrics().Peers.Load()))
		p.connections = n.server.Departing(begun)
		p.movable = len(n.watch.Waiting())
	}
	left := n.mesh.Leaving()
	p.handed = left.Streams + left.Records
	return p
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
		n.log.Info("draining; another signal stops at once", "within", within)
		n.notifier.stopping(within + n.cfg.Node.StopTimeout)
	}
}

// consoleDrain is what operators may do.
func (n *Node) consoleDrain(ctx context.Context, r console.DrainRequest) (console.Drained, error) {
	m, err := n.named(r.Node)
	if err != nil {
		return console.Drained{}, err
	}
	d, err := n.mesh.Drain(ctx, m.ID, mesh.DrainOrder{Undo: r.Undo, Within: time.Duration(r.DeadlineSeconds * float64(time.Second))})
	return console.Drained{Node: m.Name, ID: string(m.ID), Draining: !r.Undo, DeadlineSeconds: d.Within.Seconds()}, err
}

// named finds a live node by its id, the beginning of it, or its name; "" is this one.
func (n *Node) named(name string) (member.Node, error) {
	if name == "" {
		return n.cluster.Self(), nil
	}
	var found []member.Node
	for _, m := range n.cluster.Nodes() {
		if string(m.ID) == name {
			return m, nil
		}
		if m.Name == name || strings.HasPrefix(string(m.ID), name) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return member.Node{}, fmt.Errorf("no node %q", name)
	case 1:
		return found[0], nil
	}
	return member.Node{}, fmt.Errorf("several nodes are called %q: say the id", name)
}

// watchable makes what clients watch to know when they should move.
func (n *Node) watchable() {
	n.drain.wake = make(chan struct{}, 1)
	n.watch = farewell.New(func(session uint64) bool { return n.server != nil && n.server.Has(session) }, n.cfg.Limits.Sessions)
}

// otherHosts names where the other nodes are that the page may move to.
func (n *Node) otherHosts() []string {
	var hosts []string
	for _, m := range n.cluster.Nodes() {
		if m.ID == n.cluster.Self().ID || m.State != member.Ready {
			continue
		}
		hosts = append(hosts, hostsOf(m)...)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
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
