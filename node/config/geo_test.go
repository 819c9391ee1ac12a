package config

import "testing"

func TestPlace(t *testing.T) {
	for text, want := range map[string]Place{"": {}, "50.11,8.68": {50.11, 8.68}, " -33.87 , 151.2 ": {-33.87, 151.2}, "-90,180": {-90, 180}} {
		var p, again Place
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%q: %v %v", text, p, err)
		}
		b, _ := p.MarshalText()
		if err := again.UnmarshalText(b); err != nil || again != p {
			t.Errorf("%q is written %q", text, b)
		}
	}
	for _, text := range []string{"50", "50,", "91,0", "0,-181", "NaN,0", "a,b", "1,2,3"} {
		if err := new(Place).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestValidateGeo(t *testing.T) {
	for _, tt := range []struct {
		geo  Geo
		path string // of the fault, "" for none
	}{
		{Geo{Databases: []string{"/a.mmdb"}, Host: "fra-1.example.org", Capacity: 100}, ""},
		{Geo{Host: "2001:db8::1"}, ""},
		{Geo{Databases: []string{"a", ""}}, "geo.databases[1]"},
		{Geo{Host: "https://fra.example.org"}, "geo.host"},
		{Geo{Host: "fra.example.org:443"}, "geo.host"},
		{Geo{Host: "fra_1.example.org"}, "geo.host"},
		{Geo{Capacity: -1}, "geo.capacity"},
		{Geo{MediaGain: -1}, "geo.media_gain"},
	} {
		c := Default()
		c.Geo = tt.geo
		faults := c.validate()
		if tt.path == "" && len(faults) > 0 || tt.path != "" && (len(faults) != 1 || faults[0].Path != tt.path) {
			t.Errorf("%+v: %v", tt.geo, faults)
		}
	}
}
