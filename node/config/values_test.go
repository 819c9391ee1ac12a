package config

import (
	"net/netip"
	"testing"
)

func TestSize(t *testing.T) {
	tests := []struct {
		text string
		want Size
		back string // "" when the text is refused
	}{
		{"0", 0, "0"},
		{"512", 512, "512"},
		{"512B", 512, "512"},
		{"1KiB", 1024, "1KiB"},
		{"1.5KiB", 1536, "1536"},
		{"4 MiB", 4 << 20, "4MiB"},
		{"2GB", 2e9, "1953125KiB"},
		{"3MB", 3e6, "3000000"},
		{"1024KiB", 1 << 20, "1MiB"},
		{"", 0, ""},
		{"MiB", 0, ""},
		{"-1", 0, ""},
		{"1e9", 0, ""},
		{"0x10", 0, ""},
		{"Inf", 0, ""},
		{"1.2", 0, ""},
		{"1_000", 0, ""},
		{"9999999TiB", 0, ""},
		{"1.2.3", 0, ""},
		{"5k", 0, ""},
	}
	for _, tt := range tests {
		var s Size
		err := s.UnmarshalText([]byte(tt.text))
		if (err == nil) != (tt.back != "") || s != tt.want || err == nil && s.String() != tt.back {
			t.Errorf("%q: %d, %v", tt.text, s, err)
		}
	}
}

func TestBitrate(t *testing.T) {
	tests := []struct {
		text string
		want Bitrate
		back string
	}{
		{"0", 0, "0"},
		{"64000", 64_000, "64k"},
		{"64k", 64_000, "64k"},
		{"2.5M", 2_500_000, "2500k"},
		{"3 Mbit/s", 3_000_000, "3M"},
		{"300bit/s", 300, "300"},
		{"4G", 4_000_000_000, "4000M"},
		{"5G", 0, ""},
		{"k", 0, ""},
		{"1.0005k", 0, ""},
		{"1Mb", 0, ""},
	}
	for _, tt := range tests {
		var b Bitrate
		err := b.UnmarshalText([]byte(tt.text))
		if (err == nil) != (tt.back != "") || b != tt.want || err == nil && b.String() != tt.back {
			t.Errorf("%q: %d, %v", tt.text, b, err)
		}
	}
}

func TestNetwork(t *testing.T) {
	tests := []struct {
		text, member, back string
	}{
		{"10.0.0.0/8", "10.1.2.3", "10.0.0.0/8"},
		{"192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"2001:db8::/32", "2001:db8::1", "2001:db8::/32"},
		{"0.0.0.0/0", "1.1.1.1", "0.0.0.0/0"},
		{"10.0.0.1/8", "", ""},
		{"fe80::1%eth0", "", ""},
		{"::ffff:10.0.0.0/104", "", ""},
		{"", "", ""},
		{"10.0.0.0/33", "", ""},
		{"host", "", ""},
	}
	for _, tt := range tests {
		var n Network
		err := n.UnmarshalText([]byte(tt.text))
		if (err == nil) != (tt.back != "") {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if err != nil {
			continue
		}
		if back, err := n.MarshalText(); err != nil || string(back) != tt.back || !n.Contains(netip.MustParseAddr(tt.member)) {
			t.Errorf("%q: %s (%v), contains %s: %v", tt.text, back, err, tt.member, n.Contains(netip.MustParseAddr(tt.member)))
		}
	}
}

func TestMapping(t *testing.T) {
	tests := []struct{ text, back string }{
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1/10.0.0.1", "192.0.2.1/10.0.0.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8::1/fd00::1", "2001:db8::1/fd00::1"},
		{"192.0.2.1/::1", ""},
		{"0.0.0.0", ""},
		{"192.0.2.1/", ""},
		{"192.0.2.1/24", ""},
		{"fe80::1%lo", ""},
		{"", ""},
	}
	for _, tt := range tests {
		var m Mapping
		err := m.UnmarshalText([]byte(tt.text))
		if (err == nil) != (tt.back != "") {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if back, _ := m.MarshalText(); err == nil && string(back) != tt.back {
			t.Errorf("%q became %q", tt.text, back)
		}
	}
}

// FuzzQuantity wants what is accepted to survive being written and read again.
func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"1", "2.5M", "4MiB", "9TB", ".", "1.", "kbit/s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, s2 Size
		if s.UnmarshalText([]byte(text)) == nil && (s2.UnmarshalText([]byte(s.String())) != nil || s != s2) {
			t.Errorf("size %q: %d written as %v and read as %d", text, s, s, s2)
		}
		var b, b2 Bitrate
		if b.UnmarshalText([]byte(text)) == nil && (b2.UnmarshalText([]byte(b.String())) != nil || b != b2) {
			t.Errorf("bitrate %q: %d written as %v and read as %d", text, b, b, b2)
		}
	})
}
