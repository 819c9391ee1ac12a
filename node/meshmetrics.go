package node

import (
	"math"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"cardea/mesh"
	"cardea/mesh/member"
	"cardea/mesh/room"
	"cardea/node/console"
)

// exportMesh exports what the mesh counts and measures, and gives the console a summary.
func (n *Node) exportMesh() {
	n.figures = append(n.figures, func(s *console.Status) {
		for _, m := range n.mesh.Nodes() {
			s.Nodes++
			if m.State != member.Ready {
				s.Draining++
			}
			if m.Linked {
				s.Links++
			}
		}
	})
	n.registry.MustRegister(meshCollector{n.mesh.Nodes})
	n.exportLinks(n.mesh.Meter())
	n.exportMembership()
	n.exportMeshRooms()
	n.exportMeshStreams()
	n.exportMessages()
}

// exportLinks exports what all links carried and what they refused.
func (n *Node) exportLinks(meter *mesh.Meter) {
	type T = mesh.Traffic
	type S = mesh.Stats
	n.registry.MustRegister(
		snapshot(meter.Traffic,
			counter("cardea_mesh_link_datagrams_in_total", "Datagrams received from other nodes: packets of streams and of data channels.", func(t T) float64 { return float64(t.DatagramsIn) }),
			counter("cardea_mesh_link_bytes_in_total", "Bytes of them, without what QUIC and parity add.", func(t T) float64 { return float64(t.BytesIn) }),
			counter("cardea_mesh_link_datagrams_out_total", "Datagrams sent to other nodes: packets of streams and of data channels.", func(t T) float64 { return float64(t.DatagramsOut) }),
			counter("cardea_mesh_link_bytes_out_total", "Bytes of them, without what QUIC and parity add.", func(t T) float64 { return float64(t.BytesOut) }),
			counter("cardea_mesh_link_paddings_total", "Datagrams sent to keep links warm. Rising fast: links were new, or their windows shut by loss that parity missed.", func(t T) float64 { return float64(t.Paddings) }),
			counter("cardea_mesh_link_late_drops_total", "Datagrams not sent that had waited too long. Rising: a link carries more than its way bears, and calls lose pictures.", func(t T) float64 { return float64(t.Late) }),
			counter("cardea_mesh_link_cut_total", "Datagrams sent in two parts. Rising for long: a way has a smaller MTU than it says.", func(t T) float64 { return float64(t.Cut) }),
			counter("cardea_mesh_link_carriers_total", "Connections dialled beside a link's first. Rising: ways lose so much that QUIC slows down.", func(t T) float64 { return float64(t.Carriers) }),
			counter("cardea_mesh_link_unknown_total", "Datagrams dropped that are of no flow. A few come whenever a stream ends; many: nodes disagree about what is sent.", func(t T) float64 { return float64(t.Unknown) }),
			counter("cardea_mesh_link_senseless_total", "Datagrams of members dropped that make no sense. Rising: a node with a fault, or taken over.", func(t T) float64 { return float64(t.Senseless) }),
			counter("cardea_mesh_link_faults_total", "Panics in what handles packets of links; each is a fault of the program.", func(t T) float64 { return float64(t.Faults) }),
			counter("cardea_mesh_link_calls_in_total", "Requests of other nodes.", func(t T) float64 { return float64(t.CallsIn) }),
			counter("cardea_mesh_link_calls_out_total", "Requests to other nodes.", func(t T) float64 { return float64(t.CallsOut) }),
			counter("cardea_mesh_link_notices_in_total", "Notices of other nodes.", func(t T) float64 { return float64(t.NoticesIn) }),
			counter("cardea_mesh_link_notices_out_total", "Notices to other nodes.", func(t T) float64 { return float64(t.NoticesOut) }),
			counter("cardea_mesh_link_replayed_total", "Packets that were here already: overtaken by their repair, or played again. Rising without loss: somebody replays.", func(t T) float64 { return float64(t.Replayed) }),
			counter("cardea_mesh_link_forged_total", "Packets with the address of a node, and not from it. Rising: somebody forges.", func(t T) float64 { return float64(t.Forged) }),
			counter("cardea_mesh_link_malformed_total", "Packets of a node that make no sense. Rising: a node of another version, with a fault, or taken over.", func(t T) float64 { return float64(t.Malformed) }),
			counter("cardea_mesh_link_policed_total", "Packets of a node beyond what it may send. Rising: a node does not keep to the rate that it is told.", func(t T) float64 { return float64(t.Policed) }),
		),
		snapshot(n.mesh.Stats,
			counter("cardea_mesh_links_refused_total", "Connections refused: without a member's certificate, or too many. Rising: strangers at the port, or a node whose certificate is over.", func(s S) float64 { return float64(s.Links.Refused) }),
			counter("cardea_mesh_link_strangers_total", "Packets to the links' port from nobody known, beyond the limit. Rising: the port is scanned or flooded.", func(s S) float64 { return float64(s.Links.Strangers) }),
			counter("cardea_mesh_link_send_errors_total", "Packets of links that the kernel refused. Rising: no route or a firewall here, or full buffers.", func(s S) float64 { return float64(s.Links.SendErrors) }),
			counter("cardea_mesh_link_panics_total", "Panics of what handles other nodes' requests; each is a fault of the program.", func(s S) float64 { return float64(s.Links.Panics) }),
		),
	)
}

// exportMembership exports who came in and who was kept out.
func (n *Node) exportMembership() {
	type S = member.Stats
	n.registry.MustRegister(snapshot(n.cluster.Stats,
		counter("cardea_mesh_admitted_total", "Nodes admitted by this one.", func(s S) float64 { return float64(s.Admitted) }),
		counter("cardea_mesh_admissions_carried_total", "Strangers' requests carried to the node that invited them.", func(s S) float64 { return float64(s.Carried) }),
		counter("cardea_mesh_certificates_renewed_total", "Certificates renewed by this node, of others and its own.", func(s S) float64 { return float64(s.Renewed) }),
		counter("cardea_mesh_admissions_refused_total", "Requests of strangers that were refused. Rising: an invitation that is wrong, expired or used up, or somebody who guesses.", func(s S) float64 { return float64(s.Refused) }),
		counter("cardea_mesh_admissions_strange_total", "Connections to the admission port whose TLS handshake failed. Rising: the port is scanned.", func(s S) float64 { return float64(s.Strange) }),
		counter("cardea_mesh_connections_limited_total", "TCP connections to the gossip and admission ports beyond what is served. Rising: one of them is flooded.", func(s S) float64 { return float64(s.Limited) }),
		counter("cardea_mesh_gossip_rubbish_total", "Packets and connections to the gossip port that could not be read. Strangers may send what they like; many: a node with another key, or a flood.", func(s S) float64 { return float64(s.Rubbish) }),
		counter("cardea_mesh_metadata_forged_total", "Metadata that was not its node's, not a member's, or out of date. A few come with restarts; rising: a node with the gossip key lies.", func(s S) float64 { return float64(s.Forged) }),
	))
}

// exportMeshRooms exports what the node keeps and tells of rooms.
func (n *Node) exportMeshRooms() {
	type S = *room.Metrics
	n.registry.MustRegister(snapshot(n.mesh.Rooms().Metrics,
		gauge("cardea_mesh_room_records", "Records of rooms kept for the mesh, tombstones included. Rising: more rooms, or fewer nodes to share them.", func(m S) float64 { return float64(m.Records.Load()) }),
		gauge("cardea_mesh_room_graves", "Tombstones among them. Rising: rooms are made and destroyed fast.", func(m S) float64 { return float64(m.Graves.Load()) }),
		gauge("cardea_mesh_rooms_open", "Rooms whose roster is here: somebody here is in them, or they are kept here for others.", func(m S) float64 { return float64(m.Open.Load()) }),
		gauge("cardea_mesh_room_followers", "Other nodes that follow rooms here, one for each node and room. Rising: this node tells more nodes of each change.", func(m S) float64 { return float64(m.Followers.Load()) }),
		counter("cardea_mesh_room_notices_sent_total", "Notices about rooms sent.", func(m S) float64 { return float64(m.NoticesSent.Load()) }),
		counter("cardea_mesh_room_notices_received_total", "Notices about rooms received.", func(m S) float64 { return float64(m.NoticesReceived.Load()) }),
		counter("cardea_mesh_room_bytes_sent_total", "Bytes of notices and requests about rooms sent.", func(m S) float64 { return float64(m.BytesSent.Load()) }),
		counter("cardea_mesh_room_bytes_received_total", "Bytes of notices and requests about rooms received.", func(m S) float64 { return float64(m.BytesReceived.Load()) }),
		counter("cardea_mesh_room_calls_total", "Requests about rooms made, those to this node included.", func(m S) float64 { return float64(m.Calls.Load()) }),
		counter("cardea_mesh_room_failovers_total", "Rooms followed at another node because theirs was silent. Rising: nodes die or ways to them fail.", func(m S) float64 { return float64(m.Failovers.Load()) }),
		counter("cardea_mesh_room_resets_total", "Conversations about rooms that began again. Rising: links break, or nodes restart.", func(m S) float64 { return float64(m.Resets.Load()) }),
		counter("cardea_mesh_room_participants_lost_total", "Participants here whose id an older claim took. Rising: the mesh was in two parts, and ids are chosen by clients.", func(m S) float64 { return float64(m.Lost.Load()) }),
		counter("cardea_mesh_room_records_repaired_total", "Records that this node had missed. Rising for long: nodes do not reach each other.", func(m S) float64 { return float64(m.Repaired.Load()) }),
		counter("cardea_mesh_room_records_handed_total", "Records handed to other nodes. Rising: nodes come and go.", func(m S) float64 { return float64(m.Handed.Load()) }),
		counter("cardea_mesh_room_messages_malformed_total", "Messages about rooms that could not be read. Rising: a node of another version, with a fault, or taken over.", func(m S) float64 { return float64(m.Malformed.Load()) }),
		counter("cardea_mesh_room_entries_forged_total", "Participants' entries from nodes that may not write them. Rising: a node with a fault, or taken over.", func(m S) float64 { return float64(m.Forged.Load()) }),
		counter("cardea_mesh_room_messages_flooded_total", "Messages about rooms beyond what a node may send. Rising: a node with a fault, or more change than is provided for.", func(m S) float64 { return float64(m.Flooded.Load()) }),
		counter("cardea_mesh_room_refused_total", "Entries, records and followers beyond a bound, or of rooms that are not this node's. Rising for long: nodes disagree who is there.", func(m S) float64 { return float64(m.Refused.Load()) }),
		counter("cardea_mesh_room_store_failures_total", "Writes of rooms to the disk that failed. Rising: the disk of node.data_dir is full or broken.", func(m S) float64 { return float64(m.StoreFails.Load()) }),
	))
	type D = mesh.Stats
	n.registry.MustRegister(snapshot(n.mesh.Stats,
		counter("cardea_mesh_detours_sent_total", "Parcels of what is said of rooms, sent by way of other nodes because the way to the one they are for is cut. Rising: two regions do not see each other.", func(s D) float64 { return float64(s.Detours.Sent) }),
		counter("cardea_mesh_detours_failed_total", "Those among them without a reply. Rising: nodes died, or are cut off for good.", func(s D) float64 { return float64(s.Detours.Failed) }),
		counter("cardea_mesh_detours_carried_total", "Parcels of others, passed on.", func(s D) float64 { return float64(s.Detours.Carried) }),
		counter("cardea_mesh_detours_arrived_total", "Parcels that came for this node.", func(s D) float64 { return float64(s.Detours.Arrived) }),
		counter("cardea_mesh_detours_refused_total", "Parcels and replies that were forged, repeated or unreadable. Rising: a node with a fault, or taken over.", func(s D) float64 { return float64(s.Detours.Refused) }),
	))
}

// exportMeshStreams exports which streams come from other nodes and go there.
func (n *Node) exportMeshStreams() {
	type F = mesh.Flow
	type S = mesh.Stats
	n.registry.MustRegister(
		snapshot(n.mesh.Flow,
			gauge("cardea_mesh_streams_wanted", "Streams that somebody here or behind here wants.", func(f F) float64 { return float64(f.Wanted) }),
			gauge("cardea_mesh_streams_pulled", "Those among them that come from another node.", func(f F) float64 { return float64(f.Pulled) }),
			gauge("cardea_mesh_streams_waiting", "Those that should come from another node, and do not. More than 0 for long: subscribers see nothing.", func(f F) float64 { return float64(f.Waiting) }),
			gauge("cardea_mesh_stream_parents", "Nodes that streams come from.", func(f F) float64 { return float64(f.Parents) }),
			gauge("cardea_mesh_streams_exported", "Streams sent to other nodes, one for each node. Rising: this node feeds more of the mesh.", func(f F) float64 { return float64(f.Exports) }),
			gauge("cardea_mesh_stream_children", "Nodes that streams are sent to.", func(f F) float64 { return float64(f.Children) }),
		),
		snapshot(n.mesh.Stats,
			counter("cardea_mesh_streams_opened_total", "Streams that came from other nodes.", func(s S) float64 { return float64(s.Streams.Opened.Load()) }),
			counter("cardea_mesh_stream_requests_total", "Requests to other nodes for streams. Rising faster than streams are opened: they are refused or not answered.", func(s S) float64 { return float64(s.Streams.Asked.Load()) }),
			counter("cardea_mesh_stream_failovers_total", "Parents of streams left because they failed. Rising: nodes die or ways fail, and viewers may see gaps.", func(s S) float64 { return float64(s.Streams.Failovers.Load()) }),
			counter("cardea_mesh_stream_moves_total", "Parents of streams left for better ones. Rising fast: ways are about equally good, or change all the time.", func(s S) float64 { return float64(s.Streams.Moves.Load()) }),
			counter("cardea_mesh_stream_refusals_total", "Other nodes' requests for streams refused: loops, and more than a node may have. Rising for long: this node is overloaded.", func(s S) float64 { return float64(s.Streams.Refusals.Load()) }),
			counter("cardea_mesh_stream_messages_malformed_total", "Notices about streams that make no sense. Rising: a node of another version, with a fault, or taken over.", func(s S) float64 { return float64(s.Streams.Malformed.Load()) }),
			counter("cardea_mesh_stream_messages_flooded_total", "Notices about streams beyond what a node may send.", func(s S) float64 { return float64(s.Streams.Flooded.Load()) }),
		),
	)
}

// meshCollector exports how many nodes there are and what is measured of the ways to them.
type meshCollector struct {
	nodes func() []mesh.Status
}

// maxPeers bounds the links with figures of their own. Of more, those with the lowest ids have them.
const maxPeers = 64

var (
	nodesDesc = prometheus.NewDesc("cardea_mesh_nodes", "Live nodes by state, this one included. Falling: nodes are stopped, dead or cut off.", []string{"state"}, nil)
	linksDesc = prometheus.NewDesc("cardea_mesh_links", "Links that are up. Links are made on demand: fewer than there are other nodes is no fault.", nil, nil)
	stallDesc = prometheus.NewDesc("cardea_mesh_links_stalled", "Links among them whose other side is silent. More than 0 for long: a way or a node fails.", nil, nil)
)

// measure is one figure of a link, and the worst of all links.
type measure struct {
	link, worst *prometheus.Desc
	value       func(*mesh.Status) float64 // NaN: not known
	least       bool                       // the least is the worst
}

func measured(name, worst, help, rising string, value func(*mesh.Status) float64) measure {
	return measure{
		link:  prometheus.NewDesc("cardea_mesh_link_"+name, help+" "+rising, []string{"peer", "name"}, nil),
		worst: prometheus.NewDesc("cardea_mesh_link_"+name+"_"+worst, help+" The worst of all links. "+rising, nil, nil),
		value: value, least: worst == "min",
	}
}

// measures are what is known of each link that is up.
var measures = []measure{
	measured("rtt_seconds", "max", "Round trip to a node.", "Rising: the way there is longer than before, or its queues are full.", func(s *mesh.Status) float64 {
		if s.RTT == 0 {
			return math.NaN()
		}
		return s.RTT.Seconds()
	}),
	measured("queue_seconds", "max", "How long packets to a node wait on the way.", "Rising: the way there is full.", func(s *mesh.Status) float64 { return s.Queue.Seconds() }),
	measured("loss_share", "max", "Share of packets to a node that are lost before repair.", "Rising: the way there is bad, and parity costs bandwidth.", func(s *mesh.Status) float64 { return s.Loss }),
	measured("late_share", "max", "Share of packets to a node that parity does not repair in time.", "Above 0 for long: calls over that way suffer.", func(s *mesh.Status) float64 { return s.Late }),
	measured("budget_bits_per_second", "min", "What may be sent to a node.", "Falling below what is sent: top layers are left out.", func(s *mesh.Status) float64 { return float64(s.Budget) }),
}

// Describe implements [prometheus.Collector].
func (c meshCollector) Describe(out chan<- *prometheus.Desc) {
	out <- nodesDesc
	out <- linksDesc
	out <- stallDesc
	for _, m := range measures {
		out <- m.link
		out <- m.worst
	}
}

// Collect implements [prometheus.Collector].
func (c meshCollector) Collect(out chan<- prometheus.Metric) {
	all := c.nodes()
	states := map[string]int{member.Ready.String(): 0, member.Draining.String(): 0}
	for i := range all {
		states[all[i].State.String()]++
	}
	for state, count := range states {
		out <- constant(nodesDesc, float64(count), state)
	}
	links := slices.DeleteFunc(all, func(s mesh.Status) bool { return !s.Linked })
	stalled := 0
	for i := range links {
		if links[i].Stalled {
			stalled++
		}
	}
	out <- constant(linksDesc, float64(len(links)))
	out <- constant(stallDesc, float64(stalled))
	for _, m := range measures {
		m.collect(out, links)
	}
}

// collect exports the figure of each link, and the worst if there is any.
func (m measure) collect(out chan<- prometheus.Metric, links []mesh.Status) {
	worst := math.NaN()
	for i := range links {
		v := m.value(&links[i])
		if math.IsNaN(v) {
			continue
		}
		if i < maxPeers {
			out <- constant(m.link, v, string(links[i].ID), strings.ToValidUTF8(links[i].Name, "?"))
		}
		if math.IsNaN(worst) || v > worst != m.least {
			worst = v
		}
	}
	if !math.IsNaN(worst) {
		out <- constant(m.worst, worst)
	}
}

// constant is a gauge's present value.
func constant(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
