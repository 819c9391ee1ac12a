// Command mmdb writes a database of locations for the browsers' tests: which networks are where.
//
//	mmdb FILE 10.1.0.0/16=DE,50.11,8.68 10.2.0.0/16=US,39.04,-77.49
package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"cardea/geo"
	"cardea/geo/geotest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mmdb:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("want FILE NETWORK=COUNTRY,LATITUDE,LONGITUDE..., not %q", args)
	}
	networks := make(map[string]map[string]any)
	for _, arg := range args[1:] {
		network, where, _ := strings.Cut(arg, "=")
		country, place, _ := strings.Cut(where, ",")
		if _, err := netip.ParsePrefix(network); err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		p, err := geo.ParsePlace(place)
		if err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		networks[network] = geotest.City(country, p.Latitude, p.Longitude)
	}
	return os.WriteFile(args[0], geotest.Bytes(networks), 0o600)
}
