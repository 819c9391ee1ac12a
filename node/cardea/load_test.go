package main

import (
	"strings"
	"testing"
)

// TestLoadUsage wants wrong command lines refused before anything is loaded.
func TestLoadUsage(t *testing.T) {
	tests := []struct{ args, complaint string }{
		{"load", "url"},
		{"load --url http://127.0.0.1:8088/janus", "want ws://"},
		{"load --url ws://127.0.0.1:8188 --publishers 0 --fps 1000", "fps: want 1 to 120"},
		{"load --url ws://127.0.0.1:8188 --local nowhere", `--local: "nowhere": want an IP address`},
		{"load --api-secret x", "unknown flag --api-secret (cardea load --help lists them)"},
	}
	for _, tt := range tests {
		code, out, complaint := cardea(t, t.Context(), strings.Fields(tt.args)...)
		if code != exitUsage || out != "" || !strings.Contains(complaint, tt.complaint) {
			t.Errorf("%s: exit code %d\n%s\n%s", tt.args, code, out, complaint)
		}
	}
	if code, _, complaint := cardea(t, t.Context(), "load", "--url", "ws://127.0.0.1:1"); code != exitFailure || !strings.Contains(complaint, "connect to ws://127.0.0.1:1") {
		t.Errorf("nobody there: exit code %d, %s", code, complaint)
	}
}
