package guard

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"testing"
)

func TestPublic(t *testing.T) {
	for text, public := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1": true, "::ffff:8.8.8.8": true, "172.15.0.1": true, "100.128.0.1": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false, "0.1.2.3": false,
		"10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "fe80::1": false,
		"fe80::1%eth0": false, "fd00:ec2::254": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "198.18.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "fec0::1": false, "2001:0:7f00:1::": false,
		"::127.0.0.1": false, "::ffff:0:127.0.0.1": false, "64:ff9b:1::7f00:1": false, "100::1": false, "5f00::1": false, "3fff::1": false, "2001:db8::1": false,
	} {
		if got := Public(netip.MustParseAddr(text)); got != public {
			t.Errorf("%s: public %v, want %v", text, got, public)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// TestDial connects to a server of this machine, by its address and by a name, with and without permission.
func TestDial(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, tt := range []struct {
		url     string
		allowed []netip.Prefix
		host    string
		ok      bool
	}{
		{"http://127.0.0.1:" + port, nil, "127.0.0.1", true}, // the operator said it
		{"http://[::ffff:127.0.0.1]:" + port, nil, "127.0.0.1", true},
		{"http://localhost:" + port, nil, "localhost", false},
		{"http://localhost:" + port, loopback, "localhost", true},
		{"http://localhost:" + port, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "localhost", false},
		{"http://8.8.8.8:" + port, nil, "127.0.0.1", false}, // as a name would that changed its mind
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Dial(u, tt.allowed)(t.Context(), "tcp", net.JoinHostPort(tt.host, port))
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrAddress) {
			t.Errorf("%s to %s with %v: %v", tt.url, tt.host, tt.allowed, err)
		}
		if c != nil {
			c.Close()
		}
	}
}
