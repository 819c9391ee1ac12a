package node

import (
	"net/netip"
	"slices"
	"testing"

	"cardea/node/config"
)

func TestReachable(t *testing.T) {
	parse := func(all ...string) (out []netip.Addr) {
		for _, s := range all {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	tests := []struct {
		name      string
		local     []netip.Addr
		bind      netip.Addr
		want      []netip.Addr
		noneAtAll bool
	}{
		{name: "a usual host", local: parse("127.0.0.1", "::1", "10.0.0.5", "fe80::1", "2001:db8::5", "169.254.1.1"), want: parse("10.0.0.5", "2001:db8::5")},
		{name: "IPv4 alone", local: parse("127.0.0.1", "10.0.0.5", "2001:db8::5"), bind: netip.IPv4Unspecified(), want: parse("10.0.0.5")},
		{name: "a machine without a network", local: parse("127.0.0.1", "::1"), want: parse("127.0.0.1", "::1")},
		{name: "nothing", local: parse("fe80::1"), noneAtAll: true},
	}
	for _, tt := range tests {
		got, err := reachable(tt.local, tt.bind)
		if !slices.Equal(got, tt.want) || (err != nil) != tt.noneAtAll {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

func TestMediaAddresses(t *testing.T) {
	c := config.Default()
	if got, err := mediaAddresses(&c); err != nil || len(got) == 0 {
		t.Errorf("this host: %v, %v", got, err)
	}
	c.Node.Bind = netip.MustParseAddr("127.0.0.2")
	if got, err := mediaAddresses(&c); err != nil || !slices.Equal(got, []netip.Addr{c.Node.Bind}) {
		t.Errorf("bound: %v, %v", got, err)
	}
	c.Media.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	if got, err := mediaAddresses(&c); err != nil || !slices.Equal(got, c.Media.Addresses) {
		t.Errorf("configured: %v, %v", got, err)
	}
}
