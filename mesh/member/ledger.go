package member

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"cardea/relay/link"
)

// maxInvitations bounds how many unexpired invitations one node keeps.
const maxInvitations = 1024

// errManyInvitations says that the ledger is full.
var errManyInvitations = errors.New("too many invitations are open; some have to expire first")

// ledger is what an issuer keeps of its invitations. It decides who may come in; somebody else locks and saves it.
type ledger struct {
	Open []ledgerEntry `json:"open"`
}

// ledgerEntry is one invitation.
type ledgerEntry struct {
	Hash      []byte        `json:"hash"` // SHA-256 of the one-time key
	Expires   time.Time     `json:"expires"`
	Uses      int           `json:"uses"` // left
	Authority bool          `json:"authority,omitempty"`
	Admitted  []link.NodeID `json:"admitted,omitempty"` // with it: they may ask again, if the answer never reached them
}

// add keeps a new invitation.
func (l *ledger) add(inv invitation, now time.Time) error {
	l.expire(now)
	if len(l.Open) >= maxInvitations {
		return errManyInvitations
	}
	hash := inv.hash()
	l.Open = append(l.Open, ledgerEntry{Hash: hash[:], Expires: inv.Expires, Uses: int(inv.Uses), Authority: inv.Authority})
	return nil
}

// redeem tells whether whoever knows a key may come in as id, and uses it up. All entries are looked at in the same time.
func (l *ledger) redeem(key []byte, id link.NodeID, now time.Time) (authority, ok bool) {
	l.expire(now)
	hash := sha256.Sum256(key)
	found := -1
	for i := range l.Open {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(l.Open[i].Hash, hash[:]), i, found)
	}
	if found < 0 {
		return false, false
	}
	e := &l.Open[found]
	if !slices.Contains(e.Admitted, id) {
		if e.Uses <= 0 {
			return false, false
		}
		e.Uses--
		e.Admitted = append(e.Admitted, id) // at most as many as there were uses
	}
	return e.Authority, true
}

func (l *ledger) expire(now time.Time) {
	l.Open = slices.DeleteFunc(l.Open, func(e ledgerEntry) bool { return !now.Before(e.Expires) })
}
