package ice

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"cardea/relay/plane"

	"github.com/google/go-cmp/cmp"
)

func TestParseCandidate(t *testing.T) {
	for in, want := range map[string]plane.Candidate{
		"candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host generation 0 ufrag abcd network-id 1": {
			Foundation: "1", Component: 1, Protocol: "udp", Priority: 2122260223, Address: "192.0.2.1", Port: 50000, Type: "host",
		},
		"a=candidate:842163049 1 UDP 1677729535 2001:DB8::1 1 typ srflx raddr 10.0.0.1 rport 2\r\n": {
			Foundation: "842163049", Component: 1, Protocol: "udp", Priority: 1677729535, Address: "2001:db8::1", Port: 1, Type: "srflx",
		},
		"0 2 TCP 4294967295 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 9 typ host tcptype active": {
			Foundation: "0", Component: 2, Protocol: "tcp", Priority: 4294967295, Address: "1f4712db-ea17-4bcf-a596-105139dfd8bf.local",
			Port: 9, Type: "host", TCPType: "active",
		},
		"candidate:a+/Z 1 udp 1 192.0.2.1 0 typ relay odd": {
			Foundation: "a+/Z", Component: 1, Protocol: "udp", Priority: 1, Address: "192.0.2.1", Type: "relay",
		},
	} {
		got, err := ParseCandidate(in)
		if err != nil || got != want {
			t.Errorf("%q: %v %s", in, err, cmp.Diff(want, got))
		}
	}
	for _, in := range []string{
		"", "candidate:", "end-of-candidates", "candidate:1 1 udp 1 192.0.2.1 1 typ", "candidate:1 1 udp 1 192.0.2.1 1 host typ",
		"candidate:1: 1 udp 1 192.0.2.1 1 typ host", "candidate:" + strings.Repeat("1", 33) + " 1 udp 1 192.0.2.1 1 typ host",
		"candidate:1 0 udp 1 192.0.2.1 1 typ host", "candidate:1 257 udp 1 192.0.2.1 1 typ host", "candidate:1 -1 udp 1 192.0.2.1 1 typ host",
		"candidate:1 1 sctp 1 192.0.2.1 1 typ host", "candidate:1 1 udp 4294967296 192.0.2.1 1 typ host",
		"candidate:1 1 udp 1 192.0.2.1 65536 typ host", "candidate:1 1 udp 1 192.0.2.1 1 typ guest",
		"candidate:1 1 udp 1 fe80::1%eth0 1 typ host", "candidate:1 1 udp 1 a\"b 1 typ host", "candidate:1 1 udp 1 ::g 1 typ host",
		"candidate:1 1 udp 1 192.0.2.1 1 typ host tcptype passive", "candidate:1 1 tcp 1 192.0.2.1 1 typ host",
		"candidate:1 1 tcp 1 192.0.2.1 1 typ host tcptype odd",
		"candidate:1 1 udp 1 " + strings.Repeat("a", 254) + " 1 typ host",
		"candidate:1 1 udp 1 192.0.2.1 1 typ host x " + strings.Repeat("a", 500),
	} {
		if c, err := ParseCandidate(in); !errors.Is(err, ErrCandidate) {
			t.Errorf("%q: %+v %v", in, c, err)
		}
	}
}

func TestFormatCandidate(t *testing.T) {
	for want, c := range map[string]plane.Candidate{
		"candidate:1 1 udp 7 192.0.2.1 50000 typ host": {
			Foundation: "1", Component: 1, Protocol: "udp", Priority: 7, Address: "192.0.2.1", Port: 50000, Type: "host",
		},
		"candidate:1 1 tcp 7 2001:db8::1 443 typ relay raddr :: rport 0 tcptype passive": {
			Foundation: "1", Component: 1, Protocol: "tcp", Priority: 7, Address: "2001:db8::1", Port: 443, Type: "relay", TCPType: "passive",
		},
	} {
		if got := FormatCandidate(c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// FuzzCandidate: what can be read can be written and read again the same, on one line.
func FuzzCandidate(f *testing.F) {
	f.Add("candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host generation 0")
	f.Add("a=candidate:1 1 TCP 1 ::1 9 typ srflx raddr :: rport 9 tcptype active")
	f.Add("1 1 udp 1 x.local 9 typ host")
	f.Fuzz(func(t *testing.T, in string) {
		c, err := ParseCandidate(in)
		if err != nil {
			return
		}
		out := FormatCandidate(c)
		if strings.ContainsAny(out, "\r\n\x00") {
			t.Fatalf("%q", out)
		}
		if again, err := ParseCandidate(out); err != nil || again != c {
			t.Fatalf("%q to %q: %v %s", in, out, err, cmp.Diff(c, again))
		}
	})
}

func TestCandidates(t *testing.T) {
	ip := netip.MustParseAddr
	private, second, v6, public, public6 := ip("10.0.0.5"), ip("10.0.1.5"), ip("2001:db8::5"), ip("198.51.100.5"), ip("2001:db8:f::5")
	for _, c := range []struct {
		name      string
		local     []netip.Addr
		advertise []Mapping
		want      string
	}{
		{"none", nil, nil, ""},
		{"families take turns, IPv6 first", []netip.Addr{private, second, v6}, nil, "2001:db8::5 10.0.0.5 10.0.1.5"},
		{
			"unusable and repeated ones",
			[]netip.Addr{{}, ip("0.0.0.0"), ip("fe80::1"), ip("fe80::1%eth0"), ip("ff02::1"), ip("224.0.0.1"), ip("127.0.0.2"), private, private, ip("::ffff:10.0.0.5")},
			nil,
			"127.0.0.2 10.0.0.5",
		},
		{"public replaces all of its family", []netip.Addr{private, second, v6}, []Mapping{{Public: public}}, "2001:db8::5 198.51.100.5"},
		{"or stands beside them", []netip.Addr{private, second}, []Mapping{{Public: public, KeepPrivate: true}}, "198.51.100.5 10.0.0.5 10.0.1.5"},
		{"pair", []netip.Addr{private, second}, []Mapping{{Public: public, Private: second}}, "10.0.0.5 198.51.100.5"},
		{"pair of an address that is not here", []netip.Addr{private}, []Mapping{{Public: public, Private: second}}, "10.0.0.5"},
		{"both families", []netip.Addr{private, v6}, []Mapping{{Public: public}, {Public: public6}}, "2001:db8:f::5 198.51.100.5"},
		{"public without an address", []netip.Addr{private}, []Mapping{{Private: private}}, "10.0.0.5"},
	} {
		var got []string
		for _, cand := range Candidates(c.local, c.advertise, 3478, 0) {
			got = append(got, cand.Address)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}

	got := Candidates([]netip.Addr{private, v6}, nil, 3478, 443)
	if len(got) != 4 {
		t.Fatalf("%d candidates", len(got))
	}
	foundations := map[string]bool{}
	for i, c := range got {
		if i > 0 && c.Priority >= got[i-1].Priority {
			t.Errorf("priority %d after %d", c.Priority, got[i-1].Priority)
		}
		foundations[c.Foundation] = true
		if again, err := ParseCandidate(FormatCandidate(c)); err != nil || again != c {
			t.Errorf("%+v: %+v %v", c, again, err)
		}
	}
	if len(foundations) != len(got) {
		t.Errorf("foundations %v", foundations)
	}
	// RFC 8445 section 5.1.2.1 and RFC 6544 section 4.2.
	if want := uint32(126<<24 | 65535<<8 | 255); got[0].Priority != want || got[0].Port != 3478 || got[0].TCPType != "" {
		t.Errorf("udp %+v, want priority %d", got[0], want)
	}
	if want := uint32(90<<24 | (4<<13+8191)<<8 | 255); got[2].Priority != want || got[2].Port != 443 || got[2].TCPType != "passive" {
		t.Errorf("tcp %+v, want priority %d", got[2], want)
	}
	if only := Candidates([]netip.Addr{private}, nil, 0, 443); len(only) != 1 || only[0].Protocol != "tcp" {
		t.Errorf("tcp only: %+v", only)
	}
}
