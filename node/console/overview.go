package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"
)

// Overview is the whole mesh as the node asked could gather it: all nodes, and the links between them.
type Overview struct {
	Taken time.Time      `json:"taken"` // when it was gathered
	Nodes []OverviewNode `json:"nodes"` // sorted by id
	Links []OverviewLink `json:"links"` // those that carry most first
	// LeftOut counts links beyond the bound, those that carry least.
	LeftOut int `json:"left_out,omitempty"`
}

// OverviewNode is a node, with what it says of itself.
type OverviewNode struct {
	MeshNode
	Place   *Place   `json:"place,omitempty"`   // nil: not known
	Figures *Figures `json:"figures,omitempty"` // nil: the node did not answer in time
}

// Place is a point on the earth, degrees (WGS 84).
type Place struct {
	Lat float64 `json:"lat"` // -90 to 90
	Lon float64 `json:"lon"` // -180 to 180
}

// Figures counts what a node serves.
type Figures struct {
	Sessions int `json:"sessions"` // of the Janus API
	Peers    int `json:"peers"`    // clients' media transports
	Streams  int `json:"streams"`  // published there, or coming from elsewhere
	Rooms    int `json:"rooms"`    // that somebody there has to do with
	// Leaving is how far it is with draining; nil: it does not.
	Leaving *Leaving `json:"leaving,omitempty"`
}

// OverviewLink is the link of two nodes, named by their places in the list. Loss is a share of packets before repair.
type OverviewLink struct {
	A       int     `json:"a"`
	B       int     `json:"b"` // greater than A
	RTTMS   float64 `json:"rtt_ms"`
	LossAB  float64 `json:"loss_ab"`
	LossBA  float64 `json:"loss_ba"`
	Rate    float64 `json:"rate"` // bits/s of streams and data channels, both directions
	Stalled bool    `json:"stalled,omitempty"`
}

// LinkReport is what one node has measured of its link to another.
type LinkReport struct {
	From, To string // ids of nodes
	RTT      time.Duration
	Loss     float64 // from From to To, before repair, 0 to 1
	Sent     float64 // bits/s, from From to To
	Received float64 // bits/s, the other way
	Stalled  bool
}

// maxOverviewLinks bounds the links of an overview: more than that no page can show, nor anybody see.
const maxOverviewLinks = 2000

// NewOverview joins what nodes report of their links. Of the two ends of a link one is enough; each knows best what arrives of
// what it sends.
func NewOverview(now time.Time, nodes []OverviewNode, reports []LinkReport) Overview {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b OverviewNode) int { return cmp.Compare(a.ID, b.ID) })
	at := make(map[string]int, len(nodes))
	named := make([]*MeshNode, 0, len(nodes))
	for i := range nodes {
		at[nodes[i].ID] = i
		named = append(named, &nodes[i].MeshNode)
	}
	NameNodes(named)
	type pair struct{ a, b int }
	links := make(map[pair]*OverviewLink)
	for _, r := range reports {
		from, ok1 := at[r.From]
		to, ok2 := at[r.To]
		if !ok1 || !ok2 || from == to {
			continue
		}
		p := pair{min(from, to), max(from, to)}
		l := links[p]
		if l == nil {
			l = &OverviewLink{A: p.a, B: p.b}
			links[p] = l
		}
		if from == p.a {
			l.LossAB = r.Loss
		} else {
			l.LossBA = r.Loss
		}
		if ms := milliseconds(r.RTT); ms > 0 && (l.RTTMS == 0 || ms < l.RTTMS) {
			l.RTTMS = ms // the rest is the time that one of them took to answer
		}
		l.Rate = max(l.Rate, r.Sent+r.Received)
		l.Stalled = l.Stalled || r.Stalled
	}
	o := Overview{Taken: now, Nodes: nodes, Links: make([]OverviewLink, 0, len(links))}
	for _, l := range links {
		l.RTTMS, l.LossAB, l.LossBA, l.Rate = rounded(l.RTTMS, 10), rounded(l.LossAB, 1e4), rounded(l.LossBA, 1e4), rounded(l.Rate, 1)
		o.Links = append(o.Links, *l)
	}
	slices.SortFunc(o.Links, func(x, y OverviewLink) int {
		return cmp.Or(cmp.Compare(y.Rate, x.Rate), cmp.Compare(max(y.LossAB, y.LossBA), max(x.LossAB, x.LossBA)),
			cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B))
	})
	if n := len(o.Links) - maxOverviewLinks; n > 0 {
		o.Links, o.LeftOut = o.Links[:maxOverviewLinks], n
	}
	return o
}

// rounded leaves as many digits as a page shows: the rest is most of the bytes.
func rounded(v, steps float64) float64 { return float64(int64(v*steps+0.5)) / steps }

// overviewAge is how old an overview may be that is given out: the mesh is asked so often, however many pages are open.
const overviewAge = 2 * time.Second

// handleOverview adds the overview to the API.
func handleOverview(closed func(pattern string, h http.HandlerFunc), gather func(context.Context) Overview) {
	kept := fresh[Overview]{age: overviewAge, load: gather}
	closed("GET /api/v1/overview", func(w http.ResponseWriter, r *http.Request) {
		o, err := kept.get(r.Context())
		if err != nil {
			return // whoever asked is gone
		}
		answer(w, o)
	})
}
