package session

import (
	"time"

	"cardea/relay/link"
)

// Calls and notices.
const (
	KindAnnounce link.Kind = 112 + iota // call: an owner tells a keeper of its sessions
	KindFind                            // call: who owns a session
	KindTake                            // call: become the owner
	KindCall                            // call: one request of a client that polls
	KindPoll                            // notice: a client that polls waits for events, to the session's owner
	KindRequest                         // notice: a request of a connection, to the session's owner
	KindMessage                         // notice: a reply or an event, to the connection's node
	KindTaken                           // notice: how much of that was taken, to the owner
	KindHang                            // notice: the connection is closed, to the owner
	KindCut                             // notice: the connection must be closed, to its node
	KindPolled                          // call: the answer to a poll, to the client's node
	KindUnpoll                          // notice: the client that polls is gone, to the owner
)

// entry is what an owner says of a session of its.
type entry struct {
	Session uint64   `pb:"1"`
	Epoch   uint64   `pb:"2"`
	Places  []string `pb:"3"` // nodes where its media is
	Over    bool     `pb:"4"`
	New     bool     `pb:"5"` // only if there is none of that id
}

type announceMessage struct {
	Entries []entry `pb:"1"`
}

// announceReply names the sessions that are another's.
type announceReply struct {
	Lost []uint64 `pb:"1"`
}

type findMessage struct {
	Session uint64 `pb:"1"`
}

// record is what a keeper knows of a session. Without an owner it knows nothing.
type record struct {
	Owner  link.NodeID `pb:"1"`
	Epoch  uint64      `pb:"2"`
	Places []string    `pb:"3"`
}

type takeMessage struct {
	Session uint64 `pb:"1"`
	Seen    uint64 `pb:"2"` // epoch of the record that the taker knows
	Epoch   uint64 `pb:"3"` // the taker's
}

// takeReply is the record as it is now; it is the taker's if it took the session.
type takeReply struct {
	Record record `pb:"1"`
}

type callMessage struct {
	Session   uint64 `pb:"1"`
	Transport string `pb:"2"`
	Address   string `pb:"3"`
	Request   []byte `pb:"4"`
}

type callReply struct {
	Unknown bool   `pb:"1"` // there is no such session here
	Reply   []byte `pb:"2"`
}

type pollNotice struct {
	ID      uint64        `pb:"1"`
	Session uint64        `pb:"2"`
	Most    uint32        `pb:"3"`
	Within  time.Duration `pb:"4"` // when to answer at the latest
}

// pollMessage answers a poll.
type pollMessage struct {
	ID      uint64   `pb:"1"`
	Unknown bool     `pb:"2"` // there is no such session here
	Events  [][]byte `pb:"3"`
	Busy    bool     `pb:"4"` // too many polls wait
}

type nothing struct{}

type requestNotice struct {
	Conn      uint64 `pb:"1"`
	Serial    uint64 `pb:"2"` // from 1
	Session   uint64 `pb:"3"`
	Transport string `pb:"4"`
	Address   string `pb:"5"`
	Request   []byte `pb:"6"`
}

type messageNotice struct {
	Conn    uint64 `pb:"1"`
	Serial  uint64 `pb:"2"` // from 1
	Reply   uint64 `pb:"3"` // serial of the request that it answers; 0: an event
	Body    []byte `pb:"4"`
	Unknown bool   `pb:"5"` // of a reply: there is no such session here
}

type takenNotice struct {
	Conn  uint64 `pb:"1"`
	Bytes uint64 `pb:"2"` // in all
}

// connNotice names a connection, or a poll.
type connNotice struct {
	Conn uint64 `pb:"1"`
}
