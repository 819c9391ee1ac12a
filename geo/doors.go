package geo

import (
	"net"
	"net/netip"
	"strconv"
)

// Doors are where clients reach a node. A port of 0 is closed.
type Doors struct {
	// Host is the name or address that goes into URLs; certificates are for it.
	Host string
	// Addresses are the public addresses, for DNS; at least one of Host and these is there.
	Addresses []netip.Addr
	// Janus API: WebSocket and HTTP, plain and over TLS.
	WS, WSS, HTTP, HTTPS uint16
	// Media is the port of STUN, TURN (UDP, and TCP if MediaTCP) and the media; TURNS is TURN over TLS.
	Media, TURNS uint16
	MediaTCP     bool
}

// host is what goes into URLs.
func (d *Doors) host() string {
	if d.Host == "" && len(d.Addresses) > 0 {
		return d.Addresses[0].String()
	}
	return d.Host
}

// named tells whether the host is a name, for which there may be a certificate that browsers know.
func (d *Doors) named() bool {
	_, err := netip.ParseAddr(d.host())
	return err != nil
}

func (d *Doors) url(scheme string, port uint16, path string) string {
	return scheme + "://" + net.JoinHostPort(d.host(), strconv.Itoa(int(port))) + path
}

// door is one way to the Janus API.
type door struct {
	scheme string // of the Janus URL
	probe  string // scheme of the probe, which is on the same port
	port   uint16
	path   string
}

// doors returns the ways in, the best first: WebSocket before HTTP, and TLS before plain unless there can hardly be a certificate.
func (d *Doors) doors(secure bool) []door {
	safe := []door{{"wss", "https", d.WSS, ""}, {"https", "https", d.HTTPS, "/janus"}}
	plain := []door{{"ws", "http", d.WS, ""}, {"http", "http", d.HTTP, "/janus"}}
	var all []door
	switch {
	case secure:
		all = safe
	case d.named():
		all = append(safe, plain...)
	default:
		all = append(plain, safe...)
	}
	open := all[:0]
	for _, o := range all {
		if o.port != 0 {
			open = append(open, o)
		}
	}
	return open
}

// JanusURLs returns the URLs of the Janus API as janus.js takes them, the best first. A page that came over TLS can use secure ones
// only.
func (d *Doors) JanusURLs(secure bool) []string {
	var urls []string
	for _, o := range d.doors(secure) {
		urls = append(urls, d.url(o.scheme, o.port, o.path))
	}
	return urls
}

// ProbeURL returns what to fetch to see how far the node is: at the port that would be used; "" if there is none.
func (d *Doors) ProbeURL(secure bool) string {
	open := d.doors(secure)
	if len(open) == 0 {
		return ""
	}
	return d.url(open[0].probe, open[0].port, ProbePath)
}

// TURNURLs returns the URLs of the node's TURN server.
func (d *Doors) TURNURLs() []string {
	turn := func(scheme string, port uint16, transport string) string {
		return scheme + ":" + net.JoinHostPort(d.host(), strconv.Itoa(int(port))) + "?transport=" + transport
	}
	var urls []string
	if d.Media != 0 {
		urls = append(urls, turn("turn", d.Media, "udp"))
		if d.MediaTCP {
			urls = append(urls, turn("turn", d.Media, "tcp"))
		}
	}
	if d.TURNS != 0 {
		urls = append(urls, turn("turns", d.TURNS, "tcp"))
	}
	return urls
}
