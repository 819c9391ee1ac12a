package far

import (
	"errors"

	"cardea/relay/link"
	"cardea/relay/plane"
)

// The calls, one a method of [plane.Plane].
const (
	KindOpen link.Kind = 96 + iota
	KindRestart
	KindNegotiate
	KindAddCandidates
	KindPublish
	KindSubscribe
	KindKeyframe
	KindForward
	KindStopForward
	KindStats
	KindClose
	KindEvents
	KindKeep
	KindKept
	KindAdopt
)

// request is the envelope of what is asked.
type request struct {
	Lease  uint64 `pb:"1"` // drawn by the caller, never 0
	Number uint64 `pb:"2"` // grows with the caller's calls; a repeated call has that of the first
	Body   []byte `pb:"3"` // one of the messages below
}

// reply is the envelope of what is answered. A fault may come with a body.
type reply struct {
	Fault fault  `pb:"1"`
	Text  string `pb:"2"` // of the fault
	Body  []byte `pb:"3"`
}

// What the calls carry, and what their answers do.
type (
	openMessage struct {
		Peer    plane.PeerID      `pb:"1"`
		Options plane.PeerOptions `pb:"2"`
	}
	restartMessage struct {
		Peer       plane.PeerID `pb:"1"`
		Generation uint32       `pb:"2"`
	}
	negotiateMessage struct {
		Peer    plane.PeerID  `pb:"1"`
		Session plane.Session `pb:"2"`
	}
	candidatesMessage struct {
		Peer       plane.PeerID      `pb:"1"`
		Candidates []plane.Candidate `pb:"2"`
		Complete   bool              `pb:"3"`
	}
	publishMessage struct {
		Peer         plane.PeerID        `pb:"1"`
		Publications []plane.Publication `pb:"2"`
	}
	subscribeMessage struct {
		Peer          plane.PeerID         `pb:"1"`
		Subscriptions []plane.Subscription `pb:"2"`
	}
	streamMessage struct {
		Stream plane.StreamID `pb:"1"`
	}
	forwardMessage struct {
		Forwarder plane.Forwarder `pb:"1"`
	}
	forwarderMessage struct {
		ID string `pb:"1"`
	}
	peerMessage struct {
		Peer plane.PeerID `pb:"1"`
	}
	keepMessage struct {
		Peer     plane.PeerID `pb:"1"`
		Version  uint64       `pb:"2"`
		Snapshot []byte       `pb:"3"`
	}
	sessionMessage struct {
		Session string `pb:"1"`
	}
	adoptMessage struct {
		Peer  plane.PeerID `pb:"1"`
		Epoch uint64       `pb:"2"`
	}
	eventsMessage struct {
		Log   uint64 `pb:"1"` // the log that After is a position in, 0 when it is not known yet
		After uint64 `pb:"2"`
	}

	transportReply struct {
		Transport plane.Transport `pb:"1"`
	}
	forwardReply struct {
		RTCPPort uint16 `pb:"1"`
	}
	statsReply struct {
		Stats plane.PeerStats `pb:"1"`
	}
	keptReply struct {
		Kept []plane.Kept `pb:"1"`
	}
	eventsReply struct {
		Log    uint64        `pb:"1"`
		Events []plane.Event `pb:"2"`
	}
	nothing struct{}
)

// fault is an error of a plane as a number.
type fault uint32

// The numbers of errors; they are what other versions of the program read.
const (
	faultNone fault = iota
	faultOther
	faultNoPeer
	faultNoStream
	faultStale
	faultInvalid
	faultOverloaded
	faultEventsLost
)

// faults are the errors that have a number of their own.
var faults = [...]struct {
	fault fault
	err   error
}{
	{faultNoPeer, plane.ErrNoPeer},
	{faultNoStream, plane.ErrNoStream},
	{faultStale, plane.ErrStale},
	{faultInvalid, plane.ErrInvalid},
	{faultOverloaded, plane.ErrOverloaded},
	{faultEventsLost, plane.ErrEventsLost},
}

// faultOf is the number of an error.
func faultOf(err error) fault {
	if err == nil {
		return faultNone
	}
	for _, f := range faults {
		if errors.Is(err, f.err) {
			return f.fault
		}
	}
	return faultOther
}

// farError is an error of a plane at another node: its text, and what it is here.
type farError struct {
	text string
	is   error // nil when it is none of plane's
}

func (e *farError) Error() string { return e.text }
func (e *farError) Unwrap() error { return e.is }

// error returns the error of a reply, nil without one.
func (r *reply) error() error {
	if r.Fault == faultNone {
		return nil
	}
	e := &farError{text: r.Text}
	if len(e.text) > maxText {
		e.text = e.text[:maxText]
	}
	for _, f := range faults {
		if f.fault == r.Fault {
			e.is = f.err
		}
	}
	return e
}

// maxText bounds the text of an error, bytes.
const maxText = 1024
