package config

import (
	"net/netip"
	"time"
)

// Janus is the Janus API over WebSocket and HTTP, for clients.
type Janus struct {
	// Address is the local address to listen on. Empty: node.bind.
	Address netip.Addr `yaml:"address"`
	// WSPort is the port for WebSocket (subprotocol janus-protocol); 0 opens none.
	WSPort uint16 `yaml:"ws_port"`
	// WSSPort is the port for WebSocket over TLS, opened when tls.certificate is set; 0 opens none.
	WSSPort uint16 `yaml:"wss_port"`
	// HTTPPort is the port for HTTP with long polls, under /janus; 0 opens none.
	HTTPPort uint16 `yaml:"http_port"`
	// HTTPSPort is the port for the same over TLS, opened when tls.certificate is set; 0 opens none.
	HTTPSPort uint16 `yaml:"https_port"`
	// APISecret must be in every request ("apisecret") when set, unless a valid token is.
	APISecret Secret `yaml:"api_secret"`
	// TokenAuth requires a valid token ("token") in every request, unless the API secret is in it.
	TokenAuth bool `yaml:"token_auth"`
	// TokenAuthSecret makes tokens signed and expiring (HMAC-SHA1 with this key) instead of stored ones.
	TokenAuthSecret Secret `yaml:"token_auth_secret"`
	// AdminPort is the port for the admin API over HTTP, under /admin, opened when admin_secret is set; 0 opens none.
	AdminPort uint16 `yaml:"admin_port"`
	// AdminWSPort is the port for the same over WebSocket (subprotocol janus-admin-protocol; Janus's own is 7188), opened when
	// admin_secret is set; 0 opens none.
	AdminWSPort uint16 `yaml:"admin_ws_port"`
	// AdminAddress is the local address of both. Empty: node.bind if that is a loopback address, else 127.0.0.1. Neither
	// speaks TLS: from elsewhere, reach them through a tunnel or a proxy.
	AdminAddress netip.Addr `yaml:"admin_address"`
	// AdminSecret must be in every request to the admin API ("admin_secret"). Whoever has it sees and ends everybody's
	// calls. Empty: there is no admin API.
	AdminSecret Secret `yaml:"admin_secret"`
	// ServerName is what "info" answers as server-name. Empty: the node's name.
	ServerName string `yaml:"server_name"`
	// SessionTimeout ends a session that made no request for so long; 0 never does. Clients send a keepalive every 25 s.
	SessionTimeout time.Duration `yaml:"session_timeout"`
	// ReclaimSessionTimeout is how long a session outlives its connection, for the client to claim it on a new one; 0 ends
	// it with the connection. Longer saves calls from bad networks, and leaves ghosts in rooms for as long.
	ReclaimSessionTimeout time.Duration `yaml:"reclaim_session_timeout"`
	// CandidatesTimeout is how long ICE candidates that came before their offer are kept.
	CandidatesTimeout time.Duration `yaml:"candidates_timeout"`
	// NoMediaTimer is the silence of a received line after which the client is told receiving:false.
	NoMediaTimer time.Duration `yaml:"no_media_timer"`
	// SlowLinkThreshold is the number of packets lost in a second that sends a slowlink event; 0 sends none.
	SlowLinkThreshold int `yaml:"slowlink_threshold"`
	// OpaqueIDInAPI puts the opaque_id of a handle into its events.
	OpaqueIDInAPI bool `yaml:"opaqueid_in_api"`
	// AllowedOrigins lists the web origins (https://app.example.org) whose pages may use the API; the console's page
	// is no exception. Empty: all, as Janus does; whoever may use the API is then a matter of secrets and tokens alone.
	AllowedOrigins []string `yaml:"allowed_origins"`
	// TrustedProxies lists the networks of reverse proxies whose X-Forwarded-For is believed. Without them all clients
	// behind a proxy share one address and its limits.
	TrustedProxies []Network `yaml:"trusted_proxies"`
	// Redirect says when a client that creates a session over HTTP is sent to another node (307, by its geo.host or address):
	// off never, busy while this node takes no sessions, far also when another is noticeably nearer to the client. Clients must be
	// able to reach each node by itself. WebSockets are never redirected, nor what comes through a proxy that does not say by
	// X-Forwarded-Proto how it came there.
	Redirect string `yaml:"redirect"`
}

// When clients are sent to another node over HTTP.
const (
	RedirectOff  = "off"
	RedirectBusy = "busy"
	RedirectFar  = "far"
)

// VideoRoom is the VideoRoom plugin.
type VideoRoom struct {
	// StringIDs makes ids of rooms and participants strings instead of integers.
	StringIDs bool `yaml:"string_ids"`
	// AdminKey must be in requests that create rooms ("admin_key") when set; with it, listings show private rooms.
	AdminKey Secret `yaml:"admin_key"`
	// LockRTPForward requires the admin key for RTP forwarders too.
	LockRTPForward bool `yaml:"lock_rtp_forward"`
	// Rooms lists the rooms that exist from the start.
	Rooms []Room `yaml:"rooms"`
}

// Room is a VideoRoom room, its options under Janus's names.
type Room struct {
	// Room is the id: a positive integer, or any string with string_ids.
	Room string `yaml:"room"`
	// CommunityID is a label of the application's own, given back in listings.
	CommunityID string `yaml:"community_id"`
	// Description is the name shown to people. Empty: "Room" and the id.
	Description string `yaml:"description"`
	// IsPrivate keeps the room out of listings.
	IsPrivate bool `yaml:"is_private"`
	// Secret must be in requests that manage the room.
	Secret Secret `yaml:"secret"`
	// Pin must be in requests to join.
	Pin Secret `yaml:"pin"`
	// RequirePvtID lets only participants subscribe: a subscriber must give a participant's private_id.
	RequirePvtID bool `yaml:"require_pvtid"`
	// SignedTokens requires a signed token for this room to join (janus.token_auth_secret).
	SignedTokens bool `yaml:"signed_tokens"`
	// Allowed lists the tokens that may join; without the key everybody may, with an empty list nobody.
	Allowed []Secret `yaml:"allowed"`
	// Publishers is how many may publish at once.
	Publishers int `yaml:"publishers"`
	// Bitrate is what each publisher is asked to stay below, in bits/s; 0 asks nothing, less than 64k counts as 64k.
	Bitrate Bitrate `yaml:"bitrate"`
	// BitrateCap makes bitrate a limit that bandwidth estimation cannot exceed either.
	BitrateCap bool `yaml:"bitrate_cap"`
	// FIRFreq asks publishers for a keyframe every so many seconds; 0 only when somebody needs one.
	FIRFreq int `yaml:"fir_freq"`
	// AudioCodec lists up to five audio codecs, the preferred one first, joined by commas.
	AudioCodec string `yaml:"audiocodec"`
	// VideoCodec lists up to five video codecs, the preferred one first, joined by commas.
	VideoCodec string `yaml:"videocodec"`
	// VP9Profile is the profile to prefer, "0" or "2".
	VP9Profile string `yaml:"vp9_profile"`
	// H264Profile is the profile to prefer, as in profile-level-id ("42e01f").
	H264Profile string `yaml:"h264_profile"`
	// VideoSVC expects VP9 SVC of every publisher.
	VideoSVC bool `yaml:"video_svc"`
	// OpusFEC negotiates Opus in-band forward error correction.
	OpusFEC bool `yaml:"opus_fec"`
	// OpusDTX negotiates Opus discontinuous transmission.
	OpusDTX bool `yaml:"opus_dtx"`
	// OpusRED asks publishers to send each Opus packet twice (RED), which hides lost ones at twice the bitrate. Without it
	// those who prefer that by themselves may do so.
	OpusRED bool `yaml:"opus_red"`
	// AudioLevelExt negotiates the audio level header extension.
	AudioLevelExt bool `yaml:"audiolevel_ext"`
	// AudioLevelEvent tells participants who talks.
	AudioLevelEvent bool `yaml:"audiolevel_event"`
	// AudioActivePackets is the number of audio packets averaged for that (100 are two seconds).
	AudioActivePackets int `yaml:"audio_active_packets"`
	// AudioLevelAverage is the level, 0 loud to 127 silent, below which a participant counts as talking.
	AudioLevelAverage int `yaml:"audio_level_average"`
	// VideoOrientExt negotiates the video orientation header extension.
	VideoOrientExt bool `yaml:"videoorient_ext"`
	// PlayoutDelayExt negotiates the playout delay header extension.
	PlayoutDelayExt bool `yaml:"playoutdelay_ext"`
	// TransportWideCCExt negotiates transport-wide congestion control.
	TransportWideCCExt bool `yaml:"transport_wide_cc_ext"`
	// Record starts recording with the first publisher.
	Record bool `yaml:"record"`
	// RecDir is the folder of recordings.
	RecDir string `yaml:"rec_dir"`
	// LockRecord requires the room's secret to start or stop recording.
	LockRecord bool `yaml:"lock_record"`
	// NotifyJoining announces participants who do not publish yet.
	NotifyJoining bool `yaml:"notify_joining"`
	// RequireE2EE lets only end-to-end encrypted media in.
	RequireE2EE bool `yaml:"require_e2ee"`
	// DummyPublisher adds a silent publisher, to negotiate spare media lines.
	DummyPublisher bool `yaml:"dummy_publisher"`
	// DummyE2EE says that the dummy publisher's media counts as end-to-end encrypted.
	DummyE2EE bool `yaml:"dummy_e2ee"`
	// DummyStreams lists its streams; empty: one of each codec of the room.
	DummyStreams []DummyStream `yaml:"dummy_streams"`
}

// DummyStream is one stream of a room's dummy publisher.
type DummyStream struct {
	// Codec is the stream's codec.
	Codec string `yaml:"codec"`
	// Fmtp is its format parameters.
	Fmtp string `yaml:"fmtp"`
}

// DefaultRoom returns a room with Janus's defaults and no id.
func DefaultRoom() Room {
	return Room{
		Publishers: 3, AudioCodec: "opus", VideoCodec: "vp8", OpusFEC: true,
		AudioLevelExt: true, AudioActivePackets: 100, AudioLevelAverage: 25,
		VideoOrientExt: true, PlayoutDelayExt: true, TransportWideCCExt: true,
	}
}
