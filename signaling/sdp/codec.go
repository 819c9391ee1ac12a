package sdp

import (
	"strings"

	"cardea/relay/plane"
)

// format is a codec the server forwards, with the payload type its own offers use.
type format struct {
	name     string // as the Janus API spells it
	encoding string // as rtpmap does
	payload  uint8
	rtx      uint8 // payload type of its retransmissions; 0 for none
	clock    uint32
	channels uint8
}

// The codecs of each kind in Janus's order of preference. Retransmissions take the next payload type, but for H.265,
// whose next one is VP9's: lines of one BUNDLE group must not use a payload type for different things (RFC 9143).
var (
	audioFormats = []format{
		{"opus", "opus", 111, 0, 48000, 2},
		{"multiopus", "multiopus", 111, 0, 48000, 6},
		{"pcmu", "PCMU", 0, 0, 8000, 1},
		{"pcma", "PCMA", 8, 0, 8000, 1},
		{"g722", "G722", 9, 0, 8000, 1},
		{"l16-48", "L16", 105, 0, 48000, 1},
		{"l16", "L16", 106, 0, 16000, 1},
		{"isac16", "ISAC", 103, 0, 16000, 1},
		{"isac32", "ISAC", 104, 0, 32000, 1},
	}
	videoFormats = []format{
		{"vp8", "VP8", 96, 97, 90000, 0},
		{"vp9", "VP9", 101, 102, 90000, 0},
		{"h264", "H264", 107, 108, 90000, 0},
		{"av1", "AV1", 98, 99, 90000, 0},
		{"h265", "H265", 100, 109, 90000, 0},
	}
)

// redPayload is the payload type of RED (RFC 2198) in the server's offers.
const redPayload = 120

func formats(k plane.Kind) []format {
	switch k {
	case plane.Audio:
		return audioFormats
	case plane.Video:
		return videoFormats
	default:
		return nil
	}
}

// matches tells whether c is of the format.
func (f *format) matches(c *plane.Codec) bool {
	if !strings.EqualFold(f.encoding, c.Name) {
		return false
	}
	// multiopus comes with any number of channels; everything else is told apart by its clock rate.
	return f.clock == c.ClockRate
}

// CodecName is a codec's name in the Janus API, which tells clock rates of L16 and iSAC apart ("l16-48", "isac32").
// It is "" for codecs the server does not forward.
func CodecName(k plane.Kind, c plane.Codec) string {
	fs := formats(k)
	for i := range fs {
		if fs[i].matches(&c) {
			return fs[i].name
		}
	}
	return ""
}

// KnownCodec tells whether the server forwards a codec of that name of the Janus API.
func KnownCodec(k plane.Kind, name string) bool { return lookup(k, name) != nil }

func lookup(k plane.Kind, name string) *format {
	fs := formats(k)
	for i := range fs {
		if fs[i].name == name {
			return &fs[i]
		}
	}
	return nil
}

// encodingName is the codec's name as rtpmap spells it.
func encodingName(k plane.Kind, c *plane.Codec) string {
	fs := formats(k)
	for i := range fs {
		if fs[i].matches(c) {
			return fs[i].encoding
		}
	}
	return c.Name
}

// static are the payload types that need no rtpmap (RFC 3551).
func static(pt uint8) (plane.Codec, bool) {
	switch pt {
	case 0:
		return plane.Codec{Name: "pcmu", PayloadType: 0, ClockRate: 8000, Channels: 1}, true
	case 8:
		return plane.Codec{Name: "pcma", PayloadType: 8, ClockRate: 8000, Channels: 1}, true
	case 9:
		return plane.Codec{Name: "g722", PayloadType: 9, ClockRate: 8000, Channels: 1}, true
	}
	return plane.Codec{}, false
}

// find returns the first codec of c that is of format f and usable: H.264 in packetization mode 1 (a format that says
// nothing passes, as in Janus), and with the wanted profile when there is one.
func (f *format) find(codecs []plane.Codec, profile string) *plane.Codec {
	for i := range codecs {
		c := &codecs[i]
		if !f.matches(c) {
			continue
		}
		var param string
		switch f.name {
		case "h264":
			if mode, ok := FmtpParam(c.Fmtp, "packetization-mode"); ok && mode == "0" {
				continue
			}
			param = "profile-level-id"
		case "vp9":
			param = "profile-id"
		}
		if profile != "" && param != "" {
			if v, _ := FmtpParam(c.Fmtp, param); !strings.EqualFold(v, profile) {
				continue
			}
		}
		return c
	}
	return nil
}

// findRED returns the RED format (RFC 2198) that wraps the given Opus payload type.
func findRED(codecs []plane.Codec, opus uint8) *plane.Codec {
	for i := range codecs {
		c := &codecs[i]
		if c.Name != "red" {
			continue
		}
		first, _, _ := strings.Cut(c.Fmtp, "/")
		if pt, ok := parsePayloadType(strings.TrimSpace(first)); c.Fmtp == "" || ok && pt == opus {
			return c
		}
	}
	return nil
}
