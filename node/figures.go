package node

import (
	"context"
	"strconv"
	"sync"
	"time"

	"cardea/mesh"
	"cardea/node/console"
	"cardea/relay"
	"cardea/relay/turn"
	"cardea/relay/udp"
	"cardea/signaling/janus"
	"cardea/signaling/videoroom"
)

// addFigures gives the console and the metrics what the planes know.
func (n *Node) addFigures(server *janus.Server, rooms *videoroom.Plugin) {
	m := server.Metrics()
	n.figures = append(n.figures, func(s *console.Status) {
		s.Sessions, s.Handles = int(m.Sessions.Load()), int(m.Handles.Load())
		s.Rooms = rooms.RoomCount()
	})
	n.counts = func(room string) []mesh.RoomCount { return roomCounts(rooms, room) }
	n.rooms = func(ctx context.Context) []console.Room { return n.roomList(ctx, rooms.Overview()) }
	n.room = func(ctx context.Context, plugin, room string, p console.ParticipantRange) (console.RoomView, bool) {
		if plugin != videoroom.Package {
			return console.RoomView{}, false
		}
		return n.inspectRoom(ctx, rooms, room, p)
	}
	n.kick = func(ctx context.Context, plugin, room, participant string) error {
		return n.expel(ctx, rooms, plugin, room, participant)
	}
	n.peer = func(session, handle uint64) (console.Peer, bool) {
		id, ok := server.PeerID(session, handle)
		if !ok {
			return console.Peer{}, false
		}
		ctx, cancel := context.WithTimeout(context.Background(), statsTime)
		defer cancel()
		stats, err := n.mesh.Plane().Stats(ctx, id)
		if err != nil {
			return console.Peer{}, false
		}
		return console.PeerOf(stats), true
	}
	n.exportJanus(m)
	n.exportRooms(rooms)
}

// statsTime bounds how long a media node is asked for what it sees of a peer.
const statsTime = 2 * time.Second

// addMediaFigures gives the console and the metrics what the media plane knows.
func (n *Node) addMediaFigures() {
	n.figures = append(n.figures, func(s *console.Status) {
		s.Peers, s.Streams = n.media.Peers(), n.media.Streams()
		s.Connected = min(s.Peers, max(0, int(n.media.Metrics().Peer.Connected.Load())))
	})
	n.exportMedia()
	n.exportSockets()
	if server := n.media.TURN(); server != nil {
		n.exportTURN(server)
	}
}

// roomList returns the rooms of all nodes, with what nodes tell of who uses them.
func (n *Node) roomList(ctx context.Context, here []videoroom.RoomInfo) []console.Room {
	known := make(map[string]videoroom.RoomInfo, len(here))
	for _, i := range here {
		known[i.ID] = i
	}
	var used roomUse
	var asking sync.WaitGroup
	asking.Go(func() { used = n.roomsUsed(ctx) })
	list, err := videoRooms{mesh: n.mesh}.List(ctx)
	if err != nil {
		n.log.Warn("rooms of some nodes are not listed", "error", err)
	}
	asking.Wait()
	rooms := make([]console.Room, 0, len(list))
	for _, l := range list {
		i, here := known[l.Room]
		if !here {
			if i, err = videoroom.Describe(l); err != nil {
				n.log.Warn("room not understood", "room", l.Room, "error", err)
			}
		}
		rooms = append(rooms, n.consoleRoom(i, here, used))
	}
	return rooms
}

// consoleRoom is a room as the console's.
func (n *Node) consoleRoom(i videoroom.RoomInfo, here bool, used roomUse) console.Room {
	key := roomPrefix + i.ID
	return console.Room{
		Plugin: videoroom.Package, Room: i.ID, Description: i.Description, CommunityID: i.CommunityID, Private: i.Private,
		Participants: i.Participants, MaxPublishers: i.MaxPublishers, Here: here,
		Publishers: max(i.Publishers, used.publishers[key]), Subscribers: used.subscribers[key], Partial: used.partial,
		Keeper: string(n.mesh.Rooms().Keeper(key)),
	}
}

// exportJanus exports what the Janus API and its transports count.
func (n *Node) exportJanus(m *janus.Metrics) {
	type S = *janus.Metrics
	n.registry.MustRegister(
		snapshot(func() S { return m },
			gauge("cardea_janus_sessions", "Sessions.", func(m S) float64 { return float64(m.Sessions.Load()) }),
			gauge("cardea_janus_handles", "Handles.", func(m S) float64 { return float64(m.Handles.Load()) }),
			gauge("cardea_janus_peers", "PeerConnections of handles.", func(m S) float64 { return float64(m.Peers.Load()) }),
			counter("cardea_janus_sessions_created_total", "Sessions created.", func(m S) float64 { return float64(m.SessionsCreated.Load()) }),
			counter("cardea_janus_sessions_timed_out_total", "Sessions that timed out, or that a panic ended.", func(m S) float64 { return float64(m.SessionsTimedOut.Load()) }),
			counter("cardea_janus_sessions_claimed_total", "Sessions taken over by another connection.", func(m S) float64 { return float64(m.SessionsClaimed.Load()) }),
			counter("cardea_janus_sessions_refused_total", "Sessions refused because of the load or a limit.", func(m S) float64 { return float64(m.SessionsRefused.Load()) }),
			counter("cardea_janus_events_sent_total", "Events sent to clients.", func(m S) float64 { return float64(m.EventsSent.Load()) }),
			counter("cardea_janus_events_dropped_total", "Events of sessions that nobody read for too long.", func(m S) float64 { return float64(m.EventsDropped.Load()) }),
			counter("cardea_janus_plane_events_lost_total", "Times that events of the media plane were lost.", func(m S) float64 { return float64(m.PlaneEventsLost.Load()) }),
			counter("cardea_janus_panics_total", "Panics; each ended one session.", func(m S) float64 { return float64(m.Panics.Load()) }),
			counter("cardea_janus_waits_total", "Requests that waited because their handle had too many already.", func(m S) float64 { return float64(m.Waits.Load()) }),
			counter("cardea_janus_admin_requests_total", "Requests to the admin API.", func(m S) float64 { return float64(m.AdminRequests.Load()) }),
			gauge("cardea_janus_connections", "WebSocket connections.", func(m S) float64 { return float64(m.Connections.Load()) }),
			gauge("cardea_janus_polls", "Long polls that wait.", func(m S) float64 { return float64(m.Polls.Load()) }),
			counter("cardea_janus_connections_refused_total", "Connections beyond the limit, or without the subprotocol.", func(m S) float64 { return float64(m.Refused.Load()) }),
			counter("cardea_janus_connections_cut_total", "Connections cut because their client read too slowly.", func(m S) float64 { return float64(m.Cut.Load()) }),
			counter("cardea_janus_oversize_total", "Messages beyond the limit.", func(m S) float64 { return float64(m.Oversize.Load()) }),
			counter("cardea_janus_rate_limited_total", "Requests that waited because their connection sent too many.", func(m S) float64 { return float64(m.RateLimited.Load()) }),
		),
		byLabel("cardea_janus_requests_total", "Requests by verb.", "verb", m.Requests, func(verb string) string { return verb }),
		byLabel("cardea_janus_errors_total", "Error replies by code.", "code", m.Errors, func(c janus.Code) string { return strconv.Itoa(int(c)) }),
	)
}

// exportRooms exports sums over all rooms: a label for each would have no bound.
func (n *Node) exportRooms(p *videoroom.Plugin) {
	type sums struct{ rooms, participants, publishers, subscribers int }
	read := func() (s sums) {
		for _, r := range p.Overview() {
			s.rooms++
			s.participants += r.Participants
			s.publishers += r.Publishers
			s.subscribers += r.Subscribers
		}
		return s
	}
	n.registry.MustRegister(snapshot(read,
		gauge("cardea_videoroom_rooms", "Rooms that somebody on this node has to do with.", func(s sums) float64 { return float64(s.rooms) }),
		gauge("cardea_videoroom_participants", "Participants of all rooms.", func(s sums) float64 { return float64(s.participants) }),
		gauge("cardea_videoroom_publishers", "Participants who publish.", func(s sums) float64 { return float64(s.publishers) }),
		gauge("cardea_videoroom_subscribers", "Handles that subscribe to streams of a room.", func(s sums) float64 { return float64(s.subscribers) }),
	))
}

// exportMedia exports what the media plane counts.
func (n *Node) exportMedia() {
	type S = *relay.Metrics
	n.registry.MustRegister(
		snapshot(func() *relay.Relay { return n.media },
			gauge("cardea_media_peers", "Peers of the media plane.", func(r *relay.Relay) float64 { return float64(r.Peers()) }),
			gauge("cardea_media_streams", "Published streams.", func(r *relay.Relay) float64 { return float64(r.Streams()) }),
		),
		snapshot(n.media.Metrics,
			gauge("cardea_media_peers_connected", "Peers whose ICE and DTLS are done.", func(m S) float64 { return float64(m.Peer.Connected.Load()) }),
			counter("cardea_media_packets_in_total", "RTP packets received and found authentic.", func(m S) float64 { return float64(m.Peer.PacketsIn.Load()) }),
			counter("cardea_media_bytes_in_total", "Bytes of them.", func(m S) float64 { return float64(m.Peer.BytesIn.Load()) }),
			counter("cardea_media_packets_out_total", "RTP packets forwarded.", func(m S) float64 { return float64(m.Peer.PacketsOut.Load()) }),
			counter("cardea_media_bytes_out_total", "Bytes of them.", func(m S) float64 { return float64(m.Peer.BytesOut.Load()) }),
			counter("cardea_media_auth_failures_total", "SRTP and SRTCP packets that were not authentic.", func(m S) float64 { return float64(m.Peer.AuthFailures.Load()) }),
			counter("cardea_media_replayed_total", "SRTP packets that were seen before.", func(m S) float64 { return float64(m.Peer.Replayed.Load()) }),
			counter("cardea_media_malformed_total", "RTP, RTCP and STUN that could not be parsed.", func(m S) float64 { return float64(m.Peer.Malformed.Load()) }),
			counter("cardea_media_unbound_total", "RTP packets that belong to no line.", func(m S) float64 { return float64(m.Peer.Unbound.Load()) }),
			counter("cardea_media_checks_refused_total", "Connectivity checks with wrong credentials, role or attributes.", func(m S) float64 { return float64(m.Peer.ChecksRefused.Load()) }),
			counter("cardea_media_nacks_in_total", "Packets that clients asked for again.", func(m S) float64 { return float64(m.Peer.NACKsIn.Load()) }),
			counter("cardea_media_nacks_out_total", "Packets that the node asked for again.", func(m S) float64 { return float64(m.Peer.NACKsOut.Load()) }),
			counter("cardea_media_retransmitted_total", "Packets sent again.", func(m S) float64 { return float64(m.Peer.Retransmitted.Load()) }),
			counter("cardea_media_retransmissions_refused_total", "Packets not sent again: no longer kept, or beyond the cap.", func(m S) float64 { return float64(m.Peer.RetransmissionsRefused.Load()) }),
			counter("cardea_media_plis_in_total", "Keyframes that clients asked for.", func(m S) float64 { return float64(m.Peer.PLIsIn.Load()) }),
			counter("cardea_media_plis_out_total", "Keyframes that the node asked for.", func(m S) float64 { return float64(m.Peer.PLIsOut.Load()) }),
			counter("cardea_media_paddings_total", "Packets sent to probe for bandwidth.", func(m S) float64 { return float64(m.Peer.Paddings.Load()) }),
			counter("cardea_media_handshakes_total", "DTLS handshakes done.", func(m S) float64 { return float64(m.Peer.Handshakes.Load()) }),
			counter("cardea_media_handshake_failures_total", "DTLS handshakes that failed.", func(m S) float64 { return float64(m.Peer.HandshakeFailures.Load()) }),
			counter("cardea_media_ice_failures_total", "Peers whose ICE failed.", func(m S) float64 { return float64(m.Peer.ICEFailures.Load()) }),
			counter("cardea_media_messages_in_total", "Data channel messages received.", func(m S) float64 { return float64(m.Peer.MessagesIn.Load()) }),
			counter("cardea_media_messages_out_total", "Data channel messages sent.", func(m S) float64 { return float64(m.Peer.MessagesOut.Load()) }),
			counter("cardea_media_messages_dropped_total", "Data channel messages to clients that were not ready or too slow.", func(m S) float64 { return float64(m.Peer.MessagesDropped.Load()) }),
			counter("cardea_media_strangers_total", "Datagrams of media or checks that are nobody's.", func(m S) float64 { return float64(m.Strangers.Load()) }),
			counter("cardea_media_rubbish_total", "Datagrams that are nothing the node speaks.", func(m S) float64 { return float64(m.Rubbish.Load()) }),
			counter("cardea_media_bindings_total", "STUN Binding requests answered.", func(m S) float64 { return float64(m.Bindings.Load()) }),
			counter("cardea_media_faults_total", "Panics; each ended one peer.", func(m S) float64 { return float64(m.Faults.Load()) }),
			counter("cardea_media_peers_refused_total", "Peers refused by a limit.", func(m S) float64 { return float64(m.Refused.Load()) }),
		),
	)
}

// exportSockets exports sums over the media sockets.
func (n *Node) exportSockets() {
	type S = udp.Stats
	read := func() (sum S) {
		for _, socket := range n.media.Sockets() {
			s := socket.Stats()
			sum.DatagramsIn += s.DatagramsIn
			sum.BytesIn += s.BytesIn
			sum.MessagesIn += s.MessagesIn
			sum.DatagramsOut += s.DatagramsOut
			sum.BytesOut += s.BytesOut
			sum.MessagesOut += s.MessagesOut
			sum.ReceiveDrops += s.ReceiveDrops
			sum.SendDrops += s.SendDrops
			sum.SendErrors += s.SendErrors
			sum.GSORefused += s.GSORefused
		}
		return sum
	}
	n.registry.MustRegister(snapshot(read,
		counter("cardea_udp_datagrams_in_total", "Datagrams received on the media sockets.", func(s S) float64 { return float64(s.DatagramsIn) }),
		counter("cardea_udp_bytes_in_total", "Payload bytes of them.", func(s S) float64 { return float64(s.BytesIn) }),
		counter("cardea_udp_messages_in_total", "Messages they came in; fewer where the kernel joined some.", func(s S) float64 { return float64(s.MessagesIn) }),
		counter("cardea_udp_datagrams_out_total", "Datagrams sent on the media sockets.", func(s S) float64 { return float64(s.DatagramsOut) }),
		counter("cardea_udp_bytes_out_total", "Payload bytes of them.", func(s S) float64 { return float64(s.BytesOut) }),
		counter("cardea_udp_messages_out_total", "Messages they left in; fewer where some were joined.", func(s S) float64 { return float64(s.MessagesOut) }),
		counter("cardea_udp_receive_drops_total", "Datagrams that the kernel dropped, the receive buffer being full.", func(s S) float64 { return float64(s.ReceiveDrops) }),
		counter("cardea_udp_send_drops_total", "Datagrams dropped, the send buffer being full.", func(s S) float64 { return float64(s.SendDrops) }),
		counter("cardea_udp_send_errors_total", "Datagrams that the kernel refused.", func(s S) float64 { return float64(s.SendErrors) }),
		counter("cardea_udp_gso_refused_total", "Times that joined datagrams were refused.", func(s S) float64 { return float64(s.GSORefused) }),
	))
}

// exportTURN exports what the TURN server counts.
func (n *Node) exportTURN(server *turn.Server) {
	type S = *turn.Stats
	n.registry.MustRegister(snapshot(server.Stats,
		gauge("cardea_turn_allocations", "Allocations.", func(s S) float64 { return float64(s.Allocations.Load()) }),
		counter("cardea_turn_allocations_total", "Allocations ever made.", func(s S) float64 { return float64(s.AllocationsTotal.Load()) }),
		gauge("cardea_turn_connections", "TCP, TLS and DTLS connections.", func(s S) float64 { return float64(s.Streams.Load()) }),
		counter("cardea_turn_to_peer_packets_total", "Packets relayed from clients to peers.", func(s S) float64 { return float64(s.ToPeerPackets.Load()) }),
		counter("cardea_turn_to_peer_bytes_total", "Payload bytes of them.", func(s S) float64 { return float64(s.ToPeerBytes.Load()) }),
		counter("cardea_turn_from_peer_packets_total", "Packets relayed from peers to clients by channel.", func(s S) float64 { return float64(s.FromPeerPackets.Load()) }),
		counter("cardea_turn_from_peer_bytes_total", "Payload bytes of them.", func(s S) float64 { return float64(s.FromPeerBytes.Load()) }),
		counter("cardea_turn_auth_failures_total", "Requests with wrong or expired credentials.", func(s S) float64 { return float64(s.AuthFailures.Load()) }),
		counter("cardea_turn_quota_refused_total", "Allocations refused by a quota or a rate.", func(s S) float64 { return float64(s.QuotaRefused.Load()) }),
		counter("cardea_turn_rate_dropped_total", "Requests dropped by the limit for the unauthorized.", func(s S) float64 { return float64(s.RateDropped.Load()) }),
		counter("cardea_turn_denied_peers_total", "Permissions refused and packets dropped by the rules for peers.", func(s S) float64 { return float64(s.DeniedPeers.Load()) }),
		counter("cardea_turn_queue_dropped_total", "Requests dropped, the queue being full.", func(s S) float64 { return float64(s.QueueDropped.Load()) }),
		counter("cardea_turn_malformed_total", "Messages that are neither STUN nor data of a known channel.", func(s S) float64 { return float64(s.Malformed.Load()) }),
		counter("cardea_turn_refused_total", "Connections closed at once: too many, or a handshake that failed.", func(s S) float64 { return float64(s.Refused.Load()) }),
	))
}
