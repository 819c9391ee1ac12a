package geo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// ErrDatabase says that a file is no database of locations that can be used.
var ErrDatabase = errors.New("not a usable MMDB file")

// maxDatabase bounds the size of a database in bytes; it is held in memory.
const maxDatabase = 1 << 30

// pollInterval is how often files are looked at for changes.
const pollInterval = 10 * time.Second

// LocatorConfig says where locations come from.
type LocatorConfig struct {
	// Files are MMDB files. An address is looked up in each until one knows it, so IPv4 and IPv6 may be in two.
	Files []string
	// Log may be nil.
	Log *slog.Logger
}

// Locator tells where addresses are. It is safe for concurrent use.
//
// Databases may have MaxMind's schema (country.iso_code, location.latitude, location.accuracy_radius) or a flat one (country_code or country; latitude). Where
// one has no coordinates, clients are taken to be where most people of their country live.
//
// Files are read whole, so that whoever replaces one may as well write into it.
type Locator struct {
	log  *slog.Logger
	open atomic.Pointer[[]*maxminddb.Reader]

	mu    sync.Mutex
	files []databaseFile
}

// databaseFile is a file and which version of it was read.
type databaseFile struct {
	path string
	read version // what was read, or could not be
	seen version // at the last look
	db   *maxminddb.Reader
}

// version tells a file from what it was before.
type version struct {
	modified time.Time
	size     int64
}

// OpenLocator reads the databases. The error joins those of all that cannot be used.
func OpenLocator(cfg LocatorConfig) (*Locator, error) {
	l := &Locator{log: cfg.Log}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	for _, path := range cfg.Files {
		f := databaseFile{path: path}
		errs = append(errs, f.load())
		l.files = append(l.files, f)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l.publish()
	return l, nil
}

// publish has lookups use what was read; mu is held, or the locator is new.
func (l *Locator) publish() {
	open := make([]*maxminddb.Reader, 0, len(l.files))
	for i := range l.files {
		open = append(open, l.files[i].db)
	}
	l.open.Store(&open)
}

// Locate returns where an address is; false when no database knows it. The network is there in either case, if there is a database
// for such addresses: the answer holds for all of it.
func (l *Locator) Locate(a netip.Addr) (at Location, ok bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return Location{}, false
	}
	for _, db := range *l.open.Load() {
		if a.Is6() && db.Metadata.IPVersion == 4 {
			continue
		}
		r := db.Lookup(a)
		if r.Err() != nil {
			continue
		}
		at.Network = r.Prefix()
		if !r.Found() {
			continue
		}
		at.Country, at.Place, at.Radius = country(r), place(r), radius(r)
		if !at.Place.Known() {
			at.Place, at.Radius = placeOf(at.Country)
		}
		if at.Country != "" || at.Place.Known() {
			return at, true
		}
	}
	return at, false
}

// Where databases have what is of use here.
var (
	countryPaths   = [][]any{{"country", "iso_code"}, {"country_code"}, {"country"}, {"registered_country", "iso_code"}}
	latitudePaths  = [][]any{{"location", "latitude"}, {"latitude"}, {"lat"}}
	longitudePaths = [][]any{{"location", "longitude"}, {"longitude"}, {"lng"}}
	radiusPaths    = [][]any{{"location", "accuracy_radius"}, {"accuracy_radius"}}
)

func country(r maxminddb.Result) string {
	for _, path := range countryPaths {
		var code string
		if r.DecodePath(&code, path...) == nil && len(code) == 2 && isUpper(code[0]) && isUpper(code[1]) {
			return code
		}
	}
	return ""
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

func place(r maxminddb.Result) Place {
	lat, ok1 := number(r, latitudePaths)
	lon, ok2 := number(r, longitudePaths)
	if p := (Place{lat, lon}); ok1 && ok2 && p.valid() {
		return p
	}
	return Place{}
}

// radius is how far from its place an address may be, in km. Databases of cities give addresses of which they know no city the middle
// of the country, and say with it that they may be a thousand kilometres from there. What they say is true of two in three addresses, so
// little is not taken for less than elsewhere.
func radius(r maxminddb.Result) float64 {
	if km, _ := number(r, radiusPaths); km > radiusOfPlace { // NaN is not
		return min(km, halfway)
	}
	return radiusOfPlace
}

// number returns the first number at one of the paths, which some databases write as text.
func number(r maxminddb.Result, paths [][]any) (float64, bool) {
	for _, path := range paths {
		var v any
		if r.DecodePath(&v, path...) != nil {
			continue
		}
		switch v := v.(type) {
		case float64:
			return v, true
		case float32:
			return float64(v), true
		case uint64: // whole ones of any size
			return float64(v), true
		case string:
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				return f, true
			}
		}
	}
	return 0, false
}

// Run reads files anew when they have changed, until ctx ends. A file that cannot be used is told of once, and what was read before
// stays in use.
func (l *Locator) Run(ctx context.Context) error {
	clock := time.NewTicker(pollInterval)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
			if err := l.reload(databaseFile.settled); err != nil {
				l.log.Warn("the old locations stay in use", "error", err)
			}
		}
	}
}

// Reload reads the files that have changed at once. What cannot be used is in the error, and what was read before stays in use.
func (l *Locator) Reload() error { return l.reload(databaseFile.changed) }

// reload reads the files that are due.
func (l *Locator) reload(due func(f databaseFile, now version) bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for i := range l.files {
		f := &l.files[i]
		now := f.look()
		read := due(*f, now)
		f.seen = now
		if !read {
			continue
		}
		if err := f.load(); err != nil {
			errs = append(errs, err)
			continue
		}
		l.log.Info("new locations", "file", f.path, "type", f.db.Metadata.DatabaseType, "built", f.db.Metadata.BuildTime().UTC().Format(time.DateOnly))
	}
	l.publish()
	return errors.Join(errs...)
}

// look returns the version of the file that is there, the zero one for none.
func (f databaseFile) look() version {
	info, err := os.Stat(f.path)
	if err != nil {
		return version{}
	}
	return version{info.ModTime(), info.Size()}
}

// changed tells whether there is a version that was not read.
func (f databaseFile) changed(now version) bool { return now != f.read && now != version{} }

// settled tells whether there is one that nobody is writing any more.
func (f databaseFile) settled(now version) bool { return f.changed(now) && now == f.seen }

// load reads the file. If it cannot be used, what was read before stays.
func (f *databaseFile) load() error {
	f.read = f.look()
	f.seen = f.read
	b, err := readFile(f.path)
	if err != nil {
		return fmt.Errorf("database of locations: %w", err)
	}
	db, err := maxminddb.OpenBytes(b)
	if err == nil {
		err = check(db)
	}
	if err != nil {
		return fmt.Errorf("database of locations: %s: %w: %w", f.path, ErrDatabase, err)
	}
	f.db = db
	return nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was read only
	b, err := io.ReadAll(io.LimitReader(file, maxDatabase+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(b) > maxDatabase {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxDatabase)
	}
	return b, nil
}

// samples is how many addresses of each family are looked up in a new database: a damaged one fails with some of them. Going through
// all of it would take seconds.
const samples = 4096

var errNoLocations = errors.New("it has no countries and no coordinates")

// check looks some addresses up.
func check(db *maxminddb.Reader) error {
	useful := false
	try := func(a netip.Addr) error {
		r := db.Lookup(a)
		var all any
		if err := r.Decode(&all); err != nil {
			return err
		}
		useful = useful || r.Found() && (country(r) != "" || place(r).Known())
		return nil
	}
	for i := range uint32(samples) {
		a := i*(1<<32/samples) + 1
		if err := try(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})); err != nil {
			return err
		}
		if db.Metadata.IPVersion != 6 {
			continue
		}
		a = 0x20000000 + i<<13 + i // 2000::/4, which all public networks are in
		if err := try(netip.AddrFrom16([16]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a), 15: 1})); err != nil {
			return err
		}
	}
	if !useful {
		for r := range db.Networks() { // it is small
			if useful = country(r) != "" || place(r).Known(); useful {
				return nil
			}
		}
		return errNoLocations
	}
	return nil
}
