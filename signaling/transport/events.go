package transport

import (
	"net/http"
	"net/netip"

	"cardea/signaling/events"
	"cardea/signaling/janus"
)

// connection is what is told of a connection, or of a request over HTTP, in Janus's words.
type connection struct {
	Event    string `json:"event"`
	AdminAPI *bool  `json:"admin_api,omitempty"`
	IP       string `json:"ip,omitempty"`
	Port     uint16 `json:"port,omitempty"`
}

// connected tells of a new connection.
func connected(bus *events.Bus, src *janus.Source, admin bool, remote netip.Addr) {
	if bus.Wants(events.Transport) {
		bus.EmitTransport(src.Transport(), src.ID(), connection{Event: "connected", AdminAPI: &admin, IP: ip(remote)})
	}
}

// disconnected tells that a connection is closed.
func disconnected(bus *events.Bus, src *janus.Source) {
	if bus.Wants(events.Transport) {
		bus.EmitTransport(src.Transport(), src.ID(), connection{Event: "disconnected"})
	}
}

// requested tells of a request over HTTP.
func requested(bus *events.Bus, src *janus.Source, admin bool, r *http.Request, proxies []netip.Prefix) {
	if !bus.Wants(events.Transport) {
		return
	}
	c := connection{Event: "request", AdminAPI: &admin, IP: ip(address(r, proxies))}
	if remote, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.Port = remote.Port()
	}
	bus.EmitTransport(src.Transport(), src.ID(), c)
}

func ip(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
