package sdp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"cardea/relay/plane"
)

// ParseCandidate reads a candidate-attribute (RFC 8839 section 5.1) as SDP and trickle carry it, with or without
// "a=" and "candidate:" in front. Extension attributes are ignored. The address may be an mDNS name.
func ParseCandidate(s string) (plane.Candidate, error) {
	var c plane.Candidate
	s = strings.TrimSpace(s)
	s = strings.TrimPrefix(s, "a=")
	s = strings.TrimPrefix(s, "candidate:")
	if len(s) > maxCandidate {
		return c, fmt.Errorf("candidate of %d bytes", len(s))
	}
	f := strings.Fields(s)
	if len(f) < 8 || f[6] != "typ" {
		return c, fmt.Errorf("candidate %q is incomplete", s)
	}
	component, err1 := strconv.ParseUint(f[1], 10, 16)
	priority, err2 := strconv.ParseUint(f[3], 10, 32)
	port, err3 := strconv.ParseUint(f[5], 10, 16)
	if err1 != nil || err2 != nil || err3 != nil {
		return c, fmt.Errorf("candidate %q has a bad number", s)
	}
	c = plane.Candidate{
		Foundation: f[0], Component: uint16(component), Protocol: strings.ToLower(f[2]), Priority: uint32(priority),
		Address: f[4], Port: uint16(port), Type: f[7],
	}
	if c.Protocol != "udp" && c.Protocol != "tcp" {
		return c, fmt.Errorf("candidate %q has an unknown transport", s)
	}
	switch c.Type {
	case "host", "srflx", "prflx", "relay":
	default:
		return c, fmt.Errorf("candidate %q has an unknown type", s)
	}
	if _, err := netip.ParseAddr(c.Address); err != nil && !strings.HasSuffix(strings.ToLower(c.Address), ".local") {
		return c, fmt.Errorf("candidate %q has neither an IP address nor an mDNS name", s)
	}
	for i := 8; i+1 < len(f); i += 2 {
		if f[i] == "tcptype" && c.Protocol == "tcp" {
			c.TCPType = f[i+1]
		}
	}
	return c, nil
}

// FormatCandidate writes a candidate as it stands behind "a=" in SDP and in trickle messages.
func FormatCandidate(c plane.Candidate) string { return string(appendCandidate(nil, c)) }

func appendCandidate(b []byte, c plane.Candidate) []byte {
	b = append(b, "candidate:"...)
	b = append(b, c.Foundation...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(max(c.Component, 1)), 10)
	b = append(b, ' ')
	b = append(b, c.Protocol...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(c.Priority), 10)
	b = append(b, ' ')
	b = append(b, c.Address...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(c.Port), 10)
	b = append(b, " typ "...)
	b = append(b, c.Type...)
	if c.Type != "host" {
		// The related address is mandatory for these (RFC 8839) but says nothing that the client could use.
		if strings.Contains(c.Address, ":") {
			b = append(b, " raddr :: rport 9"...)
		} else {
			b = append(b, " raddr 0.0.0.0 rport 9"...)
		}
	}
	if c.Protocol == "tcp" && c.TCPType != "" {
		b = append(b, " tcptype "...)
		b = append(b, c.TCPType...)
	}
	return b
}
