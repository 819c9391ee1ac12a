package data

import (
	"strings"
	"testing"
)

func TestOpenMessage(t *testing.T) {
	tests := []struct {
		name            string
		message         string
		reliability     Reliability
		label, protocol string
		ok              bool
	}{
		{"reliable", "\x03\x00\x01\x00\x00\x00\x00\x00\x00\x02\x00\x01abP", Reliability{}, "ab", "P", true},
		{"unordered", "\x03\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", Reliability{Unordered: true}, "", "", true},
		{"retransmits", "\x03\x01\x01\x00\x00\x00\x00\x05\x00\x00\x00\x00", Reliability{false, Retransmits, 5}, "", "", true},
		{"lifetime", "\x03\x82\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00", Reliability{true, Lifetime, 256}, "", "", true},
	}
	for _, tt := range tests {
		r, label, protocol, ok := parseOpen([]byte(tt.message))
		if r != tt.reliability || label != tt.label || protocol != tt.protocol || ok != tt.ok {
			t.Errorf("%s: %+v, %q, %q, %v", tt.name, r, label, protocol, ok)
		}
		if got := string(openMessage(tt.reliability, tt.label, tt.protocol)); got != tt.message {
			t.Errorf("%s: wrote %q, want %q", tt.name, got, tt.message)
		}
	}
	// The limit of a reliable channel is to be ignored.
	if r, _, _, ok := parseOpen([]byte("\x03\x00\x01\x00\x00\x00\x00\x09\x00\x00\x00\x00")); !ok || r != (Reliability{}) {
		t.Errorf("reliable with a limit: %+v, %v", r, ok)
	}
	long := strings.Repeat("x", MaxName+1)
	for name, m := range map[string]string{
		"empty":          "",
		"cut":            "\x03\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00",
		"another type":   "\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"unknown kind":   "\x03\x03\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"label cut":      "\x03\x00\x01\x00\x00\x00\x00\x00\x00\x02\x00\x00a",
		"something more": "\x03\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00a",
		"long label":     string(openMessage(Reliability{}, long, "")),
		"long protocol":  string(openMessage(Reliability{}, "", long)),
	} {
		if _, _, _, ok := parseOpen([]byte(m)); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseOpen(f *testing.F) {
	f.Add(openMessage(Reliability{true, Lifetime, 300}, "label", "protocol"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, label, protocol, ok := parseOpen(b)
		if !ok {
			return
		}
		again, l, p, ok := parseOpen(openMessage(r, label, protocol))
		if !ok || again != r || l != label || p != protocol {
			t.Fatalf("%+v %q %q came back as %+v %q %q, %v", r, label, protocol, again, l, p, ok)
		}
	})
}
