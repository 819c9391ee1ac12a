package videoroom

import (
	"encoding/json"
	"log/slog"
	"net"

	"cardea/signaling/events"
)

// Config is what the plugin is made with.
type Config struct {
	// AdminKey, when not empty, must be given to create rooms; with it, list shows private rooms too.
	AdminKey string
	// LockRTPForward asks for the admin key in requests that forward media, too. Without an admin key it has no effect.
	LockRTPForward bool
	// StringIDs makes the ids of rooms and participants strings, UUIDs unless chosen. Clients of integer ids cannot
	// join then.
	StringIDs bool
	// Rooms exist from the start. They cannot be created again, but edited and destroyed as any other; they are back at
	// the next start.
	Rooms []RoomConfig
	// MaxRooms bounds the number of rooms; 0 means 100000. More costs memory (some 2 KB a room), fewer refuses requests.
	MaxRooms int
	// Store keeps permanent rooms. Without it requests for permanent rooms are refused.
	Store Store
	// Mesh joins the rooms of all nodes; nil means that this node's are all there are. With it, the rooms and the permanent ones
	// among them are the mesh's: Store is not used, and Rooms are there once whoever runs the mesh has told it of
	// [Plugin.Records]. MaxRooms bounds those that are held here at once.
	Mesh Mesh
	// Resolver looks up the names of hosts that media is forwarded to; nil means the system's.
	Resolver *net.Resolver
	// Events is where what happens is told to event handlers; nil tells nobody.
	Events *events.Bus
	// Quality takes what clients' users saw and heard. It is called from many goroutines and must not wait. May be nil.
	Quality func(QualityReport)
	// Log takes what is not about one handle; nil means slog.Default().
	Log *slog.Logger
}

// Store keeps permanent rooms for the next start, when they come back as [Config].Rooms. Its functions are called one
// at a time, in the order of the changes.
type Store struct {
	Save   func(Record) error    // keeps a room, replacing what was kept under its id
	Delete func(id string) error // forgets a room; one that is not kept is no error
}

// Record is what is kept of a permanent room: all of its options. It is encoded with encoding/json.
type Record = RoomConfig

// RoomConfig are the options of a room. Start from [DefaultRoom]: not every default is a zero.
type RoomConfig struct {
	ID          string  `json:"room"` // decimal, unless string ids are configured
	Description string  `json:"description"`
	Private     bool    `json:"is_private,omitempty"` // not listed
	Secret      *string `json:"secret,omitempty"`     // needed to manage the room; nil for none
	Pin         *string `json:"pin,omitempty"`        // needed to join; nil for none

	RequirePrivateID bool     `json:"require_pvtid,omitempty"` // subscribers must show a participant's private id
	SignedTokens     bool     `json:"signed_tokens,omitempty"` // joining needs a signed token for the room
	CheckAllowed     bool     `json:"check_allowed,omitempty"` // publishers must show one of Allowed
	Allowed          []string `json:"allowed,omitempty"`
	RequireE2EE      bool     `json:"require_e2ee,omitempty"` // media must be encrypted end to end

	Publishers int    `json:"publishers"`            // most at the same time, 3 by default
	Bitrate    uint32 `json:"bitrate"`               // bits/s asked of each publisher, 0 for no limit, else at least 64000
	BitrateCap bool   `json:"bitrate_cap,omitempty"` // publishers cannot ask for more than Bitrate
	FIRFreq    int    `json:"fir_freq,omitempty"`    // seconds between keyframe requests, 0 for none

	AudioCodecs []string `json:"audiocodec"` // acceptable ones, the best first
	VideoCodecs []string `json:"videocodec"`
	VP9Profile  string   `json:"vp9_profile,omitempty"`  // profile-id wanted, "" for any
	H264Profile string   `json:"h264_profile,omitempty"` // profile-level-id wanted, "" for any
	OpusFEC     bool     `json:"opus_fec"`
	OpusDTX     bool     `json:"opus_dtx,omitempty"`
	OpusRED     bool     `json:"opus_red,omitempty"`  // prefer RED (RFC 2198); else it is the client's choice
	VideoSVC    bool     `json:"video_svc,omitempty"` // every video stream carries VP9 SVC

	AudioLevelExt      bool `json:"audiolevel_ext"`
	AudioLevelEvent    bool `json:"audiolevel_event,omitempty"`     // announce who talks
	AudioActivePackets int  `json:"audio_active_packets,omitempty"` // averaged, 100 by default
	AudioLevelAverage  int  `json:"audio_level_average,omitempty"`  // 0 loud to 127; talking below, 25 by default
	VideoOrientExt     bool `json:"videoorient_ext"`
	PlayoutDelayExt    bool `json:"playoutdelay_ext"`
	TransportCCExt     bool `json:"transport_wide_cc_ext"`

	Record     bool    `json:"record,omitempty"`
	RecDir     *string `json:"rec_dir,omitempty"`
	LockRecord bool    `json:"lock_record,omitempty"` // recording is started and stopped with the secret only

	NotifyJoining  bool          `json:"notify_joining,omitempty"` // announce those who do not publish, too
	DummyPublisher bool          `json:"dummy_publisher,omitempty"`
	DummyStreams   []DummyStream `json:"dummy_streams,omitempty"` // empty: one for each codec
	DummyE2EE      bool          `json:"dummy_e2ee,omitempty"`

	// CommunityID says which community the room belongs to: a JSON string or number, empty for none.
	CommunityID json.RawMessage `json:"community_id,omitempty"`

	// Mutes are what users may not send, for longer than a stay.
	Mutes []Mute `json:"mutes,omitempty"`
}

// DummyStream is a silent stream of a dummy publisher.
type DummyStream struct {
	Codec string `json:"codec"`
	Fmtp  string `json:"fmtp,omitempty"`
}

// Defaults of the detection of talkers, and the least bitrate that can be asked of a publisher.
const (
	defaultActivePackets = 100
	defaultLevelAverage  = 25
	minBitrate           = 64000
)

// DefaultRoom returns the options of a room of which nothing is said but its id.
func DefaultRoom(id string) RoomConfig {
	return RoomConfig{
		ID: id, Description: "Room " + id, Publishers: 3,
		AudioCodecs: []string{"opus"}, VideoCodecs: []string{"vp8"}, OpusFEC: true,
		AudioLevelExt: true, VideoOrientExt: true, PlayoutDelayExt: true, TransportCCExt: true,
	}
}

// normal brings values that are allowed to be given but not to be used into their range.
func (c *RoomConfig) normal() {
	if c.Bitrate > 0 {
		c.Bitrate = max(c.Bitrate, minBitrate)
	}
	if c.Description == "" {
		c.Description = "Room " + c.ID
	}
	if c.AudioLevelEvent {
		if c.AudioActivePackets <= 0 {
			c.AudioActivePackets = defaultActivePackets
		}
		if c.AudioLevelAverage <= 0 {
			c.AudioLevelAverage = defaultLevelAverage
		}
	}
}
