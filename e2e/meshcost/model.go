package main

import (
	"math"
	"time"
)

// use is what is assumed of those who use the mesh.
type use struct {
	occupied     float64       // share of the rooms that somebody is in
	participants float64       // of such a room
	spread       float64       // nodes that they are on
	stay         time.Duration // of a participant
	changes      float64       // of its entry in that time, coming and going included
	life         time.Duration // of an occupied room
	drift        float64       // notable changes of a link's figures a minute
	record       int           // bytes of a room's record
	entry        int           // bytes of a participant's entry
}

// settings are how often the packages say things. A test compares them with the sources.
var settings = struct {
	probe, pushPull, tellAll, tellNode time.Duration // mesh/member
	retransmits                        float64
	figures, beat                      time.Duration // mesh/route: between tellings of figures, and between any
	moved                              float64       // figures in a telling at most
	digest                             time.Duration // mesh/room
	digests, replicas                  float64
	idle                               time.Duration // relay/link: for how long an unused link stays
	reports                            time.Duration // relay/shield: for how long something said makes a link busy
}{
	probe: 500 * time.Millisecond, pushPull: 30 * time.Second, tellAll: 10 * time.Second, tellNode: 400 * time.Millisecond, retransmits: 5,
	figures: 5 * time.Second, beat: 30 * time.Second, moved: 32,
	digest: 5 * time.Second, digests: 2, replicas: 3,
	idle: 5 * time.Minute, reports: time.Second,
}

// headers are the bytes of IPv4 and UDP headers before each packet.
const headers = 28

// term is one part of the cost.
type term struct {
	name  string
	value float64
}

type terms []term

func (t terms) sum() (sum float64) {
	for i := range t {
		sum += t[i].value
	}
	return sum
}

func (t terms) largest() string {
	best := t[0]
	for _, x := range t {
		if x.value > best.value {
			best = x
		}
	}
	return best.name
}

// cost is what one node of a mesh pays in the mean.
type cost struct {
	links           float64 // to other nodes
	gossip, control terms   // bytes/s sent
	memory          terms   // bytes
}

// reckon returns the cost for a node of n with that many rooms in the whole mesh.
func reckon(s sizes, u use, n, rooms float64) cost {
	others := max(n-1, 0)
	spread := min(u.spread, n)
	occupied := rooms * u.occupied
	here := occupied * spread / max(n, 1)            // occupied rooms with participants on this node
	kept := occupied / max(n, 1)                     // occupied rooms that it is the keeper of
	away := 1 - spread/max(n, 1)                     // how likely a keeper has no participants itself
	replicas := min(settings.replicas, n)            // of a record
	records := rooms * replicas / max(n, 1)          // that it keeps
	perSecond := u.changes / u.stay.Seconds()        // changes of one entry
	entries := occupied * u.participants / max(n, 1) // of its own participants

	// Each of the rooms here is followed at its keeper, who is one of all nodes with equal chance; several rooms often have the same.
	follows := others * some(here, others)
	// Links are in use towards those who are followed or follow, towards other nodes of the rooms here for their streams, and, for the
	// idle time, towards those with whom records were compared, by either side. Rows alone do not keep a link.
	compared := 2 * settings.digests * settings.idle.Seconds() / settings.digest.Seconds()
	unused := (1 - some(here, others)) * (1 - some(here, others)) * (1 - some(here*(spread-1), others)) * (1 - min(1, compared/max(others, 1)))
	links := others * (1 - unused)
	return cost{
		links:   links,
		gossip:  gossip(s, n),
		control: control(s, u, n, links, follows, entries*perSecond*(away+spread-1), occupied*(replicas-1)/u.life.Seconds()/max(n, 1)),
		memory: terms{
			{"nodes", others * s.nodeMemory},
			{"links", links * s.linkMemory},
			{"rows", links * links * s.rowMemory},
			{"records", records * s.recordMemory},
			{"rosters", (here + kept*away) * u.participants * s.entryMemory},
		},
	}
}

// some returns the chance that somebody is hit when so many choose one of others each.
func some(hits, others float64) float64 {
	if others == 0 {
		return 0
	}
	return 1 - math.Exp(-hits/others)
}

// gossip is memberlist's work.
func gossip(s sizes, n float64) terms {
	if n < 2 {
		return terms{{"probes", 0}, {"news", 0}, {"push/pull", 0}}
	}
	// Each node probes one other and answers one in the mean.
	probes := s.probe / settings.probe.Seconds()
	// Load and coordinates: each node tells that they have changed as often as it may, and every node passes that on so many times.
	tells := n / (settings.tellAll.Seconds() + n*settings.tellNode.Seconds())
	news := tells * settings.retransmits * math.Ceil(math.Log10(n+1)) * s.update
	// Whole states, both ways, at an interval that grows from 32 nodes on as memberlist has it.
	interval := settings.pushPull.Seconds()
	if n > 32 {
		interval *= math.Ceil(math.Log2(n)-5) + 1
	}
	return terms{{"probes", probes}, {"news", news}, {"push/pull", 2 * n * s.state / interval}}
}

// control is what goes over links, without media. changed are entries sent a second, created are records.
func control(s sizes, u use, n, links, follows, changed, created float64) terms {
	others := max(n-1, 0)
	compares := min(settings.digests, others) / settings.digest.Seconds()
	// Figures wait until it is time for them. One telling has those that have moved since the last.
	moved := links * u.drift / 60 * settings.figures.Seconds()
	tellings := some(moved, 1)/settings.figures.Seconds() + 1/settings.beat.Seconds()
	figures := min(moved, settings.moved) / settings.figures.Seconds()
	// Who follows or is followed says something all the time; other links are busy for a moment after each row, of either side.
	following := 0.0
	if others > 0 {
		following = min(1, 2*follows/others-(follows/others)*(follows/others)) * others
	}
	busy := following + max(links-following, 0)*some(2*tellings*settings.reports.Seconds(), 1)
	return terms{
		{"keepalives", links * s.idleLink},
		{"reports", busy * (s.busyLink - s.idleLink)},
		{"rows", links * (tellings*s.notice + figures*s.rowEntry)},
		{"comparing records", 2 * compares * (s.digest + s.notice)},
		{"new rooms", created * (s.create + s.notice)},
		{"following keepers", follows * (s.beatBytes + s.beats*s.notice)},
		{"rosters", changed * (s.change + s.notice)},
	}
}
