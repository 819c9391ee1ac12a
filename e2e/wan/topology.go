package wan

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Topology is what New builds: sites, and the conditions between them.
type Topology struct {
	Sites []SiteConfig `yaml:"sites"`
	Links []Link       `yaml:"links"` // later ones replace earlier ones; a direction of none is perfect
	Seed  uint64       `yaml:"seed"`  // of every random decision
	MTU   int          `yaml:"mtu"`   // of the devices, bytes, MinMTU6 to 9,000; 0 means DefaultMTU
}

// Limits and defaults of a Topology.
const (
	MaxSites   = 200
	MaxHosts   = 200
	DefaultMTU = 1500
	MinMTU6    = 1280 // below it the kernel switches IPv6 off (RFC 8200 section 5)
)

// SiteConfig is one site. Site i, counted from 1, has 10.i.0.0/16 and fd00:i::/32, and its hosts are 10.i.0.1, 10.i.0.2 and so
// on, fd00:i::1 and so on, unless Prefixes say something else.
type SiteConfig struct {
	Name     string         `yaml:"name"`     // lower-case letters, digits and dashes, at most 32
	Hosts    int            `yaml:"hosts"`    // addresses of each prefix; 0 means 1, at most MaxHosts
	Prefixes []netip.Prefix `yaml:"prefixes"` // in place of the two above, such as 203.0.113.0/24; hosts count from its first address + 1
}

// Link gives a direction, or both between two sites, their conditions.
type Link struct {
	From, To   string
	Both       bool // also from To to From
	Conditions Conditions
}

// ParseLink reads "eu us rtt=80ms loss=1%" (both directions) or "eu>us delay=40ms" (one).
func ParseLink(text string) (Link, error) {
	from, to, both, conditions, err := ParsePair(text)
	if err != nil {
		return Link{}, err
	}
	l := Link{From: from, To: to, Both: both}
	if err := l.Conditions.Update(conditions); err != nil {
		return Link{}, fmt.Errorf("link %q: %w", text, err)
	}
	return l, nil
}

// ParsePair reads "eu us" (both directions) or "eu>us" (one) from the start of text, and returns what is behind it.
func ParsePair(text string) (from, to string, both bool, rest string, err error) {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	rest = strings.TrimSpace(rest)
	if from, to, one := strings.Cut(first, ">"); one && from != "" && to != "" {
		return from, to, false, rest, nil
	}
	second, rest, _ := strings.Cut(rest, " ")
	if second == "" || strings.ContainsAny(first+second, "=>") {
		return "", "", false, "", fmt.Errorf(`%q does not start with "SITE SITE" or "SITE>SITE"`, text)
	}
	return first, second, true, strings.TrimSpace(rest), nil
}

// UnmarshalYAML reads a link as ParseLink does.
func (l *Link) UnmarshalYAML(node *yaml.Node) error {
	var text string
	if err := node.Decode(&text); err != nil {
		return err
	}
	parsed, err := ParseLink(text)
	if err != nil {
		return fmt.Errorf("line %d: %w", node.Line, err)
	}
	*l = parsed
	return nil
}

// Regions is a topology of three regions, Frankfurt, Virginia and Singapore, with three hosts each and round trips of 80, 150 and 220 ms.
func Regions() Topology {
	t := Topology{Sites: []SiteConfig{{Name: "eu", Hosts: 3}, {Name: "us", Hosts: 3}, {Name: "ap", Hosts: 3}}, Seed: 1}
	for _, text := range []string{"eu us rtt=80ms", "eu ap rtt=150ms", "us ap rtt=220ms"} {
		l, err := ParseLink(text)
		if err != nil {
			panic(err) // the three lines above are wrong
		}
		t.Links = append(t.Links, l)
	}
	return t
}

// ReadTopology reads a topology in YAML. Unknown keys are errors, and the result is valid.
func ReadTopology(r io.Reader) (Topology, error) {
	var t Topology
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	if err := d.Decode(&t); err != nil {
		return Topology{}, fmt.Errorf("read topology: %w", err)
	}
	return t, t.Validate()
}

var siteName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Validate reports everything that is wrong with t.
func (t Topology) Validate() error {
	var errs []error
	if len(t.Sites) == 0 || len(t.Sites) > MaxSites {
		errs = append(errs, fmt.Errorf("there are %d sites, not 1 to %d", len(t.Sites), MaxSites))
	}
	if t.MTU != 0 && (t.MTU < MinMTU6 || t.MTU > 9000) {
		errs = append(errs, fmt.Errorf("MTU %d is not from %d to 9000", t.MTU, MinMTU6))
	}
	names := make(map[string]bool)
	var taken []netip.Prefix
	for i, s := range t.Sites {
		if !siteName.MatchString(s.Name) || names[s.Name] {
			errs = append(errs, fmt.Errorf("%q is not a site's name, or taken", s.Name))
		}
		names[s.Name] = true
		if s.Hosts < 0 || s.Hosts > MaxHosts {
			errs = append(errs, fmt.Errorf("site %s: %d hosts, not 0 to %d", s.Name, s.Hosts, MaxHosts))
			continue
		}
		for _, p := range t.prefixes(i) {
			if err := checkPrefix(p, s.hosts(), taken); err != nil {
				errs = append(errs, fmt.Errorf("site %s: prefix %v: %w", s.Name, p, err))
			}
			taken = append(taken, p)
		}
	}
	for _, l := range t.Links {
		if !names[l.From] || !names[l.To] || l.From == l.To {
			errs = append(errs, fmt.Errorf("link %s>%s: not two sites of this topology", l.From, l.To))
		}
		if err := l.Conditions.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("link %s>%s: %w", l.From, l.To, err))
		}
	}
	return errors.Join(errs...)
}

// checkPrefix reports why p cannot hold so many hosts, or stands in the way of what is taken.
func checkPrefix(p netip.Prefix, hosts int, taken []netip.Prefix) error {
	switch {
	case !p.IsValid() || p != p.Masked() || p.Addr().Is4In6():
		return errors.New("not a network")
	case p.Addr().IsLoopback() || p.Addr().IsMulticast() || p.Addr().IsLinkLocalUnicast():
		return errors.New("does not leave a host")
	case p.Contains(netip.AddrFrom4(link4)) || p.Contains(netip.AddrFrom16(link6)):
		return errors.New("has the address of the link itself")
	case p.Addr().BitLen()-p.Bits() < 8 && hosts >= 1<<(p.Addr().BitLen()-p.Bits()):
		return fmt.Errorf("no room for %d hosts", hosts)
	}
	for _, o := range taken {
		if o.Overlaps(p) {
			return fmt.Errorf("overlaps %v", o)
		}
	}
	return nil
}

func (t Topology) mtu() int {
	if t.MTU == 0 {
		return DefaultMTU
	}
	return t.MTU
}

func (s SiteConfig) hosts() int { return max(s.Hosts, 1) }

// prefixes returns those of the site at index i.
func (t Topology) prefixes(i int) []netip.Prefix {
	if given := t.Sites[i].Prefixes; len(given) > 0 {
		return given
	}
	n := i + 1
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n)}), 16),
		// fd00:12:: for site 12: written as decimal digits, so both families read alike.
		netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/32", n)),
	}
}

// addresses returns the hosts of the site at index i, prefix by prefix.
func (t Topology) addresses(i int) []netip.Addr {
	var list []netip.Addr
	for _, p := range t.prefixes(i) {
		a := p.Addr()
		for range t.Sites[i].hosts() {
			a = a.Next()
			list = append(list, a)
		}
	}
	return list
}

// conditions returns what the links say of a direction.
func (t Topology) conditions(from, to string) (c Conditions) {
	for _, l := range t.Links {
		if l.From == from && l.To == to || l.Both && l.From == to && l.To == from {
			c = l.Conditions
		}
	}
	return c
}
