package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"cardea/relay/plane"
)

// ErrCandidate says that a candidate cannot be read or is of a kind that ICE does not know; it is to be ignored, as
// RFC 8839 section 5.1 says. It comes wrapped with what is wrong.
var ErrCandidate = errors.New("bad candidate")

// Bounds of a candidate's text, bytes.
const (
	maxCandidate  = 512
	maxFoundation = 32
	maxName       = 253
)

// ParseCandidate reads a candidate-attribute (RFC 8839 section 5.1, RFC 6544 section 4.5), with or without the
// "a=" and "candidate:" before it. Names, such as those of mDNS, are kept as they are. Related addresses and extension
// attributes are read over.
func ParseCandidate(line string) (plane.Candidate, error) {
	if len(line) > maxCandidate {
		return plane.Candidate{}, fmt.Errorf("%w: longer than %d bytes", ErrCandidate, maxCandidate)
	}
	line = strings.TrimPrefix(strings.TrimSpace(line), "a=")
	line = strings.TrimPrefix(line, "candidate:")
	c, err := parseFields(strings.Fields(line))
	if err != nil {
		return plane.Candidate{}, fmt.Errorf("%w: %w", ErrCandidate, err)
	}
	return c, nil
}

func parseFields(f []string) (c plane.Candidate, err error) {
	if len(f) < 8 || f[6] != "typ" {
		return c, errors.New("too few fields or no type")
	}
	c.Foundation = f[0]
	if len(c.Foundation) > maxFoundation || strings.Trim(c.Foundation, iceChars) != "" {
		return c, fmt.Errorf("foundation %q", c.Foundation)
	}
	component, err := strconv.ParseUint(f[1], 10, 16)
	if err != nil || component < 1 || component > 256 {
		return c, fmt.Errorf("component %q", f[1])
	}
	c.Component = uint16(component)
	c.Protocol = strings.ToLower(f[2])
	if c.Protocol != "udp" && c.Protocol != "tcp" {
		return c, fmt.Errorf("protocol %q", f[2])
	}
	priority, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return c, fmt.Errorf("priority %q", f[3])
	}
	c.Priority = uint32(priority)
	if c.Address, err = parseAddress(f[4]); err != nil {
		return c, err
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil {
		return c, fmt.Errorf("port %q", f[5])
	}
	c.Port = uint16(port)
	switch c.Type = f[7]; c.Type {
	case "host", "srflx", "prflx", "relay":
	default:
		return c, fmt.Errorf("type %q", f[7])
	}
	for i := 8; i+1 < len(f); i += 2 { // attributes are pairs of name and value
		if f[i] == "tcptype" {
			c.TCPType = strings.ToLower(f[i+1])
		}
	}
	return c, checkTCPType(c)
}

func checkTCPType(c plane.Candidate) error {
	switch {
	case c.Protocol == "udp" && c.TCPType == "":
		return nil
	case c.Protocol == "tcp" && (c.TCPType == "active" || c.TCPType == "passive" || c.TCPType == "so"):
		return nil
	}
	return fmt.Errorf("tcptype %q with %s", c.TCPType, c.Protocol)
}

// parseAddress returns an IP address in its usual spelling or a host name as it is.
func parseAddress(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return a.String(), nil
	}
	if len(s) > maxName || strings.ContainsAny(s, ":%") || strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return "", fmt.Errorf("address %q", s)
	}
	return s, nil
}

// FormatCandidate writes a candidate-attribute, beginning with "candidate:". A candidate that is not of type host gets
// a related address of zeros, as browsers give that hide theirs, because the grammar asks for one.
func FormatCandidate(c plane.Candidate) string {
	b := make([]byte, 0, 96)
	b = append(b, "candidate:"...)
	b = append(b, c.Foundation...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(c.Component), 10)
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
		any := "0.0.0.0"
		if strings.Contains(c.Address, ":") {
			any = "::"
		}
		b = append(b, " raddr "+any+" rport 0"...)
	}
	if c.TCPType != "" {
		b = append(b, " tcptype "...)
		b = append(b, c.TCPType...)
	}
	return string(b)
}
