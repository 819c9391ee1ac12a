package node

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"cardea/node/config"
	"cardea/node/console"
	"cardea/relay/turn"
)

// pageTTL is how long TURN credentials of the page are valid for new allocations. Those that exist outlive them.
const pageTTL = 10 * time.Minute

// pageTURN mints the TURN credentials of the console's page.
type pageTURN struct {
	secret    string       // of the TURN server's guests, this process's own
	addresses []netip.Addr // of the media, as clients name them
	port      uint16       // of the media, shared with TURN
	tcp       bool
	tlsPort   uint16 // 0 without TLS
}

func newPageTURN(cfg *config.Config, secret string, media []netip.AddrPort, certificate bool) *pageTURN {
	p := &pageTURN{secret: secret, port: cfg.Media.Port, tcp: cfg.Media.TCP}
	if certificate {
		p.tlsPort = cfg.TURN.TLSPort
	}
	for _, a := range media {
		p.addresses = append(p.addresses, a.Addr())
	}
	return p
}

// servers returns what a browser that reached the console under a name or address can relay by.
func (p *pageTURN) servers(host string, now time.Time) []console.ICEServer {
	s := console.ICEServer{}
	for _, h := range p.hosts(host) {
		address := func(port uint16) string { return net.JoinHostPort(h, strconv.Itoa(int(port))) }
		s.URLs = append(s.URLs, "turn:"+address(p.port)+"?transport=udp")
		if p.tcp {
			s.URLs = append(s.URLs, "turn:"+address(p.port)+"?transport=tcp")
		}
		if p.tlsPort != 0 {
			s.URLs = append(s.URLs, "turns:"+address(p.tlsPort)+"?transport=tcp")
		}
	}
	if len(s.URLs) == 0 {
		return nil
	}
	s.Username, s.Credential = turn.Credentials(p.secret, "page", pageTTL, now)
	return []console.ICEServer{s}
}

// hosts returns the names to offer: the one by which the browser reached the node, which it can certainly resolve and
// which a certificate is for, unless media does not come in there. Then it is one address of each IP version.
func (p *pageTURN) hosts(host string) []string {
	if a, err := netip.ParseAddr(host); err == nil {
		for _, m := range p.addresses {
			if m == a.Unmap() {
				return []string{m.String()}
			}
		}
	} else if host != "" && host != "localhost" {
		return []string{host}
	}
	var hosts []string
	var four, six bool
	for _, m := range p.addresses {
		if m.Is4() && !four || m.Is6() && !six {
			hosts = append(hosts, m.String())
			four, six = four || m.Is4(), six || m.Is6()
		}
	}
	return hosts
}
