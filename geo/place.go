package geo

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Place is a point on the earth, in degrees: north and east are positive. The zero Place is unknown: nobody lives there, in the
// Gulf of Guinea.
type Place struct {
	Latitude, Longitude float64
}

// Known tells whether the place is known.
func (p Place) Known() bool { return p != Place{} }

// String returns latitude and longitude as [ParsePlace] reads them, "" for the unknown place.
func (p Place) String() string {
	if !p.Known() {
		return ""
	}
	return strconv.FormatFloat(p.Latitude, 'f', -1, 64) + "," + strconv.FormatFloat(p.Longitude, 'f', -1, 64)
}

// ParsePlace reads a place written LATITUDE,LONGITUDE in decimal degrees.
func ParsePlace(s string) (Place, error) {
	north, east, ok := strings.Cut(s, ",")
	lat, err1 := strconv.ParseFloat(strings.TrimSpace(north), 64)
	lon, err2 := strconv.ParseFloat(strings.TrimSpace(east), 64)
	if p := (Place{lat, lon}); ok && err1 == nil && err2 == nil && p.valid() {
		return p, nil
	}
	return Place{}, fmt.Errorf("%.40q: want LATITUDE,LONGITUDE in degrees, such as 50.11,8.68", s)
}

// valid tells whether the numbers are a point on the earth; those that are none of a number are not.
func (p Place) valid() bool { return math.Abs(p.Latitude) <= 90 && math.Abs(p.Longitude) <= 180 }

const (
	earthRadius = 6371                  // km
	halfway     = earthRadius * math.Pi // around the earth, km: nothing is farther away
)

// Distance returns the length of the way over the earth's surface in km.
func (p Place) Distance(q Place) float64 {
	lat1, lat2 := radians(p.Latitude), radians(q.Latitude)
	sinLat, sinLon := math.Sin((lat2-lat1)/2), math.Sin(radians(q.Longitude-p.Longitude)/2)
	h := sinLat*sinLat + math.Cos(lat1)*math.Cos(lat2)*sinLon*sinLon
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1)))
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

// What a round trip takes. Light covers 200 km of fibre in a millisecond and has to go there and back; cables are some 1.4 times as
// long as the way over the earth's surface (Frankfurt to Virginia: 6,500 km, 95 ms; to Singapore: 10,300 km, 148 ms).
const (
	perKilometre = 14 * time.Microsecond
	access       = 4 * time.Millisecond // of a client's own network, and of what is not distance
)

// roundTrip estimates how long a packet takes there and back over so many km.
func roundTrip(km float64) time.Duration { return time.Duration(km * float64(perKilometre)) }

// Location is where a client is, as far as it is known. The zero Location is nowhere.
type Location struct {
	Place   Place        // unknown when the country is, and of countries without one
	Radius  float64      // how far from that it may be, in km
	Country string       // ISO 3166-1 alpha-2, upper case; empty if not known
	Network netip.Prefix // the network that all of this holds for, such as the scope of an answer to EDNS client subnet
}

// Doubt is how much the estimate of how much nearer one node is to the client than another may be wrong, since the client may be
// anywhere within the radius.
func (l *Location) Doubt() time.Duration { return doubt(l.Radius) }

func doubt(radius float64) time.Duration { return 2 * roundTrip(min(radius, halfway)) }

// How far a client may be from where it is taken to be, in km, if its country is all that is known: half of the country's width,
// for those that are wide.
const (
	radiusOfPlace   = 100
	radiusOfCountry = 400
)

var wide = map[string]float64{
	"AR": 1000, "AU": 2500, "BR": 2000, "CA": 2500, "CL": 1200, "CN": 1500, "CO": 600, "DZ": 700, "ES": 700, "FR": 600, "ID": 1800,
	"IN": 1300, "IR": 800, "IT": 600, "JP": 800, "KZ": 1200, "MX": 1200, "NG": 600, "NO": 700, "PH": 700, "PK": 800, "RU": 5000,
	"SA": 900, "SE": 600, "TH": 600, "TR": 700, "UA": 600, "US": 2300, "VN": 800, "ZA": 800,
}

// placeOf returns where most people of a country live, and how far a client of the country may be from there.
func placeOf(country string) (p Place, radius float64) {
	if radius = wide[country]; radius == 0 {
		radius = radiusOfCountry
	}
	return countries[country], radius
}
