package room

import (
	"cardea/relay/link"
)

// The kinds of messages. Kinds 32 to 47 are this package's.
const (
	KindNotice link.Kind = 32 // the conversations about rosters; the only notice, the others are calls
	KindCreate link.Kind = 33 // make a room, unless there is one
	KindStore  link.Kind = 34 // keep these records
	KindFetch  link.Kind = 35 // tell me a record
	KindClaim  link.Kind = 36 // keep a participant's id for me
	KindDigest link.Kind = 37 // have we the same records?
	KindOffer  link.Kind = 38 // these records I have: which do you want, which have you?
	KindAsk    link.Kind = 39 // a request to the participant's home
	KindList   link.Kind = 40 // the rooms you are keeper of
	KindWhere  link.Kind = 41 // at which nodes a room's participants are
)

// Kinds returns the kinds of calls that [Rooms.HandleCall] answers.
func Kinds() []link.Kind {
	return []link.Kind{KindCreate, KindStore, KindFetch, KindClaim, KindDigest, KindOffer, KindAsk, KindList, KindWhere}
}

// maxNodeID is the longest id of a node that is believed.
const maxNodeID = 64

// noticeMessage is one part of what a node says to another about rosters (see [lane]).
type noticeMessage struct {
	Epoch    uint64        `pb:"1"` // of the sender's lane
	Seq      uint64        `pb:"2"` // counts from 1 in an epoch; 0: only acknowledges
	AckEpoch uint64        `pb:"3"` // of the receiver's lane
	AckSeq   uint64        `pb:"4"` // all up to this one have come
	Lost     bool          `pb:"5"` // something of the receiver's lane is missing: begin again
	Items    []itemMessage `pb:"6"`
}

// itemMessage is what is said about one room.
type itemMessage struct {
	Room    string         `pb:"1"`
	Up      bool           `pb:"2"`  // from one who follows to whom it follows
	Begin   bool           `pb:"3"`  // what was said before does not count: everything follows
	End     bool           `pb:"4"`  // that was everything, from here on changes
	Stop    uint8          `pb:"5"`  // the sender follows no more (Up)
	Born    uint64         `pb:"6"`  // with Begin and Up: the version of the record that the sender has
	Stamp   uint64         `pb:"7"`  //
	Record  *recordMessage `pb:"8"`  // without its id
	Want    bool           `pb:"9"`  // send me the record
	Entries []entryMessage `pb:"10"` // present or changed
	Gone    []goneMessage  `pb:"11"`
}

// Values of itemMessage.Stop. An unknown one is taken for stopMoved, which does less.
const (
	stopLeft  = 1 // nobody is there any more
	stopMoved = 2 // follows another node instead
)

// entryMessage is a participant's entry.
type entryMessage struct {
	Participant string `pb:"1"`
	Home        string `pb:"2"` // the node that writes it; empty: the sender
	Claim       uint64 `pb:"3"` // since when it has the id
	Version     uint64 `pb:"4"`
	Payload     []byte `pb:"5"`
}

// goneMessage says that a participant is not there any more.
type goneMessage struct {
	Participant string `pb:"1"`
	Why         string `pb:"2"`
}

// createMessage asks the keeper to make a room.
type createMessage struct {
	Record recordMessage `pb:"1"`
	Sure   bool          `pb:"2"` // the others were asked already
}

// createReply answers it.
type createReply struct {
	Result uint8  `pb:"1"`
	Ended  uint64 `pb:"2"` // with createdBefore
}

// Values of createReply.Result.
const (
	created       = 1
	createdExists = 2 // there is such a room
	createdUnsure = 3 // the keeper is new and does not know all rooms yet: ask the others, then say that you are sure
	createdBefore = 4 // a room of this id was destroyed later than the new one claims to be born
)

// storeMessage carries records. The reply is empty and says that they are kept, on disk if they are to be.
type storeMessage struct {
	Records []recordMessage `pb:"1"`
}

// fetchMessage asks for a record.
type fetchMessage struct {
	ID string `pb:"1"`
}

// fetchReply has it, or the tombstone, or nothing.
type fetchReply struct {
	Record *recordMessage `pb:"1"`
}

// claimMessage asks the keeper for a participant's id.
type claimMessage struct {
	Room        string `pb:"1"`
	Participant string `pb:"2"`
	Claim       uint64 `pb:"3"`
}

// claimReply says whether another has it.
type claimReply struct {
	Taken bool `pb:"1"`
}

// digestMessage is the sum of what the sender has of the records that both keep.
type digestMessage struct {
	Sum uint64 `pb:"1"`
}

// digestReply has the sums of the buckets, eight bytes each, big-endian, if the sum is another.
type digestReply struct {
	Sums []byte `pb:"1"`
}

// offerMessage lists records that the sender has.
type offerMessage struct {
	Buckets []uint32      `pb:"1"` // complete: what is not listed of these, the sender does not have
	Records []offerRecord `pb:"2"`
}

// offerRecord is a version of a record.
type offerRecord struct {
	ID  string `pb:"1"`
	Sum uint64 `pb:"2"`
}

// offerReply answers it.
type offerReply struct {
	Wanted  []string        `pb:"1"` // that the receiver does not have
	Records []recordMessage `pb:"2"` // of which it has another version, or which the sender does not have
	More    bool            `pb:"3"` // not everything fitted: offer again
}

// askMessage is a request to the home of a participant.
type askMessage struct {
	Room        string `pb:"1"`
	Participant string `pb:"2"`
	Request     []byte `pb:"3"`
}

// askReply answers it.
type askReply struct {
	Reply   []byte `pb:"1"`
	Refused string `pb:"2"` // what went wrong
	Absent  bool   `pb:"3"` // there is no such participant
}

// listMessage asks for a page of the rooms that a node is keeper of.
type listMessage struct {
	Prefix string `pb:"1"`
	Bucket uint32 `pb:"2"` // where the page begins
	After  string `pb:"3"` // within the bucket
}

// listReply is a page.
type listReply struct {
	Rooms  []listRoom `pb:"1"`
	More   bool       `pb:"2"`
	Bucket uint32     `pb:"3"` // where the next page begins
	After  string     `pb:"4"`
}

// listRoom is a room in a list.
type listRoom struct {
	ID           string `pb:"1"`
	Value        []byte `pb:"2"`
	Stamp        uint64 `pb:"3"`
	Participants uint64 `pb:"4"`
	Permanent    bool   `pb:"5"`
}
