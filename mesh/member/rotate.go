package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cardea/relay/link"
)

// Invite returns an invitation to this cluster, as text. A node without the authority's key asks one that has it, and cannot
// invite others to hold it.
func (c *Cluster) Invite(ctx context.Context, i Invitation) (string, error) {
	if c.admission == nil {
		return "", errAlone
	}
	if c.member().authority.key != nil {
		return c.invite(i)
	}
	if i.Authority {
		return "", fmt.Errorf("%w: invite from one that does, such as the first node", errNoAuthority)
	}
	if err := i.check(); err != nil {
		return "", err
	}
	r, err := c.askHolder(ctx, &request{Invite: &inviteRequest{i.TTL, uint8(i.Uses)}}) //nolint:gosec // checked
	if err != nil {
		return "", err
	}
	if r.Invite == nil {
		return "", errors.New("an answer to something else")
	}
	if _, err := parseInvitation(r.Invite.Text); err != nil {
		return "", err
	}
	return r.Invite.Text, nil
}

var errAlone = errors.New("this node runs alone: the mesh is switched off")

func (i Invitation) check() error {
	if i.TTL < time.Second || i.TTL > MaxInvitationTTL {
		return fmt.Errorf("an invitation is good for 1 s to %v, not %v", MaxInvitationTTL, i.TTL)
	}
	if i.Uses < 1 || i.Uses > MaxInvitationUses {
		return fmt.Errorf("an invitation has 1 to %d uses, not %d", MaxInvitationUses, i.Uses)
	}
	return nil
}

// invite makes an invitation and keeps its hash.
func (c *Cluster) invite(i Invitation) (string, error) {
	if err := i.check(); err != nil {
		return "", err
	}
	self := c.Self()
	addresses := slices.Clone(self.Links[:min(len(self.Links), invitationAddresses-1)])
	for _, d := range c.table.live() { // others can carry, should this one not be reached
		if len(addresses) < invitationAddresses && !slices.Contains(addresses, d.Links[0]) {
			addresses = append(addresses, d.Links[0])
		}
	}
	inv, err := newInvitation(c.member().authority, invitation{
		Authority: i.Authority, Uses: uint8(i.Uses), Expires: c.now().Add(i.TTL), Issuer: c.id, Addresses: addresses, //nolint:gosec // checked
	})
	if err != nil {
		return "", err
	}
	a := c.admission
	a.ledger.Lock()
	defer a.ledger.Unlock()
	if err := a.ledger.add(inv, c.now()); err != nil {
		return "", err
	}
	if err := c.storage.writeJSON(invitationsFile, a.ledger.ledger); err != nil {
		return "", err
	}
	return inv.text(), nil
}

// RotateKey replaces the gossip key: it returns when all live nodes encrypt with a new one. If the context ends before that,
// the rotation goes on, and the error names whom it waits for. One rotation at a time: [ErrRotating].
func (c *Cluster) RotateKey(ctx context.Context) error {
	if c.admission == nil {
		return errAlone
	}
	serial, err := c.beginRotation()
	if errors.Is(err, errNoAuthority) {
		var r *reply
		if r, err = c.askHolder(ctx, &request{Rotate: &rotateRequest{}}); err == nil {
			serial = r.Serial
		}
	}
	if err != nil {
		return err
	}
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		late := c.behind(serial + 1) // the ring after the one that spreads the key uses it
		if len(late) == 0 {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("the rotation goes on, but these nodes do not have the new key yet: %s: %w", strings.Join(late, ", "), ctx.Err())
		}
	}
}

// behind returns the live nodes, this one included, whose gossip keys are older than a serial.
func (c *Cluster) behind(serial uint64) []string {
	var late []string
	for _, id := range c.older(serial) {
		late = append(late, string(id))
	}
	return late
}

func (c *Cluster) older(serial uint64) []link.NodeID {
	var late []link.NodeID
	if c.member().ring.Serial < serial {
		late = append(late, c.id)
	}
	for _, d := range c.table.live() {
		if d.ring < serial {
			late = append(late, d.ID)
		}
	}
	return late
}

// beginRotation spreads a new key.
func (c *Cluster) beginRotation() (serial uint64, err error) {
	key, err := newGossipKey()
	if err != nil {
		return 0, err
	}
	c.memberMu.Lock()
	defer c.memberMu.Unlock()
	r, err := c.member().ring.rotate(key, c.now())
	if err != nil {
		return 0, err
	}
	c.log.Info("gossip keys: spreading a new one", "serial", r.Serial)
	return r.Serial, c.install(r)
}

// install signs a ring and uses it. The caller holds memberMu.
func (c *Cluster) install(r ring) error {
	m := *c.member()
	raw, err := r.sign(m.authority)
	if err != nil {
		return err
	}
	m.ring, m.rawRing = r, raw
	return c.use(m)
}

// use makes a membership with another ring the present one: on disk, then in gossip. The caller holds memberMu.
func (c *Cluster) use(m membership) error {
	if err := c.storage.saveMembership(m); err != nil {
		return err
	}
	if c.keyring != nil {
		for _, k := range m.ring.Keys {
			if err := c.keyring.AddKey(k); err != nil {
				return fmt.Errorf("gossip keys: %w", err)
			}
		}
		if err := c.keyring.UseKey(m.ring.Keys[0]); err != nil {
			return fmt.Errorf("gossip keys: %w", err)
		}
		// From the end: memberlist moves what follows a removed key while others may be reading it.
		for _, k := range slices.Backward(c.keyring.GetKeys()) {
			if !slices.ContainsFunc(m.ring.Keys, func(o []byte) bool { return string(o) == string(k) }) {
				if err := c.keyring.RemoveKey(k); err != nil {
					return fmt.Errorf("gossip keys: %w", err)
				}
			}
		}
	}
	c.membership.Store(&m)
	c.wakeUp()
	return nil
}

// adopt uses a ring that another node has, if it is newer.
func (c *Cluster) adopt(raw []byte) error {
	c.memberMu.Lock()
	defer c.memberMu.Unlock()
	m := *c.member()
	r, err := parseRing(raw, m.authority)
	if err != nil {
		return err
	}
	if r.Serial < m.ring.Serial || r.Serial == m.ring.Serial && bytes.Compare(raw, m.rawRing) <= 0 { // of two that arose apart one wins
		return nil
	}
	c.log.Info("gossip keys: taking over newer ones", "serial", r.Serial)
	m.ring, m.rawRing = r, raw
	return c.use(m)
}

// turnRing goes on with a rotation: a node that lacks the newest ring fetches it; the first live holder of the authority's key
// takes the next step when all have it.
func (c *Cluster) turnRing() {
	own := c.member()
	live := c.table.live()
	agreed, first := true, true
	for _, d := range live {
		if d.ring > own.ring.Serial {
			c.fetchRing(d)
		}
		agreed = agreed && d.ring >= own.ring.Serial
		first = first && (!d.Authority || c.id < d.ID)
	}
	if own.authority.key == nil || !first {
		return
	}
	if !own.ring.withheld(c.expulsions.ids()) && !c.now().Before(c.nextOwed) {
		c.nextOwed = c.now().Add(owedPause) // nodes of an older version forget whom keys are kept from
		if err := c.withhold(); err != nil {
			c.log.Error("gossip keys: they cannot be kept from the expelled", "error", err)
		}
		return
	}
	oldKey := oldKeyLife
	if c.now().Sub(c.expelledAt) < 2*oldKeyLife {
		oldKey = hurriedKeyLife
	}
	if _, ok := own.ring.next(agreed, oldKey, c.now()); !ok {
		return
	}
	c.memberMu.Lock()
	defer c.memberMu.Unlock()
	r, ok := c.member().ring.next(c.member().ring.Serial == own.ring.Serial, oldKey, c.now())
	if !ok {
		return
	}
	c.log.Info("gossip keys: next step of the rotation", "serial", r.Serial, "keys", len(r.Keys))
	if err := c.install(r); err != nil {
		c.log.Error("gossip keys: the rotation cannot go on", "error", err)
	}
}

// fetchRing gets the ring that a node announced.
func (c *Cluster) fetchRing(d described) {
	c.jobs.start("ring "+string(d.ID), func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		r, err := c.ask(ctx, d.Links, d.ID, &request{Meet: &meetRequest{c.instance, c.started.UnixNano()}})
		if err == nil && r.Meet != nil {
			err = c.adopt(r.Meet.Ring)
		}
		if err != nil {
			c.log.Debug("gossip keys: cannot be fetched", "from", d.ID, "error", err)
		}
		if err != nil || c.member().ring.Serial < d.ring { // it announces what it does not have
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		}
	})
}
