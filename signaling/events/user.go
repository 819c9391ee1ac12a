package events

import "encoding/json"

// Names of user events.
const (
	Joined         = "joined"          // a participant is in a room
	Left           = "left"            // and is no more
	Published      = "published"       // it sends streams, in Streams, which others may subscribe to
	Unpublished    = "unpublished"     // and no more
	Muted          = "muted"           // it was moderated: Kind or Mid say what others hear or see no more, Until for how long
	Unmuted        = "unmuted"         // and hear or see again
	Talking        = "talking"         // it began to talk
	StoppedTalking = "stopped_talking" // and stopped
	Kicked         = "kicked"          // it was put out of the room
	NetworkQuality = "network_quality" // how well its media travels, in Quality
)

// UserEvent is the body of a [User] event.
type UserEvent struct {
	Event     string          `json:"event"`                  // one of the names above
	Community string          `json:"community_id,omitempty"` // the community that the room belongs to
	Room      json.RawMessage `json:"room,omitempty"`         // as the plugin has it, a number or a string
	ID        json.RawMessage `json:"id,omitempty"`           // the participant's, a number or a string
	Display   string          `json:"display,omitempty"`      // its name
	Metadata  json.RawMessage `json:"metadata,omitempty"`     // what it told of itself when it joined
	Streams   []UserStream    `json:"streams,omitempty"`
	Mid       string          `json:"mid,omitempty"`   // the stream concerned
	Kind      string          `json:"kind,omitempty"`  // of that stream: audio, video or data
	By        string          `json:"by,omitempty"`    // who muted it: moderator or self
	Until     int64           `json:"until,omitempty"` // when a mute ends by itself, microseconds since 1970
	Level     float64         `json:"level,omitempty"` // average audio level of a talker, dBov below zero
	Quality   json.RawMessage `json:"quality,omitempty"`
}

// UserStream is a stream in a [UserEvent].
type UserStream struct {
	Mid   string `json:"mid"`
	Kind  string `json:"kind"`
	Codec string `json:"codec,omitempty"`
}
