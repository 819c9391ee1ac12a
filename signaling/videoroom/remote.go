package videoroom

import (
	"context"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/sdp"
)

// The SSRCs of the streams of a remotized publisher: the node that receives them tells streams apart by these.
const (
	remoteBaseSSRC = 1000
	remoteSSRCStep = 10
)

// maxRemotes bounds the remotizations of a publisher.
const maxRemotes = 16

var (
	publishRemotelyParams = []janus.Param{
		{Name: "secret", Type: janus.String},
		{Name: "remote_id", Type: janus.String, Required: true},
		{Name: "host", Type: janus.String, Required: true},
		{Name: "host_family", Type: janus.String},
		{Name: "port", Type: janus.PosInt, Required: true},
		{Name: "rtcp_port", Type: janus.PosInt},
		{Name: "srtp_suite", Type: janus.PosInt},
		{Name: "srtp_crypto", Type: janus.String},
	}
	remotePublisherParams = []janus.Param{
		{Name: "secret", Type: janus.String},
		{Name: "display", Type: janus.String},
		{Name: "mcast", Type: janus.String},
		{Name: "iface", Type: janus.String},
		{Name: "port", Type: janus.PosInt},
		{Name: "streams", Type: janus.Array, Required: true},
		{Name: "metadata", Type: janus.Objects},
		{Name: "srtp_suite", Type: janus.PosInt},
		{Name: "srtp_crypto", Type: janus.String},
	}
	remoteStreamParams = []janus.Param{
		{Name: "mid", Type: janus.String, Required: true},
		{Name: "mindex", Type: janus.PosInt, Required: true},
		{Name: "type", Type: janus.String, Required: true},
		{Name: "codec", Type: janus.String},
		{Name: "description", Type: janus.String},
		{Name: "disabled", Type: janus.Bool},
		{Name: "stereo", Type: janus.Bool},
		{Name: "fec", Type: janus.Bool},
		{Name: "dtx", Type: janus.Bool},
		{Name: "h264_profile", Type: janus.String},
		{Name: "vp9_profile", Type: janus.String},
		{Name: "simulcast", Type: janus.Bool},
		{Name: "svc", Type: janus.Bool},
		{Name: "audiolevel_ext_id", Type: janus.Int},
		{Name: "videoorient_ext_id", Type: janus.Int},
		{Name: "playoutdelay_ext_id", Type: janus.Int},
	}
)

// remote is a remotization: all streams of a publisher, sent to a room of another server.
type remote struct {
	id       string
	host     netip.Addr
	port     uint16
	rtcpPort uint16
	srtp     srtp
}

// publishRemotely begins to send a publisher's streams, and those that come later, to another server.
func (p *Plugin) publishRemotely(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, publishRemotelyParams...); err != nil {
		return nil, err
	}
	if err := check(body, p.ids.param("room", true), p.ids.param("publisher_id", true)); err != nil {
		return nil, err
	}
	if err := p.checkForwardKey(body); err != nil {
		return nil, err
	}
	if port, _ := number(body, "port", math.MaxUint16); port == 0 {
		return nil, refuse(codeInvalidElement, "Invalid element (port must be a non-zero positive integer)")
	}
	host, err := p.resolve(ctx, body, body.String("host"), body.String("host_family"))
	if err != nil {
		return nil, err
	}
	if _, err := readSRTP(body); err != nil {
		return nil, err
	}
	body = maps.Clone(body)
	body["host"] = host.String()
	return p.direct(ctx, "publish_remotely", p.ids.get(body, "publisher_id"), body)
}

// doPublishRemotely does so with a publisher of this node. The host is an address.
func (p *Plugin) doPublishRemotely(t *participant, body janus.Object) (reply object, after func(context.Context), err error) {
	rem := &remote{id: body.String("remote_id")}
	port, _ := number(body, "port", math.MaxUint16)
	rtcp, _ := number(body, "rtcp_port", math.MaxUint16)
	rem.port, rem.rtcpPort = uint16(port), uint16(rtcp)
	if rem.host, err = netip.ParseAddr(body.String("host")); err != nil {
		return nil, nil, refuse(codeInvalidElement, "Could not resolve address (%s)...", body.String("host"))
	}
	if rem.srtp, err = readSRTP(body); err != nil {
		return nil, nil, err
	}
	switch {
	case t.remotes[rem.id] != nil:
		return nil, nil, refuse(codeIDExists, "Remotization already exists (%s)", rem.id)
	case len(t.remotes) >= maxRemotes:
		return nil, nil, refuse(codeUnknown, "Too many remotizations")
	}
	t.remotes[rem.id] = rem
	if list := t.remotizeTo(rem, t.streams); t.session != nil {
		after = func(ctx context.Context) { startForwarders(ctx, t.session.h.Plane(), t.session.h.Log(), list) }
	}
	return object{"videoroom": "success", "room": t.room.id, "id": t.id, "remote_id": rem.id}, after, nil
}

// remotize makes the forwarders that send streams to all servers the participant is sent to.
func (p *participant) remotize(streams []*stream) []*forwarder {
	var list []*forwarder
	for _, rem := range p.remotes {
		list = append(list, p.remotizeTo(rem, streams)...)
	}
	return list
}

// remotizeTo makes the forwarders that send streams to one server: one for each simulcast substream.
func (p *participant) remotizeTo(rem *remote, streams []*stream) []*forwarder {
	var list []*forwarder
	for _, st := range streams {
		layers := 1
		if st.simulcast {
			layers = min(max(st.encodings, 1), 3)
		}
		for layer := range layers {
			f := &forwarder{stream: st, host: rem.host, port: rem.port, layer: layer, srtp: rem.srtp, remote: rem.id}
			if st.kind != plane.Data {
				f.ssrc = uint32(remoteBaseSSRC + st.mindex*remoteSSRCStep + layer)
				f.pt = defaultPayloadType(st)
			}
			if st.kind == plane.Video {
				f.rtcpPort = rem.rtcpPort // keyframe requests come from there, whichever stream they are for
			}
			if p.addForwarder(f) != nil {
				return list
			}
			list = append(list, f)
		}
	}
	return list
}

// defaultPayloadType is the payload type of a stream's codec that both ends of a remotization use.
func defaultPayloadType(st *stream) uint8 {
	m := sdp.NewOffer(sdp.Feed{Kind: st.kind, Mid: st.mid, Codec: st.codec})
	c, _ := m.Codec()
	return c.PayloadType
}

// unpublishRemotely ends a remotization.
func (p *Plugin) unpublishRemotely(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, janus.Param{Name: "secret", Type: janus.String},
		janus.Param{Name: "remote_id", Type: janus.String, Required: true}); err != nil {
		return nil, err
	}
	if err := check(body, p.ids.param("room", true), p.ids.param("publisher_id", true)); err != nil {
		return nil, err
	}
	return p.direct(ctx, "unpublish_remotely", p.ids.get(body, "publisher_id"), body)
}

// doUnpublishRemotely does so with a publisher of this node.
func (p *Plugin) doUnpublishRemotely(t *participant, body janus.Object) (reply object, after func(context.Context), err error) {
	id := body.String("remote_id")
	if t.remotes[id] == nil {
		return nil, nil, refuse(codeNoSuchFeed, "No such remotization (%s)", id)
	}
	delete(t.remotes, id)
	var ended []string
	for fid, f := range t.forwarders {
		if f.remote == id {
			ended = append(ended, f.name)
			delete(t.forwarders, fid)
		}
	}
	after = func(ctx context.Context) { p.stopForwarders(ctx, ended) }
	return object{"videoroom": "success", "room": t.room.id, "id": t.id}, after, nil
}

// remoteInfo is what listremotes tells of a remotization.
type remoteInfo struct {
	RemoteID string `json:"remote_id"`
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	RTCPPort uint16 `json:"rtcp_port,omitempty"`
}

// listRemotes tells of the remotizations of a publisher.
func (p *Plugin) listRemotes(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), p.ids.param("publisher_id", true)); err != nil {
		return nil, err
	}
	return p.direct(ctx, "listremotes", p.ids.get(body, "publisher_id"), body)
}

// doListRemotes does so with a publisher of this node.
func (p *Plugin) doListRemotes(t *participant, _ janus.Object) (object, func(context.Context), error) {
	list := []remoteInfo{}
	for _, rem := range t.remotes {
		list = append(list, remoteInfo{RemoteID: rem.id, Host: rem.host.String(), Port: rem.port, RTCPPort: rem.rtcpPort})
	}
	slices.SortFunc(list, func(a, b remoteInfo) int { return strings.Compare(a.RemoteID, b.RemoteID) })
	return object{"videoroom": "success", "room": t.room.id, "id": t.id, "list": list}, nil, nil
}

// addRemotePublisher would make a participant of another server's publisher, which cannot be received yet.
func (p *Plugin) addRemotePublisher(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), p.ids.param("id", false)); err != nil {
		return nil, err
	}
	if err := check(body, remotePublisherParams...); err != nil {
		return nil, err
	}
	if len(body.Array("streams")) == 0 {
		return nil, refuse(codeInvalidElement, "Invalid element value (streams can't be empty)")
	}
	if err := checkRemoteStreams(body); err != nil {
		return nil, err
	}
	return p.manage(ctx, body, func(r *room) (object, error) {
		if id := p.ids.get(body, "id"); !p.ids.absent(body, "id") && r.byID[id] != nil {
			return nil, refuse(codeIDExists, "User ID %s already exists", id)
		}
		return nil, refuse(codeUnknown, "Remote publishers cannot be added: this server links its nodes by itself")
	})
}

// updateRemotePublisher would change a remote publisher; there are none.
func (p *Plugin) updateRemotePublisher(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), p.ids.param("id", true), janus.Param{Name: "secret", Type: janus.String},
		janus.Param{Name: "display", Type: janus.String}, janus.Param{Name: "streams", Type: janus.Array, Required: true}); err != nil {
		return nil, err
	}
	if err := checkRemoteStreams(body); err != nil {
		return nil, err
	}
	return p.noRemotePublisher(ctx, body)
}

// removeRemotePublisher would take a remote publisher away; there are none.
func (p *Plugin) removeRemotePublisher(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), p.ids.param("id", true)); err != nil {
		return nil, err
	}
	return p.noRemotePublisher(ctx, body)
}

func (p *Plugin) noRemotePublisher(ctx context.Context, body janus.Object) (object, error) {
	return p.manage(ctx, body, func(*room) (object, error) {
		return nil, refuse(codeNoSuchFeed, "No such remote publisher (%s)", p.ids.get(body, "id"))
	})
}

// checkRemoteStreams checks the streams that a request says a remote publisher has.
func checkRemoteStreams(body janus.Object) error {
	for _, o := range body.Objects("streams") {
		if err := check(o, remoteStreamParams...); err != nil {
			return err
		}
		var kind plane.Kind
		switch strings.ToLower(o.String("type")) {
		case "audio":
			kind = plane.Audio
		case "video":
			kind = plane.Video
		case "data":
			continue
		default:
			return refuse(codeInvalidElement, "Invalid element value (type)")
		}
		if !o.Has("codec") {
			return refuse(codeMissingElement, "Missing mandatory element (codec)")
		}
		if !sdp.KnownCodec(kind, strings.ToLower(o.String("codec"))) {
			return refuse(codeMissingElement, "Invalid element value (unsupported codec)")
		}
	}
	return nil
}
