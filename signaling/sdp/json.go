package sdp

import (
	"encoding/json"

	"cardea/relay/plane"
)

// wholeMedia is a Media with everything that is not exported, for others of this program to read.
type wholeMedia struct {
	plainMedia
	Refused bool                      `json:",omitempty"`
	OneWay  map[uint8]plane.Direction `json:",omitempty"`
}

type plainMedia Media

// MarshalJSON implements json.Marshaler: a line as JSON is whole, and [Media.UnmarshalJSON] reads it back.
func (m Media) MarshalJSON() ([]byte, error) {
	return json.Marshal(wholeMedia{plainMedia(m), m.refused, m.oneWay})
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Media) UnmarshalJSON(b []byte) error {
	var w wholeMedia
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*m = Media(w.plainMedia)
	m.refused, m.oneWay = w.Refused, w.OneWay
	return nil
}
