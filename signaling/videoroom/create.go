package videoroom

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/sdp"
)

var createParams = []janus.Param{
	{Name: "description", Type: janus.String},
	{Name: "is_private", Type: janus.Bool},
	{Name: "allowed", Type: janus.Array},
	{Name: "secret", Type: janus.String},
	{Name: "pin", Type: janus.String},
	{Name: "require_pvtid", Type: janus.Bool},
	{Name: "signed_tokens", Type: janus.Bool},
	{Name: "bitrate", Type: janus.PosInt},
	{Name: "bitrate_cap", Type: janus.Bool},
	{Name: "fir_freq", Type: janus.PosInt},
	{Name: "publishers", Type: janus.PosInt},
	{Name: "audiocodec", Type: janus.String},
	{Name: "videocodec", Type: janus.String},
	{Name: "vp9_profile", Type: janus.String},
	{Name: "h264_profile", Type: janus.String},
	{Name: "opus_fec", Type: janus.Bool},
	{Name: "opus_dtx", Type: janus.Bool},
	{Name: "opus_red", Type: janus.Bool},
	{Name: "video_svc", Type: janus.Bool},
	{Name: "audiolevel_ext", Type: janus.Bool},
	{Name: "audiolevel_event", Type: janus.Bool},
	{Name: "audio_active_packets", Type: janus.PosInt},
	{Name: "audio_level_average", Type: janus.PosInt},
	{Name: "videoorient_ext", Type: janus.Bool},
	{Name: "playoutdelay_ext", Type: janus.Bool},
	{Name: "transport_wide_cc_ext", Type: janus.Bool},
	{Name: "record", Type: janus.Bool},
	{Name: "rec_dir", Type: janus.String},
	{Name: "lock_record", Type: janus.Bool},
	{Name: "permanent", Type: janus.Bool},
	{Name: "notify_joining", Type: janus.Bool},
	{Name: "require_e2ee", Type: janus.Bool},
	{Name: "dummy_publisher", Type: janus.Bool},
	{Name: "dummy_streams", Type: janus.Array},
	{Name: "dummy_e2ee", Type: janus.Bool},
}

// maxCodecs is how many codecs of a list count.
const maxCodecs = 5

// create makes a room.
func (p *Plugin) create(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, createParams...); err != nil {
		return nil, err
	}
	if err := check(body, p.ids.param("room", false)); err != nil {
		return nil, err
	}
	if err := p.checkAdminKey(body); err != nil {
		return nil, err
	}
	community, err := communityID(body, "community_id", "guild_id")
	if err != nil {
		return nil, err
	}
	cfg := DefaultRoom("")
	cfg.CommunityID = community
	if err := cfg.read(body); err != nil {
		return nil, err
	}
	permanent := body.Bool("permanent", false)
	if permanent && !p.keeps() {
		return nil, refuse(codeUnknown, "No configuration file, can't create permanent room")
	}
	id := p.ids.get(body, "room")
	if p.ids.absent(body, "room") {
		id = p.ids.random(func(id ID) bool { return p.find(id) != nil })
	}
	cfg.ID = id.String()
	cfg.normal()
	reply := cfg.tagged(object{"videoroom": "created", "room": id, "permanent": permanent})
	if p.cfg.Mesh != nil {
		return reply, p.createShared(ctx, id, cfg, permanent)
	}
	if permanent {
		p.storing.Lock()
		defer p.storing.Unlock()
	}
	if p.insert(id, cfg) == nil {
		if p.find(id) != nil {
			return nil, refuse(codeRoomExists, "Room %s already exists", id)
		}
		return nil, refuse(codeUnknown, "Too many rooms")
	}
	if permanent {
		reply["permanent"] = p.save(cfg)
	}
	return reply, nil
}

// createShared makes a room that all nodes share.
func (p *Plugin) createShared(ctx context.Context, id ID, cfg RoomConfig, permanent bool) error {
	if !id.shareable() {
		return refuse(codeInvalidElement, "Invalid element value (room should be 1 to %d bytes long)", MaxMeshID)
	}
	record, err := writeRecord(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, meshTime)
	defer cancel()
	if err := p.cfg.Mesh.Create(ctx, id.String(), record, permanent); err != nil {
		return meshError(err, id)
	}
	return nil
}

// read takes the options of a create request that was checked.
func (c *RoomConfig) read(body janus.Object) error {
	var err error
	c.Description = body.String("description")
	c.Private = body.Bool("is_private", false)
	if c.AudioCodecs, err = codecList(body, "audiocodec", plane.Audio, c.AudioCodecs,
		"opus, isac32, isac16, pcmu, pcma or g722"); err != nil {
		return err
	}
	if c.VideoCodecs, err = codecList(body, "videocodec", plane.Video, c.VideoCodecs, "vp8, vp9, av1, h264 or h265"); err != nil {
		return err
	}
	if c.Allowed, err = tokens(body); err != nil {
		return err
	}
	c.CheckAllowed = body.Has("allowed")
	c.Secret, c.Pin = optional(body, "secret"), optional(body, "pin")
	c.RequirePrivateID = body.Bool("require_pvtid", false)
	c.SignedTokens = body.Bool("signed_tokens", false)
	c.RequireE2EE = body.Bool("require_e2ee", false)
	if n, ok := number(body, "publishers", math.MaxInt32); ok {
		c.Publishers = n
	}
	if n, ok := number(body, "bitrate", math.MaxUint32); ok {
		c.Bitrate = uint32(n)
	}
	c.BitrateCap = body.Bool("bitrate_cap", false)
	if n, ok := number(body, "fir_freq", math.MaxInt16); ok {
		c.FIRFreq = n
	}
	c.readCodecOptions(body)
	c.readExtensions(body)
	c.Record, c.RecDir = body.Bool("record", false), optional(body, "rec_dir")
	c.LockRecord = body.Bool("lock_record", false)
	c.NotifyJoining = body.Bool("notify_joining", false)
	c.DummyPublisher = body.Bool("dummy_publisher", false)
	c.DummyE2EE = body.Bool("dummy_e2ee", false)
	for _, d := range body.Objects("dummy_streams") {
		codec, ok := d["codec"].(string)
		if err := check(d, janus.Param{Name: "codec"}, janus.Param{Name: "fmtp"}); err != nil {
			return err
		}
		if ok && len(c.DummyStreams) < maxCodecs*2 {
			c.DummyStreams = append(c.DummyStreams, DummyStream{Codec: codec, Fmtp: d.String("fmtp")})
		}
	}
	return nil
}

// readCodecOptions takes what only counts together with certain codecs.
func (c *RoomConfig) readCodecOptions(body janus.Object) {
	if slices.Contains(c.VideoCodecs, "vp9") {
		c.VP9Profile = body.String("vp9_profile")
	}
	if slices.Contains(c.VideoCodecs, "h264") {
		c.H264Profile = body.String("h264_profile")
	}
	opus := slices.Contains(c.AudioCodecs, "opus")
	if body.Has("opus_fec") {
		c.OpusFEC = body.Bool("opus_fec", false) && opus
	}
	c.OpusDTX = body.Bool("opus_dtx", false) && opus
	c.OpusRED = body.Bool("opus_red", false) && opus
	c.VideoSVC = body.Bool("video_svc", false) && len(c.VideoCodecs) == 1 && c.VideoCodecs[0] == "vp9"
}

// readExtensions takes the options of header extensions and of the detection of talkers.
func (c *RoomConfig) readExtensions(body janus.Object) {
	c.AudioLevelExt = body.Bool("audiolevel_ext", true)
	c.AudioLevelEvent = body.Bool("audiolevel_event", false)
	if c.AudioLevelEvent {
		c.AudioActivePackets, _ = number(body, "audio_active_packets", math.MaxInt16)
		c.AudioLevelAverage, _ = number(body, "audio_level_average", math.MaxInt16)
	}
	c.VideoOrientExt = body.Bool("videoorient_ext", true)
	c.PlayoutDelayExt = body.Bool("playoutdelay_ext", true)
	c.TransportCCExt = body.Bool("transport_wide_cc_ext", true)
}

// validate checks the options of a configured room as create checks those of a request.
func (c *RoomConfig) validate() error {
	for kind, list := range map[plane.Kind][]string{plane.Audio: c.AudioCodecs, plane.Video: c.VideoCodecs} {
		if len(list) > maxCodecs {
			return fmt.Errorf("more than %d %s codecs", maxCodecs, kind)
		}
		for _, name := range list {
			if !sdp.KnownCodec(kind, name) {
				return fmt.Errorf("unknown %s codec %q", kind, name)
			}
		}
	}
	if c.Publishers < 0 {
		return fmt.Errorf("publishers %d is negative", c.Publishers)
	}
	return nil
}

// codecList reads a list of codecs separated by commas.
func codecList(body janus.Object, name string, kind plane.Kind, def []string, known string) ([]string, error) {
	s := body.String(name)
	if s == "" {
		return def, nil
	}
	var list []string
	for i, codec := range strings.SplitN(s, ",", maxCodecs+1) {
		if i == maxCodecs {
			break
		}
		codec = strings.ToLower(codec)
		if !sdp.KnownCodec(kind, codec) {
			return nil, refuse(codeInvalidElement, "Invalid element (%s can only be or contain %s)", name, known)
		}
		list = append(list, codec)
	}
	return list, nil
}

// tokens reads the allowed array of a request.
func tokens(body janus.Object) ([]string, error) {
	var list []string
	for _, v := range body.Array("allowed") {
		s, ok := v.(string)
		if !ok {
			return nil, refuse(codeInvalidElement, "Invalid element in the allowed array (not a string)")
		}
		if err := checkSize(s, "allowed"); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// communityID reads the community of a request, under the first of its names that is there.
func communityID(body janus.Object, names ...string) (json.RawMessage, error) {
	for _, name := range names {
		switch v := body[name].(type) {
		case nil:
			continue
		case string, json.Number:
			if err := checkSize(v, name); err != nil {
				return nil, err
			}
			b, err := json.Marshal(v)
			if err != nil {
				return nil, refuse(codeInvalidElement, "Invalid element (%s)", name)
			}
			return b, nil
		default:
			return nil, refuse(codeInvalidElement, "Invalid element type (%s should be a string or a number)", name)
		}
	}
	return nil, nil
}
