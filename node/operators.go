package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cardea/mesh"
	"cardea/node/console"
	"cardea/relay/link"
	"cardea/relay/quality"
	"cardea/signaling/videoroom"
)

// What operators see of the whole mesh, and do in it, is gathered here from reports that nodes give each other, by whichever node
// an operator has open.

// report is what this node adds to its reports: its figures, or those of a room's participants, and the counts that are asked for.
func (n *Node) report(q mesh.ReportQuery) (figures []byte, counts []mesh.RoomCount) {
	if n.counts != nil && (q.Room != "" || q.Rooms) {
		counts = n.counts(q.Room)
	}
	var v any
	if q.Room == "" {
		var s console.Status
		for _, add := range n.figures {
			add(&s)
		}
		v = console.Figures{Sessions: s.Sessions, Peers: s.Peers, Streams: s.Streams, Rooms: s.Rooms, Leaving: n.drain.leaving()}
	} else {
		v = n.quality(q.Room, q.Participants)
	}
	b, err := json.Marshal(v)
	if err != nil {
		n.log.Warn("report not made", "room", q.Room, "error", err) // a figure that JSON has no word for
		return nil, counts
	}
	return b, counts
}

// overview gathers the whole mesh.
func (n *Node) overview(ctx context.Context) console.Overview {
	all := n.mesh.Nodes()
	ids := make([]link.NodeID, 0, len(all))
	for i := range all {
		ids = append(ids, all[i].ID)
	}
	reports := n.mesh.Reports(ctx, ids, mesh.ReportQuery{})
	nodes := make([]console.OverviewNode, 0, len(all))
	var links []console.LinkReport
	for i, m := range meshNodes(all) {
		o := console.OverviewNode{MeshNode: m, Place: placeOf(&all[i])}
		if r, ok := reports[ids[i]]; ok {
			o.Figures = readJSON[console.Figures](r.Figures)
			for _, l := range r.Links {
				links = append(links, console.LinkReport{
					From: m.ID, To: l.Peer, RTT: l.RTT, Loss: fraction(l.Loss), Sent: float64(l.Out), Received: float64(l.In), Stalled: l.Stalled,
				})
			}
		}
		nodes = append(nodes, o)
	}
	return console.NewOverview(time.Now(), nodes, links)
}

// fraction is a share that another node reports: what is none is 0.
func fraction(v float64) float64 {
	if !(v > 0) { // nor a number
		return 0
	}
	return min(v, 1)
}

// readJSON reads what another node reports; nil if it is nothing of this version.
func readJSON[T any](b []byte) *T {
	var v T
	if len(b) == 0 || json.Unmarshal(b, &v) != nil {
		return nil
	}
	return &v
}

// inspectRoom looks into a room: who is in it, how its streams go, and what the nodes that have to do with it know of its
// participants.
func (n *Node) inspectRoom(ctx context.Context, rooms *videoroom.Plugin, room string, p console.ParticipantRange) (v console.RoomView, ok bool) {
	info, some, matched, err := rooms.Inspect(ctx, room, p.Search, p.Offset, p.Limit)
	if err != nil {
		if !errors.Is(err, videoroom.ErrNoRoom) {
			n.log.Warn("room not looked into", "room", room, "error", err)
		}
		return v, false
	}
	key := roomPrefix + info.ID
	v = console.RoomView{Participants: make([]console.Participant, 0, len(some)), Offset: p.Offset, Matched: matched}
	ids := make([]string, 0, len(some))
	asked := map[link.NodeID]bool{n.cluster.Self().ID: true}
	// Somebody may watch on any node, whether anybody takes part there or not.
	nodes := n.cluster.Nodes()
	for _, m := range nodes[:min(len(nodes), maxRoomNodes)] {
		asked[m.ID] = true
	}
	for i := range some {
		ids = append(ids, some[i].ID)
		at, media := n.mesh.Homes(key, some[i].ID)
		v.Participants = append(v.Participants, participant(&some[i], at, media))
		asked[at], asked[media] = true, true
	}
	delete(asked, "") // not known just now
	reports, silent := n.reportsOn(ctx, key, ids, asked)
	told := make(map[link.NodeID]mesh.Report, len(reports))
	for id, r := range reports {
		told[id] = r.Report
	}
	v.Room = n.consoleRoom(info, true, sumRoomUse(told, len(silent) > 0 || len(nodes) > maxRoomNodes))
	v.Routes = routesOf(reports)
	for _, id := range silent {
		v.Silent = append(v.Silent, string(id))
	}
	for i := range v.Participants {
		who := &v.Participants[i]
		for _, id := range [...]string{who.Node, who.Media} {
			if q, ok := reports[link.NodeID(id)].quality[who.ID]; ok && who.Quality == nil && proper(&q) {
				who.Quality = &q
			}
		}
	}
	return v, true
}

// proper tells whether what another node reports can be drawn.
func proper(q *console.Quality) bool {
	n := len(q.RTTMS)
	return n > 0 && n <= quality.Steps && len(q.LossUp) == n && len(q.LossDown) == n && len(q.RateUp) == n && len(q.RateDown) == n
}

// participant is what the console says of one who is in a room.
func participant(i *videoroom.ParticipantInfo, at, media link.NodeID) console.Participant {
	p := console.Participant{ID: i.ID, Display: i.Display, Joined: i.Joined, Talking: i.Talking, Node: string(at)}
	if media != at {
		p.Media = string(media)
	}
	for _, s := range i.Streams {
		p.Streams = append(p.Streams, console.Sent{Mid: s.Mid, Kind: s.Kind, Codec: s.Codec, Description: s.Description, Muted: s.Muted})
	}
	return p
}

// roomReport is what one node knows of a room.
type roomReport struct {
	mesh.Report
	quality map[string]console.Quality // by participant
}

// maxRoomNodes bounds the nodes that are asked about one room. In a larger mesh they are asked in rounds: who has a stream names those who
// have it from there, also where nobody takes part but somebody watches.
const maxRoomNodes = 128

// reportsOn asks the nodes about a room, and those that they name; it returns also who did not answer, sorted.
func (n *Node) reportsOn(ctx context.Context, room string, participants []string, asked map[link.NodeID]bool) (all map[link.NodeID]roomReport, silent []link.NodeID) {
	all = make(map[link.NodeID]roomReport)
	next := make([]link.NodeID, 0, len(asked))
	for id := range asked {
		next = append(next, id)
	}
	for len(next) > 0 && ctx.Err() == nil {
		reports := n.mesh.Reports(ctx, next, mesh.ReportQuery{Room: room, Participants: participants})
		var named []link.NodeID
		for _, id := range next {
			r, ok := reports[id]
			if !ok {
				silent = append(silent, id)
				continue
			}
			report := roomReport{Report: r}
			if q := readJSON[map[string]console.Quality](r.Figures); q != nil {
				report.quality = *q
			}
			all[id] = report
			for _, w := range r.Ways {
				for _, other := range slices.Concat(w.Children, w.Path) {
					if id := link.NodeID(other); !asked[id] && len(asked) < maxRoomNodes {
						asked[id] = true
						named = append(named, id)
					}
				}
			}
		}
		next = named
	}
	slices.Sort(silent)
	return all, silent
}

// maxRouteStreams is how many streams of a route are named.
const maxRouteStreams = 50

// routesOf joins the streams that take the same way.
func routesOf(reports map[link.NodeID]roomReport) []console.Route {
	byPath := map[string]*console.Route{}
	for _, r := range reports {
		for _, w := range r.Ways {
			if len(w.Path) < 2 {
				continue // it is published there
			}
			key := strings.Join(w.Path, " ")
			route := byPath[key]
			if route == nil {
				route = &console.Route{Path: w.Path}
				byPath[key] = route
			}
			route.Streams = append(route.Streams, console.RouteStream{Publisher: w.Publisher, Mid: w.Mid})
		}
	}
	routes := make([]console.Route, 0, len(byPath))
	for _, r := range byPath {
		slices.SortFunc(r.Streams, func(a, b console.RouteStream) int {
			return strings.Compare(a.Publisher+" "+a.Mid, b.Publisher+" "+b.Mid)
		})
		if more := len(r.Streams) - maxRouteStreams; more > 0 {
			r.Streams, r.More = r.Streams[:maxRouteStreams], more
		}
		routes = append(routes, *r)
	}
	slices.SortFunc(routes, func(a, b console.Route) int { return slices.Compare(a.Path, b.Path) })
	return routes
}

// placeOf is where a node says it is; nil if it does not.
func placeOf(s *mesh.Status) *console.Place {
	if s.Latitude == 0 && s.Longitude == 0 {
		return nil
	}
	return &console.Place{Lat: s.Latitude, Lon: s.Longitude}
}

// expel throws a participant out of a room, for an operator.
func (n *Node) expel(ctx context.Context, rooms *videoroom.Plugin, plugin, room, participant string) error {
	if plugin != videoroom.Package {
		return fmt.Errorf("%s has no participants to remove", plugin)
	}
	if err := rooms.Expel(ctx, room, participant); err != nil {
		return err
	}
	n.log.Info("operator removed a participant", "room", room, "participant", participant)
	return nil
}

// operator is what the console's operators may do.
func (n *Node) operator() console.Operator {
	return console.Operator{
		Password: string(n.cfg.Console.Password),
		Drain: func(ctx context.Context, node string, undo bool) error {
			n.log.Info("operator drains a node", "of", node, "undo", undo)
			_, err := n.mesh.Drain(ctx, link.NodeID(node), mesh.DrainOrder{Undo: undo})
			if remote, ok := errors.AsType[*link.RemoteError](err); ok {
				return remote
			}
			return err
		},
		Kick: func(ctx context.Context, plugin, room, participant string) error {
			return n.kick(ctx, plugin, room, participant)
		},
	}
}
