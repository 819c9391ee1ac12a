package node

import (
	"testing"
	"time"

	"cardea/geo"
	"cardea/relay/link"
)

// TestNearer wants media to leave the node of a client's choice only for one that is certainly much nearer, and takes it.
func TestNearer(t *testing.T) {
	var (
		frankfurt, paris, virginia = geo.Place{Latitude: 50.11, Longitude: 8.68}, geo.Place{Latitude: 48.85, Longitude: 2.35}, geo.Place{Latitude: 39, Longitude: -77.5}
		inFrankfurt                = geo.Location{Place: frankfurt, Radius: 100}
		inOhio                     = geo.Location{Place: geo.Place{Latitude: 40, Longitude: -83}, Radius: 100}
		inAmerica                  = geo.Location{Place: inOhio.Place, Radius: 2300}
		inGermany                  = geo.Location{Place: frankfurt, Radius: 400}
	)
	const gain = 30 * time.Millisecond
	iad := geo.Node{ID: "iad", Media: true, Signaling: true, Place: virginia}
	fra := geo.Node{ID: "fra", Media: true, Place: frankfurt} // media alone
	cdg := geo.Node{ID: "cdg", Media: true, Signaling: true, Place: paris}
	with := func(n geo.Node, change func(n *geo.Node)) geo.Node { change(&n); return n }
	for _, tt := range []struct {
		name   string
		client geo.Location
		nodes  []geo.Node
		at     string
		gain   time.Duration
		want   string
		seen   time.Duration // the round trip to here as measured; 0: not known
	}{
		{"far from here", inFrankfurt, []geo.Node{iad, fra}, "iad", gain, "fra", 0},
		{"far from here, as can be seen", inFrankfurt, []geo.Node{iad, fra}, "iad", gain, "fra", 85 * time.Millisecond},
		{"not where its address is said to be", inFrankfurt, []geo.Node{iad, fra}, "iad", gain, "", 20 * time.Millisecond},
		{"near to here by a slow network", inOhio, []geo.Node{iad, fra}, "iad", gain, "", 300 * time.Millisecond},
		{"somewhere in its country", inGermany, []geo.Node{iad, fra}, "iad", gain, "fra", 0},
		{"near to here", inOhio, []geo.Node{iad, fra}, "iad", gain, "", 0},
		{"a little nearer", inFrankfurt, []geo.Node{cdg, fra}, "cdg", gain, "", 0},
		{"a little is enough", inFrankfurt, []geo.Node{cdg, fra}, "cdg", time.Millisecond, "fra", 0},
		{"somewhere in a wide country", inAmerica, []geo.Node{fra, iad}, "fra", gain, "", 0},
		{"a city of it", inOhio, []geo.Node{fra, iad}, "fra", gain, "iad", 0},
		{"the nearest refuses", inFrankfurt, []geo.Node{iad, with(fra, func(n *geo.Node) { n.Load = 1 })}, "iad", gain, "", 0},
		{"the nearest refuses, the next does not", inFrankfurt, []geo.Node{iad, with(fra, func(n *geo.Node) { n.Load = 1 }), cdg}, "iad", gain, "cdg", 0},
		{"the nearest drains", inFrankfurt, []geo.Node{iad, with(fra, func(n *geo.Node) { n.Draining = true })}, "iad", gain, "", 0},
		{"the nearest is about full", inFrankfurt, []geo.Node{iad, with(fra, func(n *geo.Node) { n.Load = 0.97 })}, "iad", gain, "", 0},
		{"the nearest is nowhere", inFrankfurt, []geo.Node{iad, with(fra, func(n *geo.Node) { n.Place = geo.Place{} })}, "iad", gain, "", 0},
		{"this one is nowhere", inFrankfurt, []geo.Node{with(iad, func(n *geo.Node) { n.Place = geo.Place{} }), fra}, "iad", gain, "", 0},
		{"out of reach", inFrankfurt, []geo.Node{iad, with(fra, func(n *geo.Node) { n.ID = "gone" })}, "iad", gain, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ranked := geo.Choose(geo.Query{Client: tt.client}, withMedia(tt.nodes, []link.NodeID{"iad", "fra", "cdg"}))
			believe(ranked, tt.at, tt.seen)
			got := ""
			if to := nearer(ranked, tt.at, tt.gain+tt.client.Doubt()); to != nil {
				got = to.ID
			}
			if got != tt.want {
				t.Errorf("to %q, not %q: %+v", got, tt.want, ranked)
			}
		})
	}
}
