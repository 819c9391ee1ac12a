package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"cardea/mesh/session"
	"cardea/node/config"
	"cardea/relay/link"
	"cardea/signaling/echotest"
	"cardea/signaling/janus"
	"cardea/signaling/transport"
	"cardea/signaling/videoroom"
)

// addSignaling makes the Janus API on the ports that are open for it.
func (n *Node) addSignaling() error {
	if !n.cfg.Node.Has(config.PlaneSignaling) {
		return nil
	}
	rooms, err := videoroom.New(n.videoRoomConfig())
	if err != nil {
		return err
	}
	c := n.cfg
	server, err := janus.New(janus.Config{
		Node: processName(n.cluster.Self().ID), Plane: n.mesh.Plane(), Mesh: n.mesh.Sessions(), MediaOutlives: n.mediaOutlives,
		Plugins: []janus.Plugin{rooms, echotest.Plugin{}}, Log: n.log, Events: n.events,
		APISecret: string(c.Janus.APISecret), TokenAuth: c.Janus.TokenAuth, TokenSecret: string(c.Janus.TokenAuthSecret),
		SessionTimeout: never(c.Janus.SessionTimeout), ReclaimTimeout: never(c.Janus.ReclaimSessionTimeout),
		StatsPeriod: never(c.Events.StatsPeriod), CandidatesTimeout: c.Janus.CandidatesTimeout, NoMediaTimer: c.Janus.NoMediaTimer,
		SlowLinkThreshold: c.Janus.SlowLinkThreshold, OpaqueIDInAPI: c.Janus.OpaqueIDInAPI,
		MaxSessions: c.Limits.Sessions, MaxHandles: c.Limits.HandlesPerSession, CreateRate: c.Limits.SessionRate,
		CreateBurst: createBurst(c.Limits), Admit: n.load.Admit,
		Info: janus.Info{ServerName: n.serverName(), ICELite: true, ICETCP: c.Media.TCP, Transports: transport.Components(), EventHandlers: n.eventComponents()},
	})
	if err != nil {
		return err
	}
	n.server = server
	n.mesh.Sessions().Serve(session.Local{Call: server.FarCall, Poll: server.FarPoll, Connect: server.FarConnect, Lost: server.Lost})
	for _, r := range rooms.Records() {
		n.mesh.Rooms().Configure(roomPrefix+r.Room, r.Record)
	}
	n.services = append(n.services, service{"janus", func(ctx context.Context) error {
		defer rooms.Close()
		return server.Run(ctx)
	}})
	n.addFigures(server, rooms)
	return n.addTransports(server)
}

// eventComponents describes the event handlers to the info request.
func (n *Node) eventComponents() map[string]janus.Component {
	if n.events == nil {
		return nil
	}
	all := make(map[string]janus.Component, len(n.eventHandlers))
	for name := range n.eventHandlers {
		all[name] = janus.Component{Name: name, Author: "Cardea", Description: "Tells what happens.", VersionString: Version(), Version: 1}
	}
	return all
}

// createBurst is how many sessions an address may create at once: ten seconds' worth.
func createBurst(l config.Limits) int { return int(10 * l.SessionRate) }

// processName names this process among all nodes and all times: peers are called by it.
func processName(id link.NodeID) string {
	var start [5]byte
	_, _ = rand.Read(start[:]) // it never fails
	return string(id) + "-" + hex.EncodeToString(start[:])
}

// never turns a configured 0, which switches a timeout off, into what the server knows for that.
func never(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func (n *Node) serverName() string {
	if n.cfg.Janus.ServerName != "" {
		return n.cfg.Janus.ServerName
	}
	return n.name
}

// addTransports serves the API and, if there is a secret for it, the admin API on their listeners.
func (n *Node) addTransports(server *janus.Server) error {
	c := n.cfg.Janus
	limits := transport.Limits{
		MaxMessage: int64(n.cfg.Limits.MessageSize), Rate: float64(n.cfg.Limits.RequestsPerSecond),
		Burst: 10 * n.cfg.Limits.RequestsPerSecond,
	}
	proxies := prefixes(c.TrustedProxies)
	hc := transport.HTTPConfig{
		Server: server, Limits: limits, Origins: c.AllowedOrigins, Proxies: proxies, Events: n.events, Log: n.log, Beside: n.finder.beside(),
		Redirect: n.redirect(),
	}
	wc := transport.WebSocketConfig{
		APIs: map[string]transport.API{transport.Subprotocol: server}, Metrics: server.Metrics(), Limits: limits,
		Origins: c.AllowedOrigins, Proxies: proxies, Events: n.events, Log: n.log, Beside: n.finder.beside(),
	}
	web, socket := transport.NewHTTP(hc), transport.NewWebSocket(wc)
	var adminWeb *transport.HTTP
	var adminSocket *transport.WebSocket
	if c.AdminSecret != "" {
		queries := map[string]func(janus.Object) any{}
		admin, err := janus.NewAdmin(server, janus.AdminConfig{
			Secret: string(c.AdminSecret), Level: n.level, Transports: queries, EventHandlers: n.eventHandlers, STUN: askSTUN,
		})
		if err != nil {
			return err
		}
		hc.Admin, hc.Beside, hc.Redirect, wc.Beside = admin, nil, nil, nil
		wc.APIs = map[string]transport.API{transport.AdminSubprotocol: admin}
		adminWeb, adminSocket = transport.NewHTTP(hc), transport.NewWebSocket(wc)
		maps.Copy(queries, transport.Queries(web, adminWeb, socket, adminSocket))
	}
	n.changeable(func(c *config.Config) {
		web.SetCallers(callers(c))
		socket.SetCallers(callers(c))
		if adminWeb != nil {
			adminWeb.SetCallers(callers(c))
			adminSocket.SetCallers(callers(c))
		}
	}, "janus.allowed_origins", "janus.trusted_proxies", "limits.requests_per_second")
	n.changeable(func(c *config.Config) { server.SetCreateRate(c.Limits.SessionRate, createBurst(c.Limits)) }, "limits.session_rate")
	for _, l := range n.open {
		var run func(ctx context.Context, ln net.Listener, certs *tls.Config) error
		switch strings.TrimPrefix(l.Option, "janus.") {
		case "ws_port", "wss_port":
			run = socket.Serve
		case "http_port", "https_port":
			run = web.Serve
		case "admin_port":
			run = adminWeb.Serve
		case "admin_ws_port":
			run = adminSocket.Serve
		default:
			continue
		}
		n.services = append(n.services, service{l.Option, func(ctx context.Context) error { return run(ctx, l.socket, nil) }})
	}
	return nil
}

func (n *Node) videoRoomConfig() videoroom.Config {
	c := n.cfg.VideoRoom
	vc := videoroom.Config{
		AdminKey: string(c.AdminKey), LockRTPForward: c.LockRTPForward, StringIDs: c.StringIDs, Mesh: videoRooms{n.mesh, n.roomsHad()}, Events: n.events,
		Quality: n.tookQuality,
		Log:     n.log,
	}
	for _, r := range c.Rooms {
		vc.Rooms = append(vc.Rooms, roomConfig(r))
	}
	return vc
}

// roomConfig turns a configured room into the plugin's.
func roomConfig(r config.Room) videoroom.RoomConfig {
	rc := videoroom.RoomConfig{
		ID: r.Room, Description: r.Description, Private: r.IsPrivate, Secret: given(string(r.Secret)), Pin: given(string(r.Pin)),
		RequirePrivateID: r.RequirePvtID, SignedTokens: r.SignedTokens, CheckAllowed: r.Allowed != nil, RequireE2EE: r.RequireE2EE,
		Publishers: r.Publishers, Bitrate: uint32(r.Bitrate), BitrateCap: r.BitrateCap, FIRFreq: r.FIRFreq, //nolint:gosec // validated
		AudioCodecs: strings.Split(r.AudioCodec, ","), VideoCodecs: strings.Split(r.VideoCodec, ","),
		VP9Profile: r.VP9Profile, H264Profile: r.H264Profile, OpusFEC: r.OpusFEC, OpusDTX: r.OpusDTX, OpusRED: r.OpusRED, VideoSVC: r.VideoSVC,
		AudioLevelExt: r.AudioLevelExt, AudioLevelEvent: r.AudioLevelEvent, AudioActivePackets: r.AudioActivePackets,
		AudioLevelAverage: r.AudioLevelAverage, VideoOrientExt: r.VideoOrientExt, PlayoutDelayExt: r.PlayoutDelayExt,
		TransportCCExt: r.TransportWideCCExt, Record: r.Record, RecDir: given(r.RecDir), LockRecord: r.LockRecord,
		NotifyJoining: r.NotifyJoining, DummyPublisher: r.DummyPublisher, DummyE2EE: r.DummyE2EE,
	}
	for _, a := range r.Allowed {
		rc.Allowed = append(rc.Allowed, string(a))
	}
	for _, d := range r.DummyStreams {
		rc.DummyStreams = append(rc.DummyStreams, videoroom.DummyStream{Codec: d.Codec, Fmtp: d.Fmtp})
	}
	if r.CommunityID != "" {
		rc.CommunityID, _ = json.Marshal(r.CommunityID) // a string always can be
	}
	return rc
}

// given returns nil for an option that is not set.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// mediaOutlives tells whether a session's media goes on when this process stops.
func (n *Node) mediaOutlives(session uint64) bool {
	at := n.mesh.Places(session)
	return n.media == nil || len(at) > 0 && !slices.Contains(at, n.cluster.Self().ID)
}
