package videoroom

import (
	"context"
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
	rem := &remote{id: body.String("remote_id")}
	port, _ := number(body, "port", math.MaxUint16)
	rtcp, _ := number(body, "rtcp_port", math.MaxUint16)
	rem.port, rem.rtcpPort = uint16(port), uint16(rtcp)
	if port == 0 {
		return nil, refuse(codeInvalidElement, "Invalid element (port must be a non-zero positive integer)")
	}
	var err error
	if rem.host, err = p.resolve(ctx, body, body.String("host"), body.String("host_family")); err != nil {
		return nil, err
	}
	if rem.srtp, err = readSRTP(body); err != nil {
		return nil, err
	}
	var publisher *participant
	var list []*forwarder
	reply, err := p.manage(body, func(r *room) (object, error) {
		id := p.ids.get(body, "publisher_id")
		publisher = r.byID[id]
		switch {
		case publisher == nil:
			return nil, refuse(codeNoSuchFeed, "No such feed (%s)", id)
		case publisher.remotes[rem.id] != nil:
			return nil, refuse(codeIDExists, "Remotization already exists (%s)", rem.id)
		case len(publisher.remotes) >= maxRemotes:
			return nil, refuse(codeUnknown, "Too many remotizations")
		}
		publisher.remotes[rem.id] = rem
		list = publisher.remotizeTo(rem, publisher.streams)
		return object{"videoroom": "success", "room": r.id, "id": id, "remote_id": rem.id}, nil
	})
	if err != nil {
		return nil, err
	}
	if publisher.session != nil {
		startForwarders(ctx, publisher.session.h, list)
	}
	return reply, nil
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
			if st.kind == plane.Video && layer == 0 {
				f.rtcpPort = rem.rtcpPort // keyframe requests come back there, whichever stream they are for
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
	var publisher *participant
	var ended []string
	reply, err := p.manage(body, func(r *room) (object, error) {
		id, remoteID := p.ids.get(body, "publisher_id"), body.String("remote_id")
		if publisher = r.byID[id]; publisher == nil {
			return nil, refuse(codeNoSuchFeed, "No such publisher (%s)", id)
		}
		if publisher.remotes[remoteID] == nil {
			return nil, refuse(codeNoSuchFeed, "No such remotization (%s)", remoteID)
		}
		delete(publisher.remotes, remoteID)
		for fid, f := range publisher.forwarders {
			if f.remote == remoteID {
				ended = append(ended, f.name)
				delete(publisher.forwarders, fid)
			}
		}
		return object{"videoroom": "success", "room": r.id, "id": id}, nil
	})
	if err != nil {
		return nil, err
	}
	if publisher.session != nil {
		stopForwarders(ctx, publisher.session.h, ended)
	}
	return reply, nil
}

// remoteInfo is what listremotes tells of a remotization.
type remoteInfo struct {
	RemoteID string `json:"remote_id"`
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	RTCPPort uint16 `json:"rtcp_port,omitempty"`
}

// listRemotes tells of the remotizations of a publisher.
func (p *Plugin) listRemotes(_ context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), p.ids.param("publisher_id", true)); err != nil {
		return nil, err
	}
	return p.manage(body, func(r *room) (object, error) {
		id := p.ids.get(body, "publisher_id")
		publisher := r.byID[id]
		if publisher == nil {
			return nil, refuse(codeNoSuchFeed, "No such publisher (%s)", id)
		}
		list := []remoteInfo{}
		for _, rem := range publisher.remotes {
			list = append(list, remoteInfo{RemoteID: rem.id, Host: rem.host.String(), Port: rem.port, RTCPPort: rem.rtcpPort})
		}
		slices.SortFunc(list, func(a, b remoteInfo) int { return strings.Compare(a.RemoteID, b.RemoteID) })
		return object{"videoroom": "success", "room": r.id, "id": id, "list": list}, nil
	})
}

// addRemotePublisher would make a participant of another server's publisher, which cannot be received yet.
func (p *Plugin) addRemotePublisher(_ context.Context, body janus.Object) (object, error) {
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
	return p.manage(body, func(r *room) (object, error) {
		if id := p.ids.get(body, "id"); !p.ids.absent(body, "id") && r.byID[id] != nil {
			return nil, refuse(codeIDExists, "User ID %s already exists", id)
		}
		return nil, refuse(codeUnknown, "Remote publishers cannot be added: this server links its nodes by itself")
	})
}

// updateRemotePublisher would change a remote publisher; there are none.
func (p *Plugin) updateRemotePublisher(_ context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), p.ids.param("id", true), janus.Param{Name: "secret", Type: janus.String},
		janus.Param{Name: "display", Type: janus.String}, janus.Param{Name: "streams", Type: janus.Array, Required: true}); err != nil {
		return nil, err
	}
	if err := checkRemoteStreams(body); err != nil {
		return nil, err
	}
	return p.noRemotePublisher(body)
}

// removeRemotePublisher would take a remote publisher away; there are none.
func (p *Plugin) removeRemotePublisher(_ context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), p.ids.param("id", true)); err != nil {
		return nil, err
	}
	return p.noRemotePublisher(body)
}

func (p *Plugin) noRemotePublisher(body janus.Object) (object, error) {
	return p.manage(body, func(*room) (object, error) {
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
