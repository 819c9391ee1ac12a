package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// Config says what a [Server] answers.
type Config struct {
	// Zone is the name below which everything lies, as its parent delegates it.
	Zone string
	// NameServers are the names of the zone's name servers, the first one the primary: labels directly in the zone, or whole
	// names if there is a dot in them. At least one.
	NameServers []string
	// TTL is for how long an answer may be kept, in whole seconds: 1 s to 1 h. As long goes a client to a node that is no more.
	TTL time.Duration
	// Records are further records in the form of zone files ("_acme-challenge CNAME edge.acme.example."), each in the zone.
	Records []string
	// Rate is how many answers a second one network (IPv4: /24, IPv6: /56) gets over UDP, and as many again over TCP and with a
	// cookie; twice that at once. 0 sets no limit.
	Rate float64

	// Choose ranks nodes for a client. It is called by many goroutines and must not wait.
	Choose func(Query) Choice
	// Find returns the node with a label. It is called by many goroutines and must not wait.
	Find func(label string) (Node, bool)
}

// Query is what a choice depends on.
type Query struct {
	Client  netip.Prefix // the client's network, or the single address of who asks for it
	Room    string       // its lower-case id; empty: none
	Service string       // "_janus._tcp" when the client looks for that one; empty: any
}

// Choice is the answer to a [Query].
type Choice struct {
	// Nodes are the nodes to use, best first. None means that there is none just now.
	Nodes []Node
	// Equal is how many of the first are as good as each other; 0 counts as 1. Only these are in answers with addresses, whose
	// order resolvers do not keep.
	Equal int
	// Scope is the length of the prefix around the client's address for which the choice is the same; 0: everywhere.
	Scope int
	// Brief says that a better choice may be known in a moment: the answer is to be kept for a second only.
	Brief bool
}

// Node is where a node is.
type Node struct {
	Label     string // its name in the zone, see [Label]
	Addresses []netip.Addr
	Services  []Service
}

// Service is something to connect to at a node.
type Service struct {
	Name string // "_janus._tcp"
	Port uint16
	Web  bool // it is found by an https or wss URL, and "_https._tcp" by one without a port
}

// MainWeb is the name of the service that https URLs without a port are led to.
const MainWeb = "_https._tcp"

// Label makes a node's name a label for DNS: lower case, what is no letter or digit a hyphen, at most 63 bytes. It is empty if
// nothing is left.
func Label(name string) string {
	b := []byte(strings.ToLower(name))
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			b[i] = '-'
		}
	}
	return strings.Trim(string(b[:min(len(b), 63)]), "-")
}

// ErrConfig is wrapped by the errors of a configuration that cannot be.
var ErrConfig = errors.New("dns")

// zone is a Config made ready for use. It does not change.
type zone struct {
	apex    string // canonical, with the dot at the end
	ttl     uint32
	servers []string             // whole names
	static  map[string][]wire.RR // by canonical name
	choose  func(Query) Choice
	find    func(string) (Node, bool)
	cookies *cookies
}

// roomPrefix begins the labels of rooms.
const roomPrefix = "room-"

// longTTL is for what changes with the configuration only, in seconds.
const longTTL = 3600

func newZone(cfg Config) (*zone, error) {
	if _, ok := wire.IsDomainName(cfg.Zone); !ok || strings.Trim(cfg.Zone, ".") == "" {
		return nil, fmt.Errorf("%w: zone %q is not a name", ErrConfig, cfg.Zone)
	}
	z := &zone{apex: wire.CanonicalName(cfg.Zone), ttl: uint32(cfg.TTL / time.Second), choose: cfg.Choose, find: cfg.Find, cookies: newCookies()} //nolint:gosec // checked next
	switch {
	case cfg.TTL < time.Second || cfg.TTL > time.Hour:
		return nil, fmt.Errorf("%w: TTL %v is not between 1s and 1h", ErrConfig, cfg.TTL)
	case len(cfg.NameServers) == 0:
		return nil, fmt.Errorf("%w: zone %s has no name server", ErrConfig, cfg.Zone)
	case cfg.Choose == nil || cfg.Find == nil:
		return nil, fmt.Errorf("%w: no nodes to choose from", ErrConfig)
	}
	for _, s := range cfg.NameServers {
		if !strings.Contains(s, ".") {
			s += "." + z.apex
		}
		if _, ok := wire.IsDomainName(s); !ok {
			return nil, fmt.Errorf("%w: name server %q is not a name", ErrConfig, s)
		}
		z.servers = append(z.servers, wire.CanonicalName(s))
	}
	var err error
	z.static, err = parseRecords(z.apex, cfg.Records)
	return z, err
}

// parseRecords reads records in the form of zone files.
func parseRecords(apex string, lines []string) (map[string][]wire.RR, error) {
	static := map[string][]wire.RR{}
	for _, line := range lines {
		p := wire.NewZoneParser(strings.NewReader(line+"\n"), apex, "")
		p.SetDefaultTTL(longTTL)
		rr, ok := p.Next()
		_, more := p.Next()
		switch {
		case p.Err() != nil:
			return nil, fmt.Errorf("%w: record %q: %w", ErrConfig, line, p.Err())
		case !ok || more || !hasData(rr):
			return nil, fmt.Errorf("%w: record %q: want one, with its data", ErrConfig, line)
		}
		h := rr.Header()
		h.Name = wire.CanonicalName(h.Name)
		if !wire.IsSubDomain(apex, h.Name) || h.Class != wire.ClassINET {
			return nil, fmt.Errorf("%w: record %q is not in zone %s", ErrConfig, line, apex)
		}
		if strings.HasPrefix(h.Name, "*.") {
			return nil, fmt.Errorf("%w: record %q: there are no wildcards", ErrConfig, line)
		}
		switch h.Rrtype {
		case wire.TypeNS, wire.TypeDS, wire.TypeDNAME, wire.TypeSOA:
			return nil, fmt.Errorf("%w: record %q: the zone is delegated no further", ErrConfig, line)
		case wire.TypeA, wire.TypeAAAA, wire.TypeHTTPS, wire.TypeSRV:
			if h.Name == apex {
				return nil, fmt.Errorf("%w: record %q: the zone's own are made from its nodes", ErrConfig, line)
			}
		case wire.TypeCNAME:
			if h.Name == apex {
				return nil, fmt.Errorf("%w: record %q: a zone cannot be an alias", ErrConfig, line)
			}
		}
		static[h.Name] = append(static[h.Name], rr)
	}
	for name, all := range static {
		alias := slices.ContainsFunc(all, func(r wire.RR) bool { return r.Header().Rrtype == wire.TypeCNAME })
		if alias && len(all) > 1 {
			return nil, fmt.Errorf("%w: %s is an alias and has other records", ErrConfig, name)
		}
	}
	return static, nil
}

// hasData tells whether a record can be sent and has something in it: zone files may leave that out where it means deletion.
func hasData(rr wire.RR) bool {
	b := make([]byte, wire.Len(rr))
	n, err := wire.PackRR(rr, b, 0, nil, false)
	if err != nil {
		return false
	}
	sent, _, err := wire.UnpackRR(b[:n], 0)
	return err == nil && sent.Header().Rdlength > 0
}

// place is what a name in the zone stands for: a base (the zone, a room, one node), and a service there.
type place struct {
	exists  bool
	apex    bool
	room    string
	node    *Node
	plain   bool   // the base itself
	service string // "_janus._tcp"
	webPort string // of "_8989._https"
}

// locate takes a canonical name in the zone apart.
func (z *zone) locate(name string) place {
	labels := wire.SplitDomainName(strings.TrimSuffix(name, z.apex))
	p := place{exists: true, apex: true}
	if n := len(labels); n > 0 && !strings.HasPrefix(labels[n-1], "_") {
		p.apex = false
		base := labels[n-1]
		labels = labels[:n-1]
		if node, ok := z.find(base); ok {
			p.node = &node
		} else if p.room, ok = strings.CutPrefix(base, roomPrefix); !ok || !isRoom(p.room) {
			return place{exists: z.isAbove(name)}
		}
	}
	switch len(labels) {
	case 0:
		p.plain = true
	case 1: // nothing is there, but there may be something below
		p.exists = labels[0] == "_tcp" || labels[0] == "_udp" || labels[0] == "_https" || z.isAbove(name)
	case 2:
		switch first, second := labels[0], labels[1]; {
		case second == "_https" && strings.HasPrefix(first, "_"):
			p.webPort = first[1:]
		case (second == "_tcp" || second == "_udp") && strings.HasPrefix(first, "_"):
			p.service = first + "." + second
		default:
			p.exists = z.isAbove(name)
		}
	default:
		p.exists = z.isAbove(name)
	}
	return p
}

// isRoom tells whether a label's end can be a room's id. What else strings may hold, names do not bring here unchanged.
func isRoom(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return id != ""
}

// isAbove tells whether a static record lies at or below a name, which then exists even if nothing is there (RFC 8020).
func (z *zone) isAbove(name string) bool {
	for owner := range z.static {
		if wire.IsSubDomain(name, owner) {
			return true
		}
	}
	return false
}
