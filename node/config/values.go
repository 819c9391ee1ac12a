package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Size is a number of bytes, written with a unit: 512KiB, 4MiB, 2GB; a bare number is bytes.
type Size int64

// The units of sizes: powers of two with an i, powers of ten without. The long ones come first, for they end in a short one.
var sizeUnits = []unit{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
}

// Bitrate is a number of bits a second, written with a unit: 64k, 2.5M, 300kbit/s; a bare number is bits/s.
type Bitrate uint32

var bitrateUnits = []unit{
	{"kbit/s", 1e3},
	{"Mbit/s", 1e6},
	{"Gbit/s", 1e9},
	{"bit/s", 1},
	{"k", 1e3},
	{"M", 1e6},
	{"G", 1e9},
}

type unit struct {
	name string
	size float64
}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := quantity(string(text), sizeUnits, math.MaxInt64>>1)
	if err != nil {
		return fmt.Errorf("%w: want a size such as 512KiB", err)
	}
	*s = Size(n)
	return nil
}

// MarshalText writes the size with the largest unit that divides it.
func (s Size) MarshalText() ([]byte, error) {
	for _, u := range []unit{sizeUnits[3], sizeUnits[2], sizeUnits[1], sizeUnits[0]} {
		if s != 0 && s%Size(u.size) == 0 {
			return fmt.Appendf(nil, "%d%s", s/Size(u.size), u.name), nil
		}
	}
	return strconv.AppendInt(nil, int64(s), 10), nil
}

// String returns the size with its unit.
func (s Size) String() string { b, _ := s.MarshalText(); return string(b) }

// UnmarshalText reads a bitrate.
func (b *Bitrate) UnmarshalText(text []byte) error {
	n, err := quantity(string(text), bitrateUnits, math.MaxUint32)
	if err != nil {
		return fmt.Errorf("%w: want a bitrate such as 256k or 2.5M", err)
	}
	*b = Bitrate(n)
	return nil
}

// MarshalText writes the bitrate with the largest unit that divides it.
func (b Bitrate) MarshalText() ([]byte, error) {
	switch {
	case b != 0 && b%1e6 == 0:
		return fmt.Appendf(nil, "%dM", b/1e6), nil
	case b != 0 && b%1e3 == 0:
		return fmt.Appendf(nil, "%dk", b/1e3), nil
	}
	return strconv.AppendUint(nil, uint64(b), 10), nil
}

// String returns the bitrate with its unit.
func (b Bitrate) String() string { t, _ := b.MarshalText(); return string(t) }

// quantity reads a number of at most limit that may end in a unit. Fractions are allowed with a unit, if whole units result.
func quantity(text string, units []unit, limit float64) (uint64, error) {
	number, factor := strings.TrimSpace(text), 1.0
	for _, u := range units {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(n), u.size
			break
		}
	}
	for _, c := range number { // ParseFloat would take hexadecimal, exponents, infinities and underscores too
		if (c < '0' || c > '9') && c != '.' {
			return 0, fmt.Errorf("%q is not a quantity", text)
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a quantity", text)
	}
	f *= factor
	if f > limit {
		return 0, fmt.Errorf("%q is too large", text)
	}
	if f != math.Trunc(f) {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return uint64(f), nil
}

// Secret is a text that must not be shown: printing, logging and marshalling it give a placeholder. The text itself is
// string(s).
type Secret string

const hidden = "(hidden)"

// String returns a placeholder, or nothing when there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error { *s = Secret(text); return nil }

var errAddress = errors.New("want an IP address")

// Network is an IP network, written as a prefix (10.0.0.0/8) or as a single address.
type Network struct{ netip.Prefix }

// UnmarshalText reads a prefix or an address.
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("%q: %w or a network such as 10.0.0.0/8", s, errAddress)
		}
		a = a.Unmap()
		n.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return fmt.Errorf("%q: %w or a network such as 10.0.0.0/8", s, errAddress)
	case p != p.Masked():
		return fmt.Errorf("%q has bits set beyond its length: did you mean %s?", s, p.Masked())
	}
	n.Prefix = p
	return nil
}

// MarshalText writes a single address without its length.
func (n Network) MarshalText() ([]byte, error) {
	if n.IsSingleIP() {
		return n.Addr().MarshalText()
	}
	return n.Prefix.MarshalText()
}

// network is for constants only: a wrong text is a fault of the program.
func network(text string) Network {
	var n Network
	if err := n.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return n
}

// Mapping says that Public leads to the node: to its address Local, or to all of that family when Local is not valid.
type Mapping struct{ Public, Local netip.Addr }

// UnmarshalText reads PUBLIC or PUBLIC/LOCAL.
func (m *Mapping) UnmarshalText(text []byte) error {
	public, local, both := strings.Cut(string(text), "/")
	var r Mapping
	var err error
	if r.Public, err = plainAddr(public); err != nil {
		return err
	}
	if both {
		if r.Local, err = plainAddr(local); err != nil {
			return err
		}
		if r.Public.Is4() != r.Local.Is4() {
			return fmt.Errorf("%q maps one address family to the other", text)
		}
	}
	*m = r
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (m Mapping) MarshalText() ([]byte, error) {
	if !m.Local.IsValid() {
		return m.Public.MarshalText()
	}
	return []byte(m.Public.String() + "/" + m.Local.String()), nil
}

// plainAddr reads an address that names one place: no zone, not unspecified; IPv4 in IPv6 is taken as IPv4.
func plainAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || a.Zone() != "" || a.IsUnspecified() {
		return netip.Addr{}, fmt.Errorf("%q: %w", s, errAddress)
	}
	return a.Unmap(), nil
}
