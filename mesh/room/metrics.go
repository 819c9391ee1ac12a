package room

import "sync/atomic"

// Metrics counts since the start, unless a field says that it is a present number. Reading them needs no lock.
type Metrics struct {
	Records   atomic.Int64 // present: records kept, tombstones included
	Graves    atomic.Int64 // present: tombstones among them
	Open      atomic.Int64 // present: rooms with a roster here
	Followers atomic.Int64 // present: nodes that follow rooms here, one for each node and room

	NoticesSent     atomic.Uint64
	NoticesReceived atomic.Uint64
	BytesSent       atomic.Uint64 // of notices and of calls' requests
	BytesReceived   atomic.Uint64 // of notices and of calls' requests
	Calls           atomic.Uint64 // made, those to itself included

	Failovers  atomic.Uint64 // rooms that went to another node because theirs was silent
	Resets     atomic.Uint64 // conversations between two nodes that began again
	Lost       atomic.Uint64 // own participants whose id an older claim took
	Repaired   atomic.Uint64 // records that anti-entropy brought
	Handed     atomic.Uint64 // records handed to other holders and dropped here
	Malformed  atomic.Uint64 // messages that could not be read, or contradict themselves
	Forged     atomic.Uint64 // entries of other writers from a node that may not carry them
	Flooded    atomic.Uint64 // messages dropped because their sender sends too much
	Refused    atomic.Uint64 // entries, records and followers beyond a bound, or of rooms that are not this node's
	StoreFails atomic.Uint64 // failed writes to the disk
}
