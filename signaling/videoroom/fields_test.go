package videoroom

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cardea/signaling/janus/janustest"
)

// The fields of the requests as Janus documents them: "name type" with "!" behind the mandatory ones, and "name{...}" for
// the fields of an array's elements. Types: int (an integer), uint (one of 0 or more), bool, text, list, object.
const (
	createFields = "room uint, description text, is_private bool, secret text, pin text, require_pvtid bool, signed_tokens bool, publishers uint, " +
		"bitrate uint, bitrate_cap bool, fir_freq uint, audiocodec text, videocodec text, vp9_profile text, h264_profile text, opus_fec bool, " +
		"opus_dtx bool, opus_red bool, audiolevel_ext bool, audiolevel_event bool, audio_active_packets uint, audio_level_average uint, videoorient_ext bool, " +
		"playoutdelay_ext bool, transport_wide_cc_ext bool, record bool, rec_dir text, lock_record bool, notify_joining bool, require_e2ee bool, " +
		"dummy_publisher bool, dummy_streams list, dummy_e2ee bool, allowed list, permanent bool"
	publishFields = "bitrate uint, keyframe bool, record bool, filename text, secret text, display text, metadata object, audiocodec text, " +
		"videocodec text, audio bool, video bool, data bool, update bool, descriptions{mid text!, description text!}, " +
		"streams{mid text, send bool, keyframe bool, min_delay int, max_delay int}"
	layerFields     = "substream uint, temporal uint, spatial_layer uint, temporal_layer uint"
	subscribeFields = "feed uint!, mid text, crossrefid text, send bool, fallback uint, min_delay int, max_delay int, " + layerFields
	forwardFields   = "mid text!, port uint!, host text, host_family text, rtcp_port uint, ssrc uint, pt uint, simulcast bool, port_2 uint, port_3 uint, " +
		"ssrc_2 uint, ssrc_3 uint, pt_2 uint, pt_3 uint, srtp_suite uint, srtp_crypto text"
	remoteFields = "type text!, mid text!, mindex uint!, description text, disabled bool, stereo bool, fec bool, dtx bool, h264_profile text, " +
		"vp9_profile text, simulcast bool, svc bool, audiolevel_ext_id int, videoorient_ext_id int, playoutdelay_ext_id int"
)

// TestFields sends every request with every field missing that must be there, and of every wrong type.
func TestFields(t *testing.T) {
	s := newStage(t, m{"secret": "s"}, m{"display": "a"}, "audio", "video")
	sub, _ := s.subscribe(m{})
	for _, tt := range []struct {
		who    string // "new", "pub" or "sub": what the handle is
		base   m      // a request that would do
		fields string
	}{
		{"new", m{"request": "create"}, createFields},
		{"new", m{"request": "edit", "room": 1, "secret": "s"}, "room uint!, secret text, new_description text, new_secret text, new_pin text, " +
			"new_is_private bool, new_require_pvtid bool, new_bitrate uint, new_fir_freq uint, new_publishers uint, new_lock_record bool, " +
			"new_rec_dir text, permanent bool"},
		{"new", m{"request": "destroy", "room": 1, "secret": "s"}, "room uint!, secret text!, permanent bool"},
		{"new", m{"request": "exists", "room": 1}, "room uint!"},
		{"new", m{"request": "allowed", "room": 1, "secret": "s", "action": "enable"}, "room uint!, secret text!, action text!, allowed list"},
		{"new", m{"request": "kick", "room": 1, "secret": "s", "id": 7}, "id uint!, secret text!"},
		{"new", m{"request": "moderate", "room": 1, "secret": "s", "id": 7, "mid": "0", "mute": true}, "id uint!, secret text!, mid text!, mute bool!"},
		{"new", m{"request": "listparticipants", "room": 1}, "room uint!"},
		{"new", m{"request": "listforwarders", "room": 1, "secret": "s"}, "room uint!, secret text!"},
		{"new", m{"request": "enable_recording", "room": 1, "secret": "s", "record": false}, "secret text!, record bool!"},
		{
			"new",
			m{"request": "rtp_forward", "room": 1, "secret": "s", "publisher_id": 7, "host": "192.0.2.1", "streams": []any{m{"mid": "0", "port": 0}}},
			"room uint!, secret text!, publisher_id uint!, host text!, host_family text, srtp_suite uint, srtp_crypto text, streams{" + forwardFields + "}",
		},
		{"new", m{"request": "stop_rtp_forward", "room": 1, "secret": "s", "publisher_id": 7, "stream_id": 1}, "room uint!, secret text!, publisher_id uint!, stream_id uint!"},
		{
			"new",
			m{"request": "publish_remotely", "room": 1, "secret": "s", "publisher_id": 7, "remote_id": "r", "host": "192.0.2.1", "port": 1},
			"room uint!, secret text!, publisher_id uint!, remote_id text!, host text!, host_family text, port uint!, rtcp_port uint, srtp_suite uint, srtp_crypto text",
		},
		{"new", m{"request": "unpublish_remotely", "room": 1, "secret": "s", "publisher_id": 7, "remote_id": "r"}, "room uint!, secret text!, publisher_id uint!, remote_id text!"},
		{"new", m{"request": "listremotes", "room": 1, "secret": "s", "publisher_id": 7}, "room uint!, secret text!, publisher_id uint!"},
		{
			"new",
			m{"request": "add_remote_publisher", "room": 1, "secret": "s", "streams": []any{m{"type": "data", "mid": "0", "mindex": 0}}},
			"room uint!, secret text!, id uint, display text, metadata object, mcast text, iface text, port uint, srtp_suite uint, srtp_crypto text, streams{" + remoteFields + "}",
		},
		{
			"new",
			m{"request": "update_remote_publisher", "room": 1, "secret": "s", "id": 7, "streams": []any{m{"type": "data", "mid": "0", "mindex": 0}}},
			"room uint!, secret text!, id uint!, streams{" + remoteFields + "}",
		},
		{"new", m{"request": "remove_remote_publisher", "room": 1, "secret": "s", "id": 7}, "room uint!, secret text!, id uint!"},
		{"new", m{"request": "join", "ptype": "nobody", "room": 1}, "room uint!, ptype text!, token text"},
		{"new", m{"request": "join", "ptype": "publisher", "room": 1, "id": 1}, "id uint, display text, metadata object, audio_active_packets uint, audio_level_average uint"},
		{"new", m{"request": "join", "ptype": "subscriber", "room": 1, "streams": []any{m{"feed": 7}}}, "private_id uint, autoupdate bool, streams{" + subscribeFields + "}"},
		{"new", m{"request": "join", "ptype": "subscriber", "room": 1, "feed": 7}, "feed uint!"},
		{"pub", m{"request": "configure"}, publishFields},
		{"sub", m{"request": "subscribe", "streams": []any{m{"feed": 7}}}, "streams{" + subscribeFields + "}"},
		{"sub", m{"request": "unsubscribe", "streams": []any{m{"feed": 7}}}, "streams{feed uint, mid text, sub_mid text}"},
		{"sub", m{"request": "update", "subscribe": []any{m{"feed": 7}}}, "subscribe{" + subscribeFields + "}"},
		{"sub", m{"request": "update", "unsubscribe": []any{m{"feed": 7}}}, "unsubscribe{feed uint, mid text, sub_mid text}"},
		{"sub", m{"request": "configure", "streams": []any{m{"mid": "0"}}}, "restart bool, update bool, streams{mid text, send bool, fallback uint, " +
			"audio_level_average uint, audio_active_packets uint, min_delay int, max_delay int, " + layerFields + "}"},
		{"sub", m{"request": "switch", "streams": []any{m{"feed": 1, "mid": "0", "sub_mid": "9"}}}, "streams{feed uint!, mid text!, sub_mid text!, " + layerFields + "}"},
	} {
		h := map[string]*janustest.Handle{"new": s.admin, "pub": s.alice, "sub": sub}[tt.who]
		s.fields(h, tt.base, "", tt.fields)
	}
}

// wrongTypes are values of each JSON type.
var wrongTypes = map[string]any{
	"null": nil, "text": "x", "int": -1, "uint": 1, "real": 1.5, "bool": true, "list": []any{}, "object": m{},
}

// fits tells which of those fit a type of a field.
var fits = map[string][]string{
	"text": {"text"}, "int": {"int", "uint"}, "uint": {"uint"}, "bool": {"bool"}, "list": {"list"}, "object": {"object"},
}

var shouldBe = map[string]string{
	"text": "a string", "int": "an integer", "uint": "a positive integer", "bool": "a boolean", "list": "an array", "object": "an object",
}

// fields checks the fields of a request, or of the first element of one of its arrays.
func (s *stage) fields(h *janustest.Handle, base m, array, spec string) {
	for spec != "" {
		end := strings.IndexAny(spec+",", ",{")
		word := strings.TrimSpace(spec[:end])
		if spec[min(end, len(spec)-1)] == '{' {
			closing := strings.Index(spec, "}")
			s.field(h, base, array, word, "list", false)
			s.fields(h, base, word, spec[end+1:closing])
			spec = strings.TrimPrefix(spec[closing+1:], ",")
			continue
		}
		spec = spec[min(end+1, len(spec)):]
		name, kind, _ := strings.Cut(word, " ")
		kind, mandatory := strings.CutSuffix(kind, "!")
		s.field(h, base, array, name, kind, mandatory)
	}
}

func (s *stage) field(h *janustest.Handle, base m, array, name, kind string, mandatory bool) {
	s.Helper()
	refused := func(change func(o m), code int, text string) {
		s.Helper()
		body := maps.Clone(base)
		if array == "" {
			change(body)
		} else {
			element := m{}
			if l, ok := body[array].([]any); ok {
				element = maps.Clone(l[0].(m))
			} else if array == "descriptions" {
				element = m{"mid": "0", "description": "d"}
			}
			change(element)
			body[array] = []any{element}
		}
		d := janustest.Data(h.Message(body, nil))
		if d["error_code"] != json.Number(strconv.Itoa(code)) || d["error"] != text || d["videoroom"] != "event" {
			b, _ := json.Marshal(body)
			s.Errorf("%s: %v, want %d %s", b, d, code, text)
		}
	}
	if mandatory {
		refused(func(o m) { delete(o, name) }, 429, fmt.Sprintf("Missing mandatory element (%s)", name))
	}
	for is, v := range wrongTypes {
		if !slices.Contains(fits[kind], is) {
			refused(func(o m) { o[name] = v }, 430, fmt.Sprintf("Invalid element type (%s should be %s)", name, shouldBe[kind]))
		}
	}
	if kind == "text" {
		refused(func(o m) { o[name] = strings.Repeat("x", maxText+1) }, 430, fmt.Sprintf("Invalid element value (%s is longer than %d bytes)", name, maxText))
	}
	if kind == "object" {
		refused(func(o m) { o[name] = m{"k": strings.Repeat("x", maxMetadata)} }, 430,
			fmt.Sprintf("Invalid element value (%s is larger than %d bytes)", name, maxMetadata))
	}
}

// TestRequestsOfOthers sends every request that a handle of another kind knows, and one that nobody does.
func TestRequestsOfOthers(t *testing.T) {
	s := newStage(t, m{}, m{}, "audio")
	sub, _ := s.subscribe(m{})
	for _, tt := range []struct {
		h       *janustest.Handle
		request string
		code    int
		text    string
	}{
		{s.admin, "configure", 424, "Invalid request on unconfigured participant"},
		{s.admin, "publish", 424, "Invalid request on unconfigured participant"},
		{s.admin, "start", 424, "Invalid request on unconfigured participant"},
		{s.admin, "switch", 424, "Invalid request on unconfigured participant"},
		{s.admin, "leave", 424, "Invalid request on unconfigured participant"},
		{s.admin, "unpublish", 424, "Invalid request on unconfigured participant"},
		{s.alice, "join", 425, "Already in as a publisher on this handle"},
		{s.alice, "joinandconfigure", 425, "Already in as a publisher on this handle"},
		{s.alice, "start", 423, "Unknown request 'start'"},
		{s.alice, "pause", 423, "Unknown request 'pause'"},
		{s.alice, "subscribe", 423, "Unknown request 'subscribe'"},
		{s.alice, "unsubscribe", 423, "Unknown request 'unsubscribe'"},
		{s.alice, "update", 423, "Unknown request 'update'"},
		{s.alice, "switch", 423, "Unknown request 'switch'"},
		{sub, "join", 425, "Already in as a subscriber on this handle"},
		{sub, "publish", 423, "Unknown request 'publish'"},
		{sub, "unpublish", 423, "Unknown request 'unpublish'"},
		{sub, "joinandconfigure", 423, "Unknown request 'joinandconfigure'"},
		{s.admin, "dance", 423, "Unknown request 'dance'"},
		{s.alice, "dance", 423, "Unknown request 'dance'"},
		{sub, "dance", 423, "Unknown request 'dance'"},
	} {
		d := janustest.Data(tt.h.Message(m{"request": tt.request, "room": 1, "ptype": "publisher"}, nil))
		if d["error_code"] != json.Number(strconv.Itoa(tt.code)) || d["error"] != tt.text {
			t.Errorf("%s: %v, want %d %s", tt.request, d, tt.code, tt.text)
		}
	}
}

// TestStrangersMakeNoLookups checks that a name is looked up only for those who may manage the room.
func TestStrangersMakeNoLookups(t *testing.T) {
	s := newStage(t, m{"secret": "s"}, m{}, "audio")
	for secret, code := range map[string]string{"wrong": "433", "s": "430"} {
		for _, body := range []m{
			{"request": "rtp_forward", "host": "name.invalid", "streams": []any{}},
			{"request": "rtp_forward", "host": "192.0.2.1", "streams": []any{m{"mid": "0", "port": 5, "host": "name.invalid"}}},
			{"request": "publish_remotely", "remote_id": "r", "host": "name.invalid", "port": 5},
		} {
			d := janustest.Data(s.admin.Message(with(body, m{"room": 1, "publisher_id": 1, "secret": secret}), nil))
			if d["error_code"] != json.Number(code) {
				t.Errorf("%v: %v", body, d)
			}
		}
	}
}
