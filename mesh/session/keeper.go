package session

import (
	"time"

	"cardea/relay/link"
)

// Bounds and times of a keeper.
const (
	maxRecords = 2 << 20 // of all owners
	maxOwned   = 1 << 18 // of one owner: twice the sessions that a node takes
	maxPlaces  = 16
	// orphanTime is how long the record of a session is kept that its owner does not announce any more: its client may claim
	// it so long, and clients are not given longer than minutes.
	orphanTime = 3 * announceTime
)

// kept is a record and when its owner last announced it.
type kept struct {
	record
	heard time.Time
}

// keeper keeps the records of sessions. It is pure: callers lock it and tell it the time.
type keeper struct {
	records map[uint64]*kept
	owned   map[link.NodeID]int
}

func newKeeper() *keeper {
	return &keeper{records: make(map[uint64]*kept), owned: make(map[link.NodeID]int)}
}

// announce takes in what an owner says and tells whether the session is another's.
func (k *keeper) announce(from link.NodeID, e entry, now time.Time) (lost bool) {
	r := k.records[e.Session]
	switch {
	case e.Over:
		if r != nil && r.Owner == from && r.Epoch <= e.Epoch {
			k.drop(e.Session)
		}
		return false
	case r != nil && r.Owner != from && (e.New || r.Epoch >= e.Epoch):
		return true
	case r != nil && r.Epoch > e.Epoch:
		return false // it came late
	}
	return !k.put(e.Session, record{from, e.Epoch, e.Places}, now)
}

// put stores a record; false when there is no room for it.
func (k *keeper) put(session uint64, r record, now time.Time) bool {
	if session == 0 {
		return false
	}
	r.Places = r.Places[:min(len(r.Places), maxPlaces)]
	old := k.records[session]
	if (old == nil || old.Owner != r.Owner) && k.owned[r.Owner] >= maxOwned || old == nil && len(k.records) >= maxRecords {
		return false
	}
	k.drop(session)
	k.records[session] = &kept{r, now}
	k.owned[r.Owner]++
	return true
}

func (k *keeper) drop(session uint64) {
	r := k.records[session]
	if r == nil {
		return
	}
	delete(k.records, session)
	if k.owned[r.Owner]--; k.owned[r.Owner] == 0 {
		delete(k.owned, r.Owner)
	}
}

// find returns the record of a session, one without an owner if there is none.
func (k *keeper) find(session uint64) record {
	if r := k.records[session]; r != nil {
		return r.record
	}
	return record{}
}

// take makes a node the owner if it has seen this record or a newer one at another keeper, and returns the record as it is then.
func (k *keeper) take(from link.NodeID, m takeMessage, now time.Time) record {
	r := k.records[m.Session]
	if r == nil || r.Epoch > m.Seen || m.Epoch <= m.Seen {
		return k.find(m.Session)
	}
	if !k.put(m.Session, record{from, m.Epoch, r.Places}, now) {
		return r.record
	}
	return k.find(m.Session)
}

// sweep drops the records that nobody announced for too long.
func (k *keeper) sweep(now time.Time) {
	for session, r := range k.records {
		if now.Sub(r.heard) > orphanTime {
			k.drop(session)
		}
	}
}
