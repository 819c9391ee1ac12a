package sdp

import (
	"slices"
	"strconv"
	"strings"

	"cardea/relay/plane"
)

// Choice is what the server wants of one offered line. The zero Choice leaves the line open and inactive.
type Choice struct {
	// Reject refuses the line.
	Reject bool
	// Direction is the most the node wants; what the offer does not allow is taken away.
	Direction plane.Direction
	// Codecs are the acceptable ones by their names in the Janus API, the best first; a line that offers none of them
	// is refused. Empty means any, in Janus's order of preference.
	Codecs []string
	// H264Profile (profile-level-id) and VP9Profile (profile-id), when not empty, must be matched by the format.
	H264Profile, VP9Profile string
	// RED accepts RED (RFC 2198) along with Opus.
	RED RED
	// OpusFEC, OpusDTX and OpusStereo repeat what the offer says of useinbandfec, usedtx and stereo.
	OpusFEC, OpusDTX, OpusStereo bool
	// Extensions are the URIs of acceptable header extensions.
	Extensions []string
	// Bandwidth is the most the client should send, bits/s; 0 for no limit.
	Bandwidth uint32
	// Msid overrides "janus janus<mid>".
	Msid string
}

// RED says whether RED (RFC 2198) is accepted along with Opus, and which of the two is the preferred: that is what a
// browser then sends.
type RED uint8

// The ways to take RED.
const (
	NoRED      RED = iota
	OfferedRED     // as the offer prefers
	PreferRED      // before Opus
)

// NewAnswer answers an offer line by line: choose is asked for each line that can be accepted at all. The result has as
// many lines as the offer; [Settle] must be called on it before [Format].
func NewAnswer(offer *Description, choose func(i int, m *Media) Choice) []Media {
	out := make([]Media, len(offer.Medias))
	data := false
	for i := range offer.Medias {
		m := &offer.Medias[i]
		if !acceptable(offer, m) || m.Kind == plane.Data && data {
			out[i] = reject(offer, m)
			continue
		}
		c := choose(i, m)
		if c.Reject {
			out[i] = reject(offer, m)
			continue
		}
		if m.Kind == plane.Data {
			data = true
			out[i] = answerData(m)
			continue
		}
		out[i] = answerRTP(offer, m, c)
	}
	return out
}

// acceptable tells whether a line could be accepted: it is offered, of a known kind, and shares the transport.
func acceptable(offer *Description, m *Media) bool {
	return m.Kind != 0 && inGroup(offer, m)
}

func reject(offer *Description, m *Media) Media {
	return Media{
		Kind: m.Kind, Type: m.Type, Mid: m.Mid, Proto: m.Proto, LegacySCTP: m.LegacySCTP, SCTPPort: m.SCTPPort,
		Rejected: true, refused: inGroup(offer, m),
	}
}

// inGroup tells whether the line is offered and shares the transport.
func inGroup(offer *Description, m *Media) bool {
	return !m.Rejected && (offer.Bundle == nil || slices.Contains(offer.Bundle, m.Mid))
}

func answerData(m *Media) Media {
	return Media{
		Kind: plane.Data, Type: m.Type, Mid: m.Mid, Proto: m.Proto, Direction: plane.SendRecv,
		LegacySCTP: m.LegacySCTP, SCTPPort: defaultSCTPPort,
	}
}

func answerRTP(offer *Description, m *Media, c Choice) Media {
	codec := pick(m, c)
	if codec == nil {
		return reject(offer, m)
	}
	a := Media{
		Kind: m.Kind, Type: m.Type, Mid: m.Mid, Proto: m.Proto, Msid: c.Msid, Bandwidth: c.Bandwidth,
		Direction: c.Direction & Reverse(m.Direction),
	}
	for _, e := range m.Extensions {
		if slices.Contains(c.Extensions, e.URI) && extensionFits(e.URI, codec.Name) {
			a.Extensions = append(a.Extensions, e)
			if d, ok := m.oneWay[e.ID]; ok {
				a.restrict(e.ID, Reverse(d))
			}
		}
	}
	agreed := *codec
	agreed.TransportCC = codec.TransportCC && a.Extension(plane.ExtTransportCC) != 0
	if !agreed.NACK || m.Kind != plane.Video {
		agreed.RTX = 0
	}
	agreed.Fmtp = answerFmtp(m.Kind, codec, c)
	a.Codecs = withRED(m, codec, agreed, c.RED)
	if m.Direction.Sends() {
		a.Encodings, a.SIM = slices.Clone(m.Encodings), m.SIM
	}
	return a
}

// withRED returns the agreed codec, with RED beside it if that is Opus and both ends want it. offered is the codec in
// the offer's line m.
func withRED(m *Media, offered *plane.Codec, agreed plane.Codec, want RED) []plane.Codec {
	red := findRED(m.Codecs, agreed.PayloadType)
	if want == NoRED || agreed.Name != "opus" || red == nil {
		return []plane.Codec{agreed}
	}
	r := *red
	pt := strconv.Itoa(int(agreed.PayloadType))
	r.Fmtp = pt + "/" + pt
	r.NACK, r.TransportCC, r.RTX = agreed.NACK, agreed.TransportCC, 0
	for i := range m.Codecs {
		if &m.Codecs[i] == offered && want == OfferedRED {
			return []plane.Codec{agreed, r}
		}
		if &m.Codecs[i] == red {
			break
		}
	}
	return []plane.Codec{r, agreed}
}

// pick finds the codec of the offer to use.
func pick(m *Media, c Choice) *plane.Codec {
	profile := func(name string) string {
		switch name {
		case "h264":
			return c.H264Profile
		case "vp9":
			return c.VP9Profile
		}
		return ""
	}
	if len(c.Codecs) == 0 {
		fs := formats(m.Kind)
		for i := range fs {
			if found := fs[i].find(m.Codecs, profile(fs[i].name)); found != nil {
				return found
			}
		}
		return nil
	}
	for _, name := range c.Codecs {
		f := lookup(m.Kind, strings.ToLower(name))
		if f == nil {
			continue
		}
		if found := f.find(m.Codecs, profile(f.name)); found != nil {
			return found
		}
	}
	return nil
}

// answerFmtp is the fmtp of the answer: the configured profile, the Opus flags both ends want, else the offer's.
func answerFmtp(k plane.Kind, codec *plane.Codec, c Choice) string {
	switch {
	case codec.Name == "h264" && c.H264Profile != "":
		return "profile-level-id=" + c.H264Profile + ";packetization-mode=1"
	case codec.Name == "vp9" && c.VP9Profile != "":
		return "profile-id=" + c.VP9Profile
	case codec.Name == "opus":
		return opusFmtp(codec.Fmtp, c)
	case k == plane.Video, codec.Name == "multiopus":
		return codec.Fmtp
	}
	return ""
}

func opusFmtp(offered string, c Choice) string {
	var out []string
	flag := func(want bool, name string) {
		if v, _ := FmtpParam(offered, name); want && v == "1" {
			out = append(out, name+"=1")
		}
	}
	flag(c.OpusFEC, "useinbandfec")
	flag(c.OpusDTX, "usedtx")
	flag(c.OpusStereo, "stereo")
	flag(c.OpusStereo, "sprop-stereo")
	return strings.Join(out, ";")
}

// extensionFits keeps the dependency descriptor away from codecs other than AV1 and VP9, as Janus does: browsers that
// negotiate it otherwise leave out the layer information of the payload.
func extensionFits(uri, codec string) bool {
	return uri != plane.ExtDependencyDescriptor || codec == "av1" || codec == "vp9"
}
