package mesh

import (
	"context"
	"sync"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
	"cardea/relay/plane"
)

// KindReport asks a node what it knows that its operators want to see. Any member may ask: what is in a report is no secret among them.
const KindReport link.Kind = 129

// ReportQuery says what is asked for.
type ReportQuery struct {
	// Room is a room's id, with its prefix: the report is then of that room alone. Empty: it is of the node.
	Room string `pb:"1"`
	// Participants are those of the room whose quality is wanted, at most [MaxReported].
	Participants []string `pb:"2"`
	// Rooms asks for the counts of all rooms; a room's report has that room's anyway.
	Rooms bool `pb:"3"`
}

// Bounds of a report: what is beyond is left out.
const (
	MaxReported = 256     // participants
	maxLinks    = 1024    // links
	maxWays     = 4096    // streams of a room
	maxCounts   = 2 << 20 // bytes of ids of rooms, at most
)

// Report is what a node answers.
type Report struct {
	Links   []LinkReport `pb:"1"` // of the node; empty in a room's
	Ways    []Way        `pb:"2"` // of the room's streams
	Figures []byte       `pb:"3"` // what Config.Report says
	Counts  *RoomCounts  `pb:"4"` // nil: nobody asked, or the node is older than the question
}

// RoomCounts tell of rooms who of a node uses them. Rooms that are not among them are not used there.
type RoomCounts struct {
	Rooms []RoomCount `pb:"1"`
	More  bool        `pb:"2"` // there were too many
}

// RoomCount is what a node alone knows of a room.
type RoomCount struct {
	Room        string `pb:"1"` // id, with its prefix
	Publishers  uint64 `pb:"2"` // participants of that node who publish
	Subscribers uint64 `pb:"3"` // handles of that node that subscribe
}

// LinkReport is what a node has measured of one of its links.
type LinkReport struct {
	Peer    string        `pb:"1"`
	RTT     time.Duration `pb:"2"`
	Loss    float64       `pb:"3"` // on the way there, before repair, 0 to 1
	Out     uint64        `pb:"4"` // bit/s of streams and data channels
	In      uint64        `pb:"5"`
	Stalled bool          `pb:"6"`
}

// Way is how a stream of a room comes to a node, and who gets it from there.
type Way struct {
	Publisher string   `pb:"1"`
	Mid       string   `pb:"2"`
	Path      []string `pb:"3"` // from the publisher's node to this one; empty where it is published
	Children  []string `pb:"4"`
}

// Reporter tells what the users of this node's mesh add to its reports: of a room and some of its participants, or of the node if
// the query names no room; and the counts of the rooms asked for. It is called from many goroutines and must not wait.
type Reporter func(q ReportQuery) (figures []byte, counts []RoomCount)

// handleReports answers other nodes, and this one.
func (m *Mesh) handleReports(add Reporter) {
	pace := pace{last: make(map[link.NodeID]amount)}
	m.links.Handle(KindReport, func(_ context.Context, _ link.NodeID, request []byte) ([]byte, error) {
		var q ReportQuery
		if err := wire.Unmarshal(request, &q); err != nil {
			return nil, err
		}
		var r Report
		if q.Room != "" {
			r.Ways = m.ways(q.Room)
		} else {
			r.Links = m.linkReports(&pace)
		}
		if add != nil {
			q.Participants = q.Participants[:min(len(q.Participants), MaxReported)]
			var counts []RoomCount
			r.Figures, counts = add(q)
			if q.Room != "" || q.Rooms {
				r.Counts = bounded(counts)
			}
		}
		return wire.Marshal(&r), nil
	})
}

// bounded returns as many counts as a report holds.
func bounded(counts []RoomCount) *RoomCounts {
	size := 0
	for i := range counts {
		const figures = 16 // bytes, about
		if size += len(counts[i].Room) + figures; size > maxCounts {
			return &RoomCounts{Rooms: counts[:i], More: true}
		}
	}
	return &RoomCounts{Rooms: counts}
}

// linkReports returns what this node has measured of its links.
func (m *Mesh) linkReports(pace *pace) []LinkReport {
	links := m.links.Links()
	reports := make([]LinkReport, 0, min(len(links), maxLinks))
	amounts := make(map[link.NodeID]amount, len(links))
	for _, l := range links[:min(len(links), maxLinks)] {
		row, stats := l.Row(), l.Stats()
		reports = append(reports, LinkReport{
			Peer: string(l.Peer()), RTT: row.RTT, Loss: row.Loss, Stalled: row.Heard > link.StallTime,
		})
		amounts[l.Peer()] = amount{out: stats.BytesOut, in: stats.BytesIn}
	}
	rates := pace.rates(time.Now(), amounts)
	for i := range reports {
		rate := rates[link.NodeID(reports[i].Peer)]
		reports[i].Out, reports[i].In = rate.out, rate.in
	}
	return reports
}

// ways returns how the streams of a room come here, and who gets them from here.
func (m *Mesh) ways(room string) []Way {
	m.mu.RLock()
	running := m.serving != nil
	m.mu.RUnlock()
	if !running || m.puller == nil {
		return nil // nobody would answer
	}
	var ways []Way
	for _, r := range m.puller.Rows() {
		if r.Room != room || !r.Here && !r.Open || len(ways) >= maxWays {
			continue
		}
		w := Way{Publisher: r.Publisher, Mid: r.Mid}
		for _, id := range r.Path {
			w.Path = append(w.Path, string(id))
		}
		for _, id := range r.Children {
			w.Children = append(w.Children, string(id))
		}
		ways = append(ways, w)
	}
	return ways
}

const (
	// reportTime is how long a node may take to report.
	reportTime = 1500 * time.Millisecond
	// reportsAtOnce is how many are asked at a time.
	reportsAtOnce = 32
)

// Reports asks nodes for reports, which may be this one, and returns those that came in time.
func (m *Mesh) Reports(ctx context.Context, of []link.NodeID, q ReportQuery) map[link.NodeID]Report {
	request := wire.Marshal(&q)
	var mu sync.Mutex
	reports := make(map[link.NodeID]Report, len(of))
	var wait sync.WaitGroup
	turns := make(chan struct{}, reportsAtOnce)
	for _, id := range of {
		wait.Go(func() {
			turns <- struct{}{} // they come back soon: each call is bounded
			defer func() { <-turns }()
			ctx, cancel := context.WithTimeout(ctx, reportTime)
			defer cancel()
			var r Report
			b, err := m.links.Call(ctx, id, KindReport, request)
			if err == nil {
				err = wire.Unmarshal(b, &r)
			}
			if err != nil {
				m.log.Debug("no report", "peer", id, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			reports[id] = r
		})
	}
	wait.Wait()
	return reports
}

// Homes returns the node that a participant's client talks to, and the one that has its media, as far as this node knows: it has
// to have the room open.
func (m *Mesh) Homes(room, participant string) (session, media link.NodeID) {
	session, _ = m.rooms.Home(room, participant)
	media, ok := m.home(plane.StreamID{Room: room, Publisher: participant})
	if !ok {
		media = session
	}
	return session, media
}

// amount is bytes that a link carried, or bits a second.
type amount struct{ out, in uint64 }

// paceTime is the least time that a rate is taken over: whoever asks sooner is told the last one.
const paceTime = time.Second

// pace turns amounts into rates, for all who ask. It is safe for concurrent use.
type pace struct {
	mu    sync.Mutex
	taken time.Time
	last  map[link.NodeID]amount
	now   map[link.NodeID]amount // the rates
}

// rates returns what links carry, in bits a second. What began since the last time counts from then on.
func (p *pace) rates(now time.Time, amounts map[link.NodeID]amount) map[link.NodeID]amount {
	p.mu.Lock()
	defer p.mu.Unlock()
	past := now.Sub(p.taken)
	if past < paceTime && p.now != nil {
		return p.now
	}
	p.now = make(map[link.NodeID]amount, len(amounts))
	for id, a := range amounts {
		was, ok := p.last[id]
		if !ok || a.out < was.out || a.in < was.in {
			continue // new, or made anew
		}
		bits := func(n uint64) uint64 { return uint64(float64(n) * 8 / past.Seconds()) }
		p.now[id] = amount{bits(a.out - was.out), bits(a.in - was.in)}
	}
	p.taken, p.last = now, amounts
	return p.now
}
