package sdp

import (
	"encoding/json"
	"reflect"
	"testing"

	"cardea/relay/plane"
)

// TestJSON wants a line to come back whole, also what only this package knows of it.
func TestJSON(t *testing.T) {
	lines := []Media{
		{},
		{
			Kind: plane.Video, Type: "video", Mid: "1", Proto: "UDP/TLS/RTP/SAVPF", Rejected: true, Direction: plane.SendRecv,
			Codecs:     []plane.Codec{{Name: "vp8", PayloadType: 96, ClockRate: 90000, RTX: 97, NACK: true}},
			Extensions: []plane.Extension{{ID: 3, URI: plane.ExtMid}}, Encodings: []plane.Encoding{{RID: "h", SSRC: 1, RTX: 2, Disabled: true}},
			SIM: true, SSRC: 5, RTX: 6, Msid: "a b", Bandwidth: 7, SCTPPort: 5000, MaxMessage: 8, LegacySCTP: true,
			refused: true, oneWay: map[uint8]plane.Direction{3: plane.RecvOnly},
		},
	}
	b, err := json.Marshal(lines)
	if err != nil {
		t.Fatal(err)
	}
	var got []Media
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, lines) {
		t.Errorf("%s became %+v", b, got)
	}
	full := reflect.ValueOf(lines[1])
	for i := range full.NumField() {
		if full.Field(i).IsZero() {
			t.Errorf("the test leaves out %s", full.Type().Field(i).Name)
		}
	}
}
