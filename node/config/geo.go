package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Geo is how clients find the node that serves them best: GET /nearest on the console's and the Janus API's ports, nearest.js, and
// DNS.
type Geo struct {
	// Databases lists MMDB files that say where addresses are, with MaxMind's schema or a flat one, with coordinates or countries
	// alone; the first that knows an address answers. They are held in memory, and read again when they change. Without any, a client
	// counts as near to the node that it asks until it has measured.
	Databases []string `yaml:"databases"`
	// Place is where the node stands, LATITUDE,LONGITUDE in degrees, such as 50.11,8.68. Empty: where the databases say that its public
	// address is. Without either, distances are estimated from what nodes have measured among themselves.
	Place Place `yaml:"place"`
	// Host is the name, at most 64 bytes, by which clients reach this node alone: in URLs that others give them, and on its certificate.
	// Empty: its public address.
	Host string `yaml:"host"`
	// WSSPort is the port of wss URLs, if something else than this node, such as a proxy, terminates TLS or forwards another port.
	// 0: janus.wss_port.
	WSSPort uint16 `yaml:"wss_port"`
	// HTTPSPort is the same for https URLs. 0: janus.https_port.
	HTTPSPort uint16 `yaml:"https_port"`
	// Capacity is how many clients the node is meant for: each that is sent here counts as that part of its load until it reports its
	// load again. Too small a number sends clients farther away in a rush, too large a one sends too many here. 0: 250 for
	// each core.
	Capacity int `yaml:"capacity"`
	// MediaGain is how much nearer another node must be to a client, by the databases, for the client to have its media there while it
	// talks to this one: round trip time, beyond what the databases may be wrong. Both nodes' places and the client's must be known, and
	// the other must take clients. Who is connected to this node without a proxy counts as no farther than his packets take, whatever the
	// databases say. Less brings media nearer to clients that did not ask for the nearest node, and moves more of those that are not where
	// their addresses are said to be. 0: never.
	MediaGain time.Duration `yaml:"media_gain"`
}

// Place is a point on the earth in degrees; both zero: unknown.
type Place struct {
	Latitude, Longitude float64
}

// UnmarshalText reads a place.
func (p *Place) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = Place{}
		return nil
	}
	north, east, ok := strings.Cut(string(text), ",")
	lat, err1 := strconv.ParseFloat(strings.TrimSpace(north), 64)
	lon, err2 := strconv.ParseFloat(strings.TrimSpace(east), 64)
	if err := errors.Join(err1, err2); !ok || err != nil || !(math.Abs(lat) <= 90) || !(math.Abs(lon) <= 180) {
		return fmt.Errorf("%q is not a place: want LATITUDE,LONGITUDE in degrees, such as 50.11,8.68", text)
	}
	*p = Place{lat, lon}
	return nil
}

// MarshalText writes the place.
func (p Place) MarshalText() ([]byte, error) {
	if p == (Place{}) {
		return nil, nil
	}
	b := append(strconv.AppendFloat(nil, p.Latitude, 'f', -1, 64), ',')
	return strconv.AppendFloat(b, p.Longitude, 'f', -1, 64), nil
}

// maxGeoHost is how long a name other nodes take, in bytes.
const maxGeoHost = 64

func (c *Config) validateGeo(v *Faults) {
	g := &c.Geo
	for i, path := range g.Databases {
		v.check(path != "", "geo.databases["+strconv.Itoa(i)+"]", "want a file")
	}
	if g.Host != "" {
		_, err := netip.ParseAddr(g.Host)
		v.check(err == nil || isName(g.Host) && len(g.Host) <= maxGeoHost && !strings.Contains(g.Host, "_"), "geo.host",
			"%q: want a name of at most %d bytes, or an address", g.Host, maxGeoHost)
	}
	v.check(g.MediaGain >= 0, "geo.media_gain", "%v: want 0 or more", g.MediaGain)
	v.check(g.Capacity >= 0 && g.Capacity <= 1_000_000, "geo.capacity", "want 0 to 1000000")
}
