package node

import (
	"net/netip"
	"strings"
	"testing"

	"cardea/mesh/member"
	"cardea/node/config"
)

func TestPageText(t *testing.T) {
	public := []netip.Addr{netip.MustParseAddr("203.0.113.7")}
	tests := []struct {
		name   string
		change func(c *config.Config)
		want   string
	}{
		{"as it is", func(*config.Config) {}, "Open http://localhost:9600 in two browser tabs.\n"},
		{"loopback", func(c *config.Config) { c.Node.Bind = netip.MustParseAddr("127.0.0.3") }, "Open http://127.0.0.3:9600 in two browser tabs.\n"},
		{"IPv6 loopback", func(c *config.Config) { c.Node.Bind = netip.IPv6Loopback() }, "Open http://[::1]:9600 in two browser tabs.\n"},
		{"another port", func(c *config.Config) { c.Console.Port = 80 }, "Open http://localhost in two browser tabs.\n"},
		{"the console's own address", func(c *config.Config) {
			c.Node.Bind, c.Console.Address = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("127.0.0.1")
		}, "Open http://127.0.0.1:9600 in two browser tabs.\n"},
		{"no camera", func(c *config.Config) {
			c.Node.Bind = netip.MustParseAddr("192.0.2.1")
		}, "Open http://192.0.2.1:9600 in two browser tabs. They give it a camera over HTTPS only: set tls.certificate and tls.key.\n"},
		{"TLS", func(c *config.Config) {
			c.TLS.Certificate = "c"
		}, "Open http://localhost:9600 in two browser tabs, or https://203.0.113.7:9643 on other machines.\n"},
		{"TLS with a name", func(c *config.Config) {
			c.TLS.Certificate, c.Geo.Host, c.Console.HTTPSPort = "c", "fra1.example.org", 443
		}, "Open http://localhost:9600 in two browser tabs, or https://fra1.example.org on other machines.\n"},
		{"TLS at an address", func(c *config.Config) {
			c.TLS.Certificate, c.Node.Bind = "c", netip.MustParseAddr("192.0.2.1")
		}, "Open https://192.0.2.1:9643 in two browser tabs.\n"},
		{"TLS alone", func(c *config.Config) { c.TLS.Certificate, c.Console.Port = "c", 0 }, "Open https://203.0.113.7:9643 in two browser tabs.\n"},
		{"closed", func(c *config.Config) { c.Console.Port = 0 }, ""},
	}
	for _, tt := range tests {
		c := config.Default()
		tt.change(&c)
		if got := pageText(&c, public); got != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

// TestHowToJoin wants a command that does it where there is one.
func TestHowToJoin(t *testing.T) {
	tests := []struct {
		bind    string
		reached []string
		said    string
		command string // none: there is no such line
	}{
		{"", []string{"127.0.0.1", "192.0.2.1"}, "machines that reach 192.0.2.1", "cardea run --join cardea_x"},
		{"10.0.0.5", []string{"203.0.113.7"}, "machines that reach 203.0.113.7", "cardea run --join cardea_x"},
		{"127.0.0.1", []string{"127.0.0.1"}, "Only this machine", "./bin/cardea run --bind 127.0.0.2 --name n1-2 --data-dir 'a dir-2' --join cardea_x"},
		{"", []string{"127.0.0.1"}, "start it with an address of its own", ""},
		{"::1", []string{"::1"}, "start it with an address of its own", ""},
	}
	for _, tt := range tests {
		c := config.Default()
		c.Node.DataDir = "a dir/"
		if tt.bind != "" {
			c.Node.Bind = netip.MustParseAddr(tt.bind)
		}
		var reached []netip.Addr
		for _, a := range tt.reached {
			reached = append(reached, netip.MustParseAddr(a))
		}
		who, command := howToJoin(&c, "n1", "./bin/cardea", reached, "cardea_x")
		if !strings.Contains(who, tt.said) || command != tt.command {
			t.Errorf("%q %v: %q, %q", tt.bind, tt.reached, who, command)
		}
	}
	if got := quoted("it's"); got != `'it'\''s'` {
		t.Errorf("quoted: %s", got)
	}
}

func TestNamesake(t *testing.T) {
	self := member.Node{ID: "a", Name: "vm"}
	if other, ok := namesake(self, []member.Node{self, {ID: "b", Name: "vm2"}}); ok {
		t.Errorf("%s is taken for one", other)
	}
	if other, ok := namesake(self, []member.Node{{ID: "b", Name: "vm"}, self}); !ok || other != "b" {
		t.Errorf("found %q, %v", other, ok)
	}
}
