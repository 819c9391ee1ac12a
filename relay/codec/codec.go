package codec

// Format is the payload format of a packet.
type Format uint8

// The formats the media plane knows. Other is any format that is forwarded without being looked into.
const (
	Other Format = iota
	Opus
	RED // RFC 2198, around Opus
	PCMU
	PCMA
	G722
	VP8
	VP9
	H264
	H265
	AV1
)

// names holds the SDP encoding names in lower case.
var names = [...]string{
	Other: "other", Opus: "opus", RED: "red", PCMU: "pcmu", PCMA: "pcma", G722: "g722",
	VP8: "vp8", VP9: "vp9", H264: "h264", H265: "h265", AV1: "av1",
}

// ByName returns the format of an SDP encoding name in lower case; Other when it is none that is looked into.
func ByName(name string) Format {
	for f, n := range names {
		if n == name {
			return Format(f) //nolint:gosec // a handful
		}
	}
	return Other
}

// String returns the SDP encoding name in lower case.
func (f Format) String() string {
	if int(f) < len(names) {
		return names[f]
	}
	return "unknown"
}

// Keyed tells whether decoding begins at keyframes that [Parse] recognises.
func (f Format) Keyed() bool { return f >= VP8 && f <= AV1 }

// Bounds of layer ids, from VP9 (3 bits each) and AV1 (2 and 3 bits).
const (
	MaxSpatial  = 4 // spatial ids are below this; VP9's higher ones count as unknown
	MaxTemporal = 8
)

// Info is what [Parse] and the dependency descriptor tell of one packet.
type Info struct {
	Keyframe    bool  // decoding can begin with the frame of this packet, and this packet begins it
	FrameStart  bool  // first packet of a frame (of a layer frame, with spatial layers)
	FrameEnd    bool  // last packet of a frame (of a layer frame), where the payload tells
	LayerSync   bool  // a receiver of lower temporal layers may begin with Temporal here
	Discardable bool  // nothing depends on the frame
	Temporal    int8  // temporal layer, -1 unknown
	Spatial     int8  // spatial layer, -1 unknown
	PictureBits uint8 // width of PictureID: 0, 7 or 15
	TL0         uint8 // VP8 TL0PICIDX
	HasTL0      bool
	Flexible    bool   // VP9 flexible mode
	PictureID   uint16 // VP8 and VP9
	Width       uint16 // of a keyframe, 0 unknown
	Height      uint16

	// HasTargets says that Needed and Switch are known, from a dependency descriptor. Bit [Target](spatial, temporal) of
	// Needed: the frame belongs to what a receiver of that quality must be sent. Of Switch: it may begin with this frame.
	HasTargets bool
	Needed     uint32
	Switch     uint32
}

// Target returns the bit of [Info.Needed] and [Info.Switch] that stands for a quality; ids beyond the bounds are clamped.
func Target(spatial, temporal int8) uint32 {
	s := min(max(int(spatial), 0), MaxSpatial-1)
	t := min(max(int(temporal), 0), MaxTemporal-1)
	return 1 << (s*MaxTemporal + t)
}

// Parse reads payload into info, which is overwritten. It never fails: what is malformed or unknown leaves -1 and false.
func Parse(f Format, payload []byte, info *Info) {
	*info = Info{Temporal: -1, Spatial: -1}
	switch f {
	case VP8:
		parseVP8(payload, info)
	case VP9:
		parseVP9(payload, info)
	case H264:
		parseH264(payload, info)
	case H265:
		parseH265(payload, info)
	case AV1:
		parseAV1(payload, info)
	case Other, Opus, RED, PCMU, PCMA, G722:
	}
}
