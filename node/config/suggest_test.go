package config

import "testing"

func TestUnknown(t *testing.T) {
	known := []string{"janus-ws-port", "janus-wss-port", "janus-http-port", "mesh-join-file", "bind", "run", "drain"}
	tests := []struct{ word, meant string }{
		{"janus-ws-prt", "janus-ws-port"},
		{"janus_wss_port", "janus-wss-port"},
		{"janus-hptt-port", "janus-http-port"},
		{"drian", "drain"},
		{"ws-port", "janus-ws-port"},
		{"join-file", "mesh-join-file"},
		{"bnid", "bind"},
		{"mesh-join", "mesh-join-file"},
		{"walk", ""},
		{"ru", "run"},
		{"up", ""},
		{"port", ""}, // of which?
		{"", ""},
	}
	for _, tt := range tests {
		if got := nearest(tt.word, known); got != tt.meant {
			t.Errorf("%q: %q is the nearest, want %q", tt.word, got, tt.meant)
		}
	}
	if got := Unknown("flag", "--bnid", []string{"--bind"}); got != "unknown flag --bnid; did you mean --bind?" {
		t.Error(got)
	}
}

// TestUnknownKeys has keys of other sections and of deep ones, and misspelt ones that name files with secrets.
func TestUnknownKeys(t *testing.T) {
	tests := []struct{ document, want string }{
		{"janus: {sessoin_timeout: 1s}", "f:1: unknown key janus.sessoin_timeout; did you mean janus.session_timeout?"},
		{"events: {kafka: {brokrs: [a]}}", "f:1: unknown key events.kafka.brokrs; did you mean events.kafka.brokers?"},
		{"evnets: {}", "f:1: unknown key evnets; did you mean events?"},
		{"janus: {bind: 127.0.0.2}", "f:1: unknown key janus.bind; did you mean node.bind?"},
		{"ws_port: 1", "f:1: unknown key ws_port; did you mean janus.ws_port?"},
		{"janus: {api_secret_fiel: x}", "f:1: unknown key janus.api_secret_fiel; did you mean janus.api_secret_file?"},
		{"videoroom: {rooms: [{room: 1, publisher: 3}]}", "f:1: unknown key videoroom.rooms[0].publisher; did you mean videoroom.rooms[0].publishers?"},
		{"janus: {user: me}", "f:1: unknown key janus.user"}, // several have users
	}
	for _, tt := range tests {
		if _, err := Parse("f", []byte(tt.document)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v", tt.document, err)
		}
	}
}
