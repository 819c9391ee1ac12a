package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Mesh is how nodes find each other and join into one cluster. Without any of it a node begins a cluster of its own, and prints an
// invitation for others on its first start.
type Mesh struct {
	// Enabled says whether the node may have others beside it. Without, its ports for them stay closed.
	Enabled bool `yaml:"enabled"`
	// Join holds an invitation from another node (cardea token prints one; "cardea run --join" takes it as well), of which a
	// node needs one once in its life: it may stay here, used or expired. Further entries are addresses, HOST or HOST:PORT, of
	// nodes to look for at start; they are known addresses and no permission: without an invitation or a membership from an
	// earlier run, a node does not get in by them.
	Join []Secret `yaml:"join"`
	// Address is the local address for other nodes. Empty: node.bind.
	Address netip.Addr `yaml:"address"`
	// GossipPort is the port, UDP and TCP, on which nodes tell each other who is there. It should be the same on all nodes.
	GossipPort uint16 `yaml:"gossip_port"`
	// LinkPort is the port for everything else between nodes: UDP for links, which carry media and rooms, TCP for
	// admission of new nodes.
	LinkPort uint16 `yaml:"link_port"`
	// Advertise lists the addresses under which other nodes reach this one, at most three, best first, when they are not the
	// machine's own. Empty: the public ones of node.advertise, else the machine's. Ports must be forwarded unchanged.
	Advertise []netip.Addr `yaml:"advertise"`
	// DNS is a name that leads to nodes, by A and AAAA records, or SRV records at _cardea._tcp below it. It is looked up again
	// and again.
	DNS string `yaml:"dns"`
	// Redis is the URL, redis://[USER:PASSWORD@]HOST[:PORT][/DB], of a server in which members note where they are, for
	// others that come back. Calls do not depend on it.
	Redis Secret `yaml:"redis"`
}

// invitationPrefix begins the text of every invitation.
const invitationPrefix = "cardea_"

func (c *Config) validateMesh(v *Faults) {
	m := &c.Mesh
	if !m.Enabled {
		v.check(len(m.Join) == 0, "mesh.join", "has no effect with the mesh switched off")
		return
	}
	v.check(m.GossipPort != 0, "mesh.gossip_port", "must not be 0")
	v.check(m.LinkPort != 0, "mesh.link_port", "must not be 0")
	v.check(len(m.Advertise) <= 3, "mesh.advertise", "more than three addresses")
	for _, a := range m.Advertise {
		v.check(a.IsValid() && !a.IsUnspecified() && !a.IsMulticast(), "mesh.advertise", "%v is no address of a node", a)
	}
	invitations := 0
	for i, j := range m.Join {
		path := "mesh.join[" + strconv.Itoa(i) + "]"
		if strings.HasPrefix(string(j), invitationPrefix) {
			invitations++
			v.check(isInvitation(string(j)), path, "the invitation is not whole")
			continue
		}
		v.check(isHost(string(j)), path, "want an invitation, HOST or HOST:PORT")
	}
	v.check(invitations <= 1, "mesh.join", "more than one invitation")
	v.check(m.DNS == "" || isName(m.DNS), "mesh.dns", "%q: want a name", m.DNS)
	v.check(m.Redis == "" || isRedis(string(m.Redis)), "mesh.redis", wantRedis)
}

const (
	nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	// leastInvitation is the length of an invitation without addresses.
	leastInvitation = len(invitationPrefix) + (50+64+16)*4/3
)

func isInvitation(s string) bool {
	return len(s) >= leastInvitation && len(s) <= 512 && strings.Trim(s, nameCharacters) == ""
}

// isHost tells whether text is HOST or HOST:PORT.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	host := text
	if h, p, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return false
		}
		host = h
	}
	_, err := netip.ParseAddr(host)
	return err == nil || isName(host)
}

// isName tells whether text can be a host's name.
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, nameCharacters) != "" {
			return false
		}
	}
	return true
}
