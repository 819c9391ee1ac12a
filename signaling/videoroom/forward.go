package videoroom

import (
	"cmp"
	"context"
	"encoding/base64"
	"math"
	"net/netip"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// srtpKeyLength is the length of an SRTP master key with its salt (RFC 3711, AES_CM_128), bytes.
const srtpKeyLength = 30

var (
	forwardParams = []janus.Param{
		{Name: "secret", Type: janus.String},
		{Name: "host", Type: janus.String, Required: true},
		{Name: "host_family", Type: janus.String},
		{Name: "simulcast", Type: janus.Bool},
		{Name: "srtp_suite", Type: janus.PosInt},
		{Name: "srtp_crypto", Type: janus.String},
		{Name: "streams", Type: janus.Array},
		{Name: "video_port", Type: janus.PosInt},
		{Name: "video_rtcp_port", Type: janus.PosInt},
		{Name: "video_ssrc", Type: janus.PosInt},
		{Name: "video_pt", Type: janus.PosInt},
		{Name: "video_port_2", Type: janus.PosInt},
		{Name: "video_ssrc_2", Type: janus.PosInt},
		{Name: "video_pt_2", Type: janus.PosInt},
		{Name: "video_port_3", Type: janus.PosInt},
		{Name: "video_ssrc_3", Type: janus.PosInt},
		{Name: "video_pt_3", Type: janus.PosInt},
		{Name: "audio_port", Type: janus.PosInt},
		{Name: "audio_rtcp_port", Type: janus.PosInt},
		{Name: "audio_ssrc", Type: janus.PosInt},
		{Name: "audio_pt", Type: janus.PosInt},
		{Name: "data_port", Type: janus.PosInt},
	}
	forwardStreamParams = []janus.Param{
		{Name: "mid", Type: janus.String, Required: true},
		{Name: "host", Type: janus.String},
		{Name: "host_family", Type: janus.String},
		{Name: "port", Type: janus.PosInt, Required: true},
		{Name: "rtcp_port", Type: janus.PosInt},
		{Name: "ssrc", Type: janus.PosInt},
		{Name: "pt", Type: janus.PosInt},
		{Name: "simulcast", Type: janus.Bool},
		{Name: "srtp_suite", Type: janus.PosInt},
		{Name: "srtp_crypto", Type: janus.String},
		{Name: "port_2", Type: janus.PosInt},
		{Name: "ssrc_2", Type: janus.PosInt},
		{Name: "pt_2", Type: janus.PosInt},
		{Name: "port_3", Type: janus.PosInt},
		{Name: "ssrc_3", Type: janus.PosInt},
		{Name: "pt_3", Type: janus.PosInt},
	}
)

// rtpForward copies streams of a publisher to UDP addresses.
func (p *Plugin) rtpForward(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, forwardParams...); err != nil {
		return nil, err
	}
	if err := check(body, p.ids.param("room", true), p.ids.param("publisher_id", true)); err != nil {
		return nil, err
	}
	if err := p.checkForwardKey(body); err != nil {
		return nil, err
	}
	host, err := p.resolve(ctx, body, body.String("host"), body.String("host_family"))
	if err != nil {
		return nil, err
	}
	req := &forwardRequest{body: body, host: host}
	if err := p.readForwardStreams(ctx, req); err != nil {
		return nil, err
	}
	if req.srtp, err = readSRTP(body); err != nil {
		return nil, err
	}
	media := p.media.Load()
	var publisher *participant
	reply, err := p.manage(ctx, body, func(r *room) (object, error) {
		id := p.ids.get(body, "publisher_id")
		var err error
		if publisher, err = r.forwarded(id); err != nil {
			return nil, err
		}
		if publisher.remote && media == nil {
			return nil, refuse(codeUnknown, "There is no media here to forward with")
		}
		reply := object{"videoroom": "rtp_forward", "room": r.id, "publisher_id": id}
		if err = req.plan(publisher, reply); err != nil {
			publisher.dropForwarders(req.forwarders)
		}
		publisher.report()
		return reply, err
	})
	if err != nil {
		return nil, err
	}
	planned := req.forwarders
	if publisher.remote {
		if req.forwarders, err = p.noteForwarders(ctx, publisher, req.forwarders); err != nil {
			return nil, err
		}
	}
	if media != nil && !publisher.dummy {
		startForwarders(ctx, *media, p.log, req.forwarders)
	}
	if req.streams != nil {
		reply["forwarders"] = publisher.room.forwarderInfos(planned)
	}
	return reply, nil
}

// forwardRequest is a request to forward, on its way to forwarders.
type forwardRequest struct {
	body       janus.Object
	host       netip.Addr
	srtp       srtp
	streams    []forwardStream // of the streams array; nil for the old form of the request
	forwarders []*forwarder
}

type forwardStream struct {
	body janus.Object
	host netip.Addr
	srtp srtp
}

// readForwardStreams checks the streams array of a request and resolves the hosts that it names.
func (p *Plugin) readForwardStreams(ctx context.Context, req *forwardRequest) error {
	if !req.body.Has("streams") {
		return nil
	}
	req.streams = []forwardStream{}
	for _, o := range req.body.Objects("streams") {
		if err := check(o, forwardStreamParams...); err != nil {
			return err
		}
		fs := forwardStream{body: o, host: req.host}
		if o.Has("host") {
			family := cmp.Or(o.String("host_family"), req.body.String("host_family"))
			host, err := p.resolve(ctx, req.body, o.String("host"), family)
			if err != nil {
				return err
			}
			fs.host = host
		}
		var err error
		if fs.srtp, err = readSRTP(o); err != nil {
			return err
		}
		fs.srtp.hidden = true
		req.streams = append(req.streams, fs)
		if len(req.streams) > maxForwarders {
			return refuse(codeUnknown, "Too many forwarders")
		}
	}
	return nil
}

// readSRTP reads how a request wants forwarded packets to be encrypted.
func readSRTP(o janus.Object) (srtp, error) {
	if !o.Has("srtp_suite") || !o.Has("srtp_crypto") {
		return srtp{}, nil
	}
	suite, _ := number(o, "srtp_suite", math.MaxInt16)
	if suite != 32 && suite != 80 {
		return srtp{}, refuse(codeInvalidElement, "Invalid SRTP suite (%d)", suite)
	}
	key, err := base64.StdEncoding.DecodeString(o.String("srtp_crypto"))
	if err != nil || len(key) < srtpKeyLength {
		return srtp{}, refuse(codeInvalidElement, "Invalid SRTP crypto (should be a key and salt of 30 bytes in base64)")
	}
	return srtp{suite: suite, key: key[:srtpKeyLength]}, nil
}

// plan registers the forwarders that the request asks for. The reply to the old form of it is complete with that.
func (req *forwardRequest) plan(p *participant, reply object) error {
	if req.streams == nil {
		return req.planLegacy(p, reply)
	}
	for _, fs := range req.streams {
		st := p.stream(fs.body.String("mid"))
		if st == nil {
			continue // as Janus: there may be others
		}
		if fs.srtp.suite == 0 {
			fs.srtp = req.srtp
		}
		ports := []string{"", "_2", "_3"}
		if st.kind != plane.Video || fs.body.Bool("simulcast", false) {
			ports = ports[:1]
		}
		for layer, suffix := range ports {
			f, err := req.add(st, fs.body, "", suffix, layer, fs.host, fs.srtp)
			if err != nil {
				return err
			}
			if f != nil {
				f.follow = fs.body.Bool("simulcast", false)
			}
		}
	}
	return nil
}

// planLegacy does so for the old form of the request, which names ports by kind.
func (req *forwardRequest) planLegacy(p *participant, reply object) error {
	told := object{"host": req.host.String(), "warning": "deprecated_api"}
	simulcast := req.body.Bool("simulcast", false)
	for _, want := range []struct {
		kind   plane.Kind
		suffix string
		layer  int
	}{{plane.Audio, "", 0}, {plane.Video, "", 0}, {plane.Video, "_2", 1}, {plane.Video, "_3", 2}, {plane.Data, "", 0}} {
		st := p.first(want.kind)
		if st == nil || simulcast && want.layer > 0 {
			continue
		}
		kind := want.kind.String()
		f, err := req.add(st, req.body, kind+"_", want.suffix, want.layer, req.host, req.srtp)
		if err != nil {
			return err
		}
		if f != nil {
			f.follow = simulcast && want.kind == plane.Video
			told[kind+"_stream_id"+want.suffix] = f.id
			told[kind+want.suffix] = f.port
		}
	}
	reply["rtp_stream"] = told
	return nil
}

// add registers a forwarder of a stream to the port that the request has under a name; nil if it has none.
func (req *forwardRequest) add(st *stream, o janus.Object, prefix, suffix string, layer int, host netip.Addr, s srtp) (*forwarder, error) {
	name := prefix + "port" + suffix
	port, _ := number(o, name, math.MaxInt32)
	if port == 0 {
		return nil, nil
	}
	if port > math.MaxUint16 {
		return nil, refuse(codeInvalidElement, "Invalid element (%s should be a port)", name)
	}
	f := &forwarder{stream: st, host: host, port: uint16(port), layer: layer}
	if st.kind != plane.Data {
		pt, _ := number(o, prefix+"pt"+suffix, math.MaxInt8)
		ssrc, _ := number(o, prefix+"ssrc"+suffix, math.MaxUint32)
		f.pt, f.ssrc, f.srtp = uint8(pt), uint32(ssrc), s
		rtcp, _ := number(o, prefix+"rtcp_port", math.MaxUint16)
		f.rtcpPort = uint16(rtcp) // for all substreams: requests say by their SSRC which one they are for
	}
	if err := st.owner.addForwarder(f); err != nil {
		return nil, err
	}
	req.forwarders = append(req.forwarders, f)
	return f, nil
}

// first returns the participant's first stream of a kind, nil when there is none.
func (p *participant) first(kind plane.Kind) *stream {
	for _, s := range p.streams {
		if s.kind == kind {
			return s
		}
	}
	return nil
}

// stopRTPForward ends one forwarder.
func (p *Plugin) stopRTPForward(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), p.ids.param("publisher_id", true), janus.Param{Name: "secret", Type: janus.String},
		janus.Param{Name: "stream_id", Type: janus.PosInt, Required: true}); err != nil {
		return nil, err
	}
	if err := p.checkForwardKey(body); err != nil {
		return nil, err
	}
	return p.direct(ctx, "stop_rtp_forward", p.ids.get(body, "publisher_id"), body)
}

// doStopForward ends a forwarder of a publisher of this node. If another node runs it, that one sees that it is gone.
func (p *Plugin) doStopForward(t *participant, body janus.Object) (reply object, after func(context.Context), err error) {
	n, _ := number(body, "stream_id", math.MaxUint32)
	f := t.forwarders[uint32(n)]
	if f == nil || f.remote != "" {
		return nil, nil, refuse(codeNoSuchFeed, "No such stream (%d)", n)
	}
	delete(t.forwarders, f.id)
	if !f.elsewhere {
		after = func(ctx context.Context) { p.stopForwarders(ctx, []string{f.name}) }
	}
	return object{"videoroom": "stop_rtp_forward", "room": t.room.id, "publisher_id": t.id, "stream_id": f.id}, after, nil
}

// publisherForwarders is what listforwarders tells of a publisher.
type publisherForwarders struct {
	PublisherID ID              `json:"publisher_id"`
	Display     *string         `json:"display,omitempty"`
	Metadata    janus.Object    `json:"metadata,omitempty"`
	Forwarders  []forwarderInfo `json:"forwarders"`
}

// listForwarders tells of the forwarders in a room, those of remotizations aside.
func (p *Plugin) listForwarders(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true)); err != nil {
		return nil, err
	}
	return p.manage(ctx, body, func(r *room) (object, error) {
		list := []publisherForwarders{}
		for _, m := range r.members {
			if len(m.forwarders) == 0 {
				continue
			}
			pf := publisherForwarders{PublisherID: m.id, Display: m.display, Metadata: m.metadata, Forwarders: []forwarderInfo{}}
			for _, st := range m.streams {
				for _, f := range m.forwarders {
					if f.stream == st && f.remote == "" {
						pf.Forwarders = append(pf.Forwarders, f.info())
					}
				}
			}
			list = append(list, pf)
		}
		return object{"videoroom": "forwarders", "room": r.id, "publishers": list}, nil
	})
}
