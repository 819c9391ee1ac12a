package node

import "cardea/mesh"

// exportMesh exports what the mesh counts.
func (n *Node) exportMesh() {
	type S = mesh.Stats
	n.registry.MustRegister(snapshot(n.mesh.Stats,
		gauge("cardea_mesh_links", "Links that are up.", func(s S) float64 { return float64(s.Linked) }),
		counter("cardea_mesh_links_refused_total", "Connections refused: without a member's certificate, or too many.", func(s S) float64 { return float64(s.Links.Refused) }),
		counter("cardea_mesh_link_strangers_total", "Packets to the links' port from nobody known, beyond the limit.", func(s S) float64 { return float64(s.Links.Strangers) }),
		counter("cardea_mesh_link_send_errors_total", "Packets of links that the kernel refused.", func(s S) float64 { return float64(s.Links.SendErrors) }),
		counter("cardea_mesh_link_panics_total", "Panics of what handles other nodes' requests.", func(s S) float64 { return float64(s.Links.Panics) }),
		gauge("cardea_mesh_link_replayed", "Packets that the present links had already: overtaken by their repair, or played again.", func(s S) float64 { return float64(s.Packets.Replayed) }),
		gauge("cardea_mesh_link_forged", "Packets with the address of the present links' other ends, and not theirs.", func(s S) float64 { return float64(s.Packets.Forged) }),
		gauge("cardea_mesh_link_malformed", "Packets of the present links' other ends that make no sense.", func(s S) float64 { return float64(s.Packets.Malformed) }),
		gauge("cardea_mesh_link_policed", "Packets of the present links' other ends beyond what they may send.", func(s S) float64 { return float64(s.Packets.Policed) }),
		counter("cardea_mesh_admitted_total", "Nodes admitted by this one.", func(s S) float64 { return float64(s.Members.Admitted) }),
		counter("cardea_mesh_admissions_refused_total", "Requests of strangers that were refused, wrong and expired invitations among them.", func(s S) float64 { return float64(s.Members.Refused) }),
		counter("cardea_mesh_admissions_strange_total", "Connections to the admission port whose TLS handshake failed.", func(s S) float64 { return float64(s.Members.Strange) }),
		counter("cardea_mesh_connections_limited_total", "TCP connections beyond what is served at once or in a second.", func(s S) float64 { return float64(s.Members.Limited) }),
		counter("cardea_mesh_metadata_forged_total", "Metadata that was not its node's, not a member's, or out of date.", func(s S) float64 { return float64(s.Members.Forged) }),
		gauge("cardea_mesh_room_records", "Records of rooms kept, tombstones included.", func(s S) float64 { return float64(s.Rooms.Records.Load()) }),
		gauge("cardea_mesh_rooms_open", "Rooms whose participants are known here.", func(s S) float64 { return float64(s.Rooms.Open.Load()) }),
		counter("cardea_mesh_room_failovers_total", "Rooms followed at another node because theirs was silent.", func(s S) float64 { return float64(s.Rooms.Failovers.Load()) }),
		counter("cardea_mesh_room_messages_malformed_total", "Messages about rooms that could not be read.", func(s S) float64 { return float64(s.Rooms.Malformed.Load()) }),
		counter("cardea_mesh_room_entries_forged_total", "Participants' entries from nodes that may not write them.", func(s S) float64 { return float64(s.Rooms.Forged.Load()) }),
		counter("cardea_mesh_room_messages_flooded_total", "Messages about rooms beyond what a node may send.", func(s S) float64 { return float64(s.Rooms.Flooded.Load()) }),
		counter("cardea_mesh_streams_opened_total", "Streams that came from other nodes.", func(s S) float64 { return float64(s.Streams.Opened.Load()) }),
		counter("cardea_mesh_stream_failovers_total", "Parents of streams left because they failed.", func(s S) float64 { return float64(s.Streams.Failovers.Load()) }),
		counter("cardea_mesh_stream_moves_total", "Parents of streams left for better ones.", func(s S) float64 { return float64(s.Streams.Moves.Load()) }),
		counter("cardea_mesh_stream_refusals_total", "Other nodes' requests for streams refused.", func(s S) float64 { return float64(s.Streams.Refusals.Load()) }),
		counter("cardea_mesh_messages_sent_total", "Messages of data channels sent, to each node.", func(s S) float64 { return float64(s.Messages.Sent) }),
		counter("cardea_mesh_messages_received_total", "Messages of data channels received from other nodes.", func(s S) float64 { return float64(s.Messages.Received) }),
		counter("cardea_mesh_messages_over_quota_total", "Messages of data channels not taken because their room says too much.", func(s S) float64 { return float64(s.Messages.OverQuota) }),
		counter("cardea_mesh_messages_forgotten_total", "Messages of data channels dropped before a node had them.", func(s S) float64 { return float64(s.Messages.Forgotten) }),
		counter("cardea_mesh_datagrams_onward_total", "Datagrams passed on between other nodes.", func(s S) float64 { return float64(s.Messages.Datagrams.Onward) }),
	))
}
