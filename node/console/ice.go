package console

import (
	"net"
	"net/netip"
	"strings"
)

// ICEServer is a TURN server as browsers take it (W3C RTCIceServer), with credentials that soon expire.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
}

// hostOf returns the host of a Host header, lower case and without port and brackets; "" when it is no name or address
// that could be put into a URL or a header as it is.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.WithZone("").String()
	}
	if host == "" || len(host) > 253 {
		return ""
	}
	for _, c := range host {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.') {
			return ""
		}
	}
	return strings.ToLower(host)
}

// bracketed is a host as URLs spell it.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// mintBurst is how many credentials one source may have minted at once: a page asks when it opens and when a connection needs a
// relay, many tabs of one office at once.
const mintBurst = 30
