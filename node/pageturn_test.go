package node

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/node/config"
	"cardea/relay/turn"
)

func TestPageTURN(t *testing.T) {
	media := func(addresses ...string) []netip.AddrPort {
		var l []netip.AddrPort
		for _, a := range addresses {
			l = append(l, netip.AddrPortFrom(netip.MustParseAddr(a), 3478))
		}
		return l
	}
	both := media("192.0.2.1", "2001:db8::1", "192.0.2.2")
	tests := []struct {
		name, host string
		media      []netip.AddrPort
		tcp, tls   bool
		want       []string
	}{
		{"by name", "call.example", both, false, false, []string{"turn:call.example:3478?transport=udp"}},
		{"by name, everything", "call.example", both, true, true, []string{
			"turn:call.example:3478?transport=udp", "turn:call.example:3478?transport=tcp", "turns:call.example:5349?transport=tcp",
		}},
		{"by an address of the media", "192.0.2.2", both, false, false, []string{"turn:192.0.2.2:3478?transport=udp"}},
		{"by an IPv6 address", "2001:db8::1", both, false, false, []string{"turn:[2001:db8::1]:3478?transport=udp"}},
		{"by an IPv4 address in IPv6", "::ffff:192.0.2.1", both, false, false, []string{"turn:192.0.2.1:3478?transport=udp"}},
		{"by an address without media", "127.0.0.1", both, false, false, []string{
			"turn:192.0.2.1:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=udp",
		}},
		{"localhost, where media does not come in", "localhost", both, false, false, []string{
			"turn:192.0.2.1:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=udp",
		}},
		{"loopback alone", "127.0.0.31", media("127.0.0.31"), false, false, []string{"turn:127.0.0.31:3478?transport=udp"}},
		{"no name that can be used", "", media("192.0.2.1"), false, false, []string{"turn:192.0.2.1:3478?transport=udp"}},
	}
	now := time.Unix(1_000_000, 0)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default()
			c.Media.TCP = tt.tcp
			got := newPageTURN(&c, "secret", tt.media, tt.tls).servers(tt.host, now)
			if len(got) != 1 {
				t.Fatalf("%+v", got)
			}
			if d := cmp.Diff(tt.want, got[0].URLs); d != "" {
				t.Error(d)
			}
			name, password := turn.Credentials("secret", "page", pageTTL, now)
			if got[0].Username != name || got[0].Credential != password || !strings.HasPrefix(name, "1000600:") {
				t.Errorf("credentials %+v", got[0])
			}
			if strings.Contains(got[0].Username+got[0].Credential, "secret") {
				t.Error("the secret is in them")
			}
		})
	}
	c := config.Default()
	if got := newPageTURN(&c, "secret", nil, false).servers("", now); got != nil {
		t.Errorf("a node without media: %+v", got)
	}
}

// TestPageSecret wants a secret of each node's own, that opens nothing but the way to the node itself.
func TestPageSecret(t *testing.T) {
	c := new(config.Default())
	c.Node.DataDir = t.TempDir()
	n := &Node{cfg: c, log: quiet()}
	media := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	one, two := turnConfig(c, media, nil, n), turnConfig(c, media, nil, n)
	if one.GuestSecret == two.GuestSecret || len(one.GuestSecret) < 32 {
		t.Errorf("secrets %q and %q", one.GuestSecret, two.GuestSecret)
	}
	if len(one.Users)+len(one.Secrets) != 0 {
		t.Errorf("others than guests may relay: %v %v", one.Users, one.Secrets)
	}
	if one.GuestQuota < 1 || one.GuestQuota > int(one.MaxPort-one.MinPort)/2 {
		t.Errorf("guests may take %d ports of %d", one.GuestQuota, one.MaxPort-one.MinPort+1)
	}
	c.TURN.MinPort, c.TURN.MaxPort = 50000, 50000
	if q := turnConfig(c, media, nil, n).GuestQuota; q != 1 {
		t.Errorf("one port: %d", q)
	}
}
