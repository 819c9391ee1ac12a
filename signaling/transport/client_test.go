package transport

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct{ name, remote, forwarded, want string }{
		{"no proxy", "192.0.2.1:5", "", "192.0.2.1"},
		{"a stranger's word", "192.0.2.1:5", "198.51.100.1", "192.0.2.1"},
		{"a proxy's word", "10.0.0.1:5", "198.51.100.1", "198.51.100.1"},
		{"a proxy without a word", "10.0.0.1:5", "", "10.0.0.1"},
		{"two proxies", "[fd00::1]:5", "198.51.100.1, 10.9.9.9", "198.51.100.1"},
		{"what the client itself wrote", "10.0.0.1:5", "203.0.113.9, 198.51.100.1", "198.51.100.1"},
		{"several headers", "10.0.0.1:5", "203.0.113.9\n198.51.100.1", "198.51.100.1"},
		{"ports", "10.0.0.1:5", "198.51.100.1:4711", "198.51.100.1"},
		{"IPv6", "10.0.0.1:5", "[2001:db8::1]", "2001:db8::1"},
		{"IPv6 with a port", "10.0.0.1:5", "[2001:db8::1]:4711", "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", "::ffff:198.51.100.1", "198.51.100.1"},
		{"a zone", "10.0.0.1:5", "fe80::1%eth0", "fe80::1"},
		{"rubbish", "10.0.0.1:5", "198.51.100.1, unknown", "10.0.0.1"},
		{"rubbish before", "10.0.0.1:5", "unknown, 198.51.100.1", "198.51.100.1"},
		{"proxies without end", "10.0.0.1:5", "198.51.100.1" + strings.Repeat(",10.0.0.2", maxForwarded), "10.0.0.2"},
		{"no address", "pipe", "198.51.100.1", "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{}}
		for l := range strings.SplitSeq(tt.forwarded, "\n") {
			if l != "" {
				r.Header.Add("X-Forwarded-For", l)
			}
		}
		if got := address(r, proxies).String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
