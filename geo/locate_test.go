package geo

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cardea/geo/geotest"
)

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	nested, flat := filepath.Join(dir, "nested.mmdb"), filepath.Join(dir, "flat.mmdb")
	geotest.Write(t, nested, map[string]map[string]any{
		"192.0.2.0/24":    geotest.City("DE", 50.1, 8.7),
		"2001:db8::/32":   geotest.City("US", 39.0, -77.5),
		"198.51.100.0/25": {"registered_country": map[string]any{"iso_code": "FR"}},
		"203.0.113.0/26":  geotest.City("DE", 91, 8.7), // there is no such place
		"203.0.113.64/26": {"country": map[string]any{"iso_code": "??"}},
	})
	geotest.Write(t, flat, map[string]map[string]any{
		"198.51.100.128/25": geotest.Country("JP"),
		"192.0.2.0/24":      geotest.Country("JP"), // the other file was first
		"203.0.113.128/26":  {"country": "BR", "latitude": "-23.5", "longitude": "-46.6"},
		"203.0.113.192/26":  {"country_code": "ZZ"}, // reserved: nobody knows where
	})
	l, err := OpenLocator(LocatorConfig{Files: []string{nested, flat}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		address, country string
		place            Place
		network          string
		ok               bool
	}{
		{"192.0.2.77", "DE", Place{50.1, 8.7}, "192.0.2.0/24", true},
		{"::ffff:192.0.2.77", "DE", Place{50.1, 8.7}, "192.0.2.0/24", true},
		{"2001:db8:1::1%eth0", "US", Place{39.0, -77.5}, "2001:db8::/32", true},
		{"198.51.100.1", "FR", countries["FR"], "198.51.100.0/25", true},
		{"198.51.100.129", "JP", countries["JP"], "198.51.100.128/25", true},
		{"203.0.113.1", "DE", countries["DE"], "203.0.113.0/26", true},
		{"203.0.113.129", "BR", Place{-23.5, -46.6}, "203.0.113.128/26", true},
		{"203.0.113.193", "ZZ", Place{}, "203.0.113.192/26", true},
		{"203.0.113.65", "", Place{}, "", false},
		{"8.8.8.8", "", Place{}, "", false},
	} {
		at, ok := l.Locate(netip.MustParseAddr(tt.address))
		if ok != tt.ok || at.Country != tt.country || at.Place != tt.place || tt.network != "" && at.Network.String() != tt.network {
			t.Errorf("%s: %v %+v", tt.address, ok, at)
		}
	}
	if _, ok := l.Locate(netip.Addr{}); ok {
		t.Error("no address is somewhere")
	}
	nothing, err := OpenLocator(LocatorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := nothing.Locate(netip.MustParseAddr("192.0.2.1")); ok {
		t.Error("an address is known without a database")
	}
}

// TestRadius wants what a database says of how well it knows a place to be believed: those of cities give addresses of which they know
// the country alone a place as well.
func TestRadius(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db.mmdb")
	within := func(km any) map[string]any {
		city := geotest.City("US", 37.75, -97.82)
		city["location"].(map[string]any)["accuracy_radius"] = km //nolint:forcetypeassert // it is
		return city
	}
	geotest.Write(t, path, map[string]map[string]any{
		"192.0.2.0/25": within(uint16(1000)), "192.0.2.128/25": within(uint16(5)), "198.51.100.0/25": within(math.Inf(1)),
		"198.51.100.128/25": within(math.NaN()), "203.0.113.0/25": geotest.City("US", 38, -97), "203.0.113.128/25": geotest.Country("FR"),
	})
	l, err := OpenLocator(LocatorConfig{Files: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]float64{
		"192.0.2.1": 1000, "192.0.2.129": radiusOfPlace, "198.51.100.1": halfway, "198.51.100.129": radiusOfPlace,
		"203.0.113.1": radiusOfPlace, "203.0.113.129": wide["FR"],
	} {
		if at, ok := l.Locate(netip.MustParseAddr(address)); !ok || at.Radius != want {
			t.Errorf("%s is within %v km of %v, want %v", address, at.Radius, at.Place, want)
		}
	}
	if at, _ := l.Locate(netip.MustParseAddr("192.0.2.1")); at.Doubt() != 28*time.Millisecond {
		t.Errorf("estimates may be wrong by %v", at.Doubt())
	}
}

// TestNoDatabase wants files that are of no use to be told of in one line.
func TestNoDatabase(t *testing.T) {
	good := geotest.Bytes(map[string]map[string]any{"192.0.0.0/8": geotest.Country("DE"), "10.0.0.0/8": geotest.Country("FR")})
	damaged := bytes.Clone(good)
	for i := range len(damaged) / 2 { // the tree, not the description at the end
		damaged[i] ^= 0xa5
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"empty": nil, "text": []byte("this is no database"), "truncated": good[:len(good)/2], "damaged": damaged,
		"of something else": geotest.Bytes(map[string]map[string]any{"192.0.0.0/8": {"asn": "64496"}}),
	} {
		path := filepath.Join(dir, "db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenLocator(LocatorConfig{Files: []string{path}})
		if !errors.Is(err, ErrDatabase) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenLocator(LocatorConfig{Files: []string{filepath.Join(dir, "none")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestReload wants new versions of a file to be taken over, and bad ones to change nothing.
func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db.mmdb")
	version := time.Unix(1_700_000_000, 0)
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		version = version.Add(time.Hour) // a clock that nobody has to wait for
		if err := os.Chtimes(path, version, version); err != nil {
			t.Fatal(err)
		}
	}
	of := func(code string) []byte {
		return geotest.Bytes(map[string]map[string]any{"192.0.2.0/24": geotest.Country(code)})
	}
	write(of("DE"))
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l, err := OpenLocator(LocatorConfig{Files: []string{path}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		want := func(code string) {
			t.Helper()
			if at, _ := l.Locate(netip.MustParseAddr("192.0.2.1")); at.Country != code {
				t.Errorf("it is in %q, want %q", at.Country, code)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		want("DE")
		write(of("FR"))
		time.Sleep(pollInterval + time.Second)
		want("DE") // somebody may be writing it yet
		time.Sleep(pollInterval)
		want("FR")
		write([]byte("rubbish"))
		time.Sleep(5 * pollInterval)
		want("FR")
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("told of %d times: %s", n, &log)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * pollInterval)
		want("FR")
		write(of("JP"))
		if err := l.Reload(); err != nil {
			t.Error(err)
		}
		want("JP")
		write([]byte("rubbish"))
		if err := l.Reload(); !errors.Is(err, ErrDatabase) {
			t.Errorf("rubbish: %v", err)
		}
		want("JP")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// FuzzDatabase reads files that are anything.
func FuzzDatabase(f *testing.F) {
	f.Add(geotest.Bytes(map[string]map[string]any{"192.0.2.0/24": geotest.City("DE", 50, 8), "2001:db8::/32": geotest.Country("US")}))
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	path := filepath.Join(f.TempDir(), "db.mmdb")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := OpenLocator(LocatorConfig{Files: []string{path}})
		if err != nil {
			return
		}
		for _, a := range []string{"192.0.2.1", "2001:db8::1", "::1", "255.255.255.255"} {
			if at, ok := l.Locate(netip.MustParseAddr(a)); ok && !at.Place.valid() {
				t.Errorf("%s is at %v", a, at.Place)
			}
		}
	})
}

// TestCountries wants the table to hold places on the earth, under codes.
func TestCountries(t *testing.T) {
	for code, p := range countries {
		if len(code) != 2 || !isUpper(code[0]) || !isUpper(code[1]) || !p.valid() || !p.Known() {
			t.Errorf("%q: %v", code, p)
		}
	}
	for code, near := range map[string]Place{"DE": {50.1, 8.7}, "SG": {1.3, 103.9}, "GB": {51.5, -0.1}, "JP": {35.7, 139.7}, "US": {39, -77.5}} {
		p, radius := placeOf(code)
		if d := p.Distance(near); d > radius {
			t.Errorf("%s: %.0f km from a city of it, more than %.0f", code, d, radius)
		}
	}
	for code := range wide {
		if _, ok := countries[code]; !ok {
			t.Errorf("%s is wide and nowhere", code)
		}
	}
}
