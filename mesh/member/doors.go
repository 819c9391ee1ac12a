package member

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// Doors are where clients reach a node. A port of 0 is closed.
type Doors struct {
	// Host is a name, or an address without brackets, that goes into URLs; certificates are for it.
	Host string
	// Addresses are public ones, one of each IP version at most. None: they are those of the links.
	Addresses []netip.Addr
	// Janus API: WebSocket and HTTP, plain and over TLS.
	WS, WSS, HTTP, HTTPS uint16
	// Media is the port of STUN, TURN (UDP, and TCP if MediaTCP) and the media; TURNS is TURN over TLS.
	Media, TURNS uint16
	MediaTCP     bool
}

// Equal tells whether two are the same.
func (d Doors) Equal(o Doors) bool {
	if !slices.Equal(d.Addresses, o.Addresses) {
		return false
	}
	for i, p := range d.ports() {
		if *p != *o.ports()[i] {
			return false
		}
	}
	return d.Host == o.Host && d.MediaTCP == o.MediaTCP
}

// usualPorts are those that take no room in metadata, in the order of [Doors.ports]. Neither may change.
var usualPorts = [...]uint16{8188, 8989, 8088, 8089, 3478, 5349}

func (d *Doors) ports() [len(usualPorts)]*uint16 {
	return [...]*uint16{&d.WS, &d.WSS, &d.HTTP, &d.HTTPS, &d.Media, &d.TURNS}
}

const (
	maxHost = 64 // bytes

	// The compact form of ports: one byte each for those that are open, their index in usualPorts, and the port follows in two more
	// unless portUsual is set, too.
	portUsual    = 0x80
	portMediaTCP = portUsual | 0x40 // no port: Doors.MediaTCP
)

func (d *Doors) packPorts() []byte {
	var b []byte
	for i, p := range d.ports() {
		switch *p {
		case 0:
		case usualPorts[i]:
			b = append(b, portUsual|byte(i))
		default:
			b = binary.BigEndian.AppendUint16(append(b, byte(i)), *p)
		}
	}
	if d.MediaTCP {
		b = append(b, portMediaTCP)
	}
	return b
}

// parsePorts is the inverse of packPorts. What it does not know is left out.
func (d *Doors) parsePorts(b []byte) {
	for len(b) > 0 {
		kind, port := b[0], uint16(0)
		b = b[1:]
		if kind&portUsual == 0 {
			if len(b) < 2 {
				return
			}
			port, b = binary.BigEndian.Uint16(b), b[2:]
		}
		switch i := int(kind &^ portUsual); {
		case kind == portMediaTCP:
			d.MediaTCP = true
		case i >= len(usualPorts):
		case kind&portUsual != 0:
			*d.ports()[i] = usualPorts[i]
		default:
			*d.ports()[i] = port
		}
	}
}

func (d *Doors) packAddresses() (all [][]byte) {
	var four, six bool
	for _, a := range d.Addresses {
		a = a.Unmap().WithZone("")
		if a.Is4() && !four || a.Is6() && !six {
			all = append(all, a.AsSlice())
			four, six = four || a.Is4(), six || a.Is6()
		}
	}
	return all
}

// parseDoors reads what metadata says of doors; what is unfit for URLs and DNS is left out.
func parseDoors(host string, addresses [][]byte, ports []byte) (d Doors) {
	if isHost(host) {
		d.Host = host
	}
	for _, raw := range addresses[:min(len(addresses), 2)] {
		if a, ok := netip.AddrFromSlice(raw); ok && !a.IsUnspecified() && !a.IsMulticast() {
			d.Addresses = append(d.Addresses, a.Unmap())
		}
	}
	d.parsePorts(ports)
	return d
}

// isHost tells whether text is a name or an address that can stand in a URL.
func isHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == ""
	}
	const characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."
	return s != "" && len(s) <= maxHost && strings.Trim(s, characters) == ""
}

// The compact form of a place: big-endian int16, the share of 90 degrees and of 180 degrees, to 600 m. Nothing is 0, 0.
const (
	placeBytes = 4
	placeSteps = math.MaxInt16
)

func packPlace(latitude, longitude float64) []byte {
	if latitude == 0 && longitude == 0 || !(math.Abs(latitude) <= 90) || !(math.Abs(longitude) <= 180) {
		return nil
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(int16(math.Round(latitude/90*placeSteps))))   //nolint:gosec // two's complement
	return binary.BigEndian.AppendUint16(b, uint16(int16(math.Round(longitude/180*placeSteps)))) //nolint:gosec // two's complement
}

func parsePlace(b []byte) (latitude, longitude float64) {
	if len(b) != placeBytes {
		return 0, 0
	}
	part := func(b []byte, whole float64) float64 {
		steps := int16(binary.BigEndian.Uint16(b)) //nolint:gosec // two's complement
		return math.Round(max(float64(steps)/placeSteps, -1)*whole*1000) / 1000
	}
	return part(b, 90), part(b[2:], 180)
}
