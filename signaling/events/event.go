package events

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type is a type of events, or a set of types: each is one bit, as in Janus.
type Type uint16

// The types of events. All but User are Janus's.
const (
	Session   Type = 1 << iota // sessions created, destroyed and timed out
	Handle                     // handles attached and detached
	External                   // what the Admin API's custom_event was given
	JSEP                       // session descriptions
	WebRTC                     // ICE, DTLS, PeerConnections; see the subtypes
	Media                      // what flows; see the subtypes
	Plugin                     // what plugins say
	Transport                  // connections of transports, and their requests
	Core                       // start and end of the server, and its periodic figures
	User                       // what applications want to know of users, under a label of its own

	None     Type = 0           // no events
	All      Type = User<<1 - 1 // all types
	AllJanus      = All &^ User // all of Janus's
)

// Subtypes of [WebRTC] events.
const (
	ICEState = iota + 1
	LocalCandidate
	RemoteCandidate
	SelectedPair
	DTLSState
	Connection
)

// Subtypes of [Media] events.
const (
	MediaState = iota + 1
	SlowLink
	MediaStats
)

// Subtypes of [Core] events.
const (
	Running = iota + 1 // start of the server and periodic figures
	Shutdown
)

// typeCount is the number of types, and of bits in [All].
const typeCount = 10

// typeNames are the labels of the types in Janus's configuration, by bit.
var typeNames = [typeCount]string{
	"sessions", "handles", "external", "jsep", "webrtc", "media", "plugins", "transports", "core", "users",
}

// String returns the labels of the types joined by commas, "all" or "none".
func (t Type) String() string {
	if t &= All; t == None {
		return "none"
	} else if t == All {
		return "all"
	}
	var names []string
	for i, name := range typeNames {
		if t&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// index returns the bit's number of a single type, and false of a set or of none.
func (t Type) index() (int, bool) {
	if t&All == 0 || bits.OnesCount16(uint16(t)) != 1 {
		return 0, false
	}
	return bits.TrailingZeros16(uint16(t)), true
}

// ParseTypes reads a list of types as Janus's configuration has them: labels separated by commas, or "all" or "none". The types it
// knows are returned also along with the error that names one it does not.
func ParseTypes(list string) (Type, error) {
	switch strings.TrimSpace(list) {
	case "all":
		return All, nil
	case "none", "":
		return None, nil
	}
	var types Type
	var err error
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		i := slices.Index(typeNames[:], name)
		if i < 0 {
			err = fmt.Errorf("%q is no type of events: want all, none or some of %s", name, strings.Join(typeNames[:], ", "))
			continue
		}
		types |= 1 << i
	}
	return types, err
}

// Event is something that happened.
type Event struct {
	Type      Type // one
	Subtype   int
	Time      time.Time // [Bus.Emit] fills in now when zero
	Session   uint64    // 0 when it concerns no session
	Handle    uint64    // 0 when it concerns no handle
	OpaqueID  string
	Room      string          // key of the room it happened in, "videoroom/1234"; "" if none
	Community string          // community that the room belongs to; "" if none
	Body      json.RawMessage // object: of a user event what is under the label, else what is under "event"
}

// AppendJSON appends the event as its envelope, which the package's documentation describes, to dst, but for the id. The label is
// that of user events.
func (e *Event) AppendJSON(dst []byte, emitter, label string) []byte {
	dst = append(dst, `{"emitter":`...)
	dst = appendString(dst, emitter)
	dst = append(dst, `,"type":`...)
	dst = strconv.AppendUint(dst, uint64(e.Type), 10)
	if e.Subtype > 0 {
		dst = append(dst, `,"subtype":`...)
		dst = strconv.AppendInt(dst, int64(e.Subtype), 10)
	}
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, e.Time.UnixMicro(), 10)
	if e.Session != 0 {
		dst = append(dst, `,"session_id":`...)
		dst = strconv.AppendUint(dst, e.Session, 10)
	}
	if e.Handle != 0 {
		dst = append(dst, `,"handle_id":`...)
		dst = strconv.AppendUint(dst, e.Handle, 10)
	}
	if e.OpaqueID != "" {
		dst = append(dst, `,"opaque_id":`...)
		dst = appendString(dst, e.OpaqueID)
	}
	name := "event"
	if e.Type == User {
		if e.Room != "" {
			dst = append(dst, `,"room":`...)
			dst = appendString(dst, e.Room)
		}
		name = label
	}
	dst = append(dst, ',')
	dst = appendString(dst, name)
	dst = append(dst, ':')
	if len(e.Body) == 0 {
		dst = append(dst, `{}`...)
	} else {
		dst = append(dst, e.Body...)
	}
	return append(dst, '}')
}

// appendString appends a string as JSON.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil { // no string is refused
				return append(dst, `""`...)
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
