package events_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cardea/signaling/events"
)

func TestAppendJSON(t *testing.T) {
	at := time.UnixMicro(1700000000000001)
	for name, tt := range map[string]struct {
		event events.Event
		want  string
	}{
		"everything": {
			events.Event{
				Type: events.WebRTC, Subtype: events.Connection, Time: at, Session: 1<<53 - 1, Handle: 7, OpaqueID: `o"1`,
				Room: "videoroom/1", Community: "c", Body: json.RawMessage(`{"connection":"webrtcup"}`),
			},
			`{"emitter":"n\u00fc","type":16,"subtype":6,"timestamp":1700000000000001,"session_id":9007199254740991,"handle_id":7,` +
				`"opaque_id":"o\"1","event":{"connection":"webrtcup"}}`,
		},
		"nobody's": {
			events.Event{Type: events.External, Time: at, Body: json.RawMessage(`{"schema":"s","data":{}}`)},
			`{"emitter":"n\u00fc","type":4,"timestamp":1700000000000001,"event":{"schema":"s","data":{}}}`,
		},
		"a user's": {
			events.Event{Type: events.User, Time: at, Session: 1, Handle: 2, Room: "videoroom/<x>", Body: json.RawMessage(`{"event":"joined"}`)},
			`{"emitter":"n\u00fc","type":512,"timestamp":1700000000000001,"session_id":1,"handle_id":2,"room":"videoroom/<x>","LABEL":{"event":"joined"}}`,
		},
		"without a body": {events.Event{Type: events.Core, Time: at}, `{"emitter":"n\u00fc","type":256,"timestamp":1700000000000001,"event":{}}`},
	} {
		got := tt.event.AppendJSON([]byte("x"), "nü", "LABEL")
		if string(got[1:]) != strings.ReplaceAll(tt.want, `\u00fc`, "ü") {
			t.Errorf("%s: %s, want %s", name, got[1:], tt.want)
		}
	}
}

// FuzzAppendJSON wants a valid object whatever clients call themselves.
func FuzzAppendJSON(f *testing.F) {
	f.Add("opaque", "videoroom/1", int64(5))
	f.Add("\"\\\x00\xff", "\u2028", int64(-1))
	f.Fuzz(func(t *testing.T, opaque, room string, at int64) {
		e := events.Event{Type: events.User, Time: time.UnixMicro(at), Handle: 1, OpaqueID: opaque, Room: room}
		b := e.AppendJSON(nil, room, "label")
		var got map[string]any
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if want := strings.ToValidUTF8(opaque, ""); opaque != "" && want == opaque && got["opaque_id"] != opaque {
			t.Errorf("%q became %q", opaque, got["opaque_id"])
		}
	})
}

func TestParseTypes(t *testing.T) {
	for list, want := range map[string]events.Type{
		"all": events.All, "none": events.None, "": events.None, " all ": events.All, "handles,external": events.Handle | events.External,
		"sessions, users": events.Session | events.User, "core,core": events.Core,
	} {
		got, err := events.ParseTypes(list)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	got, err := events.ParseTypes("media,nonsense")
	if err == nil || !strings.Contains(err.Error(), `"nonsense"`) || got != events.Media {
		t.Errorf("unknown: %v, %v", got, err)
	}
	for types := range events.All + 1 {
		back, err := events.ParseTypes(types.String())
		if err != nil || back != types {
			t.Fatalf("%d is %s, which is %d, %v", types, types, back, err)
		}
	}
}

// TestTypesAreJanus pins the numbers, which others know.
func TestTypesAreJanus(t *testing.T) {
	for want, got := range map[int]events.Type{
		1: events.Session, 2: events.Handle, 4: events.External, 8: events.JSEP, 16: events.WebRTC, 32: events.Media,
		64: events.Plugin, 128: events.Transport, 256: events.Core, 512: events.User,
	} {
		if int(got) != want {
			t.Errorf("%s is %d, want %d", got, got, want)
		}
	}
}
