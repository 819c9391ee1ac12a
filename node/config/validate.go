package config

import (
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate returns nil or a [Faults] with everything that is wrong. It looks at values only, not at the machine: files,
// ports and privileges are found out by using them.
func (c *Config) Validate() error { return c.validate().err() }

func (c *Config) validate() Faults {
	var v Faults
	c.validateNode(&v)
	c.validateJanus(&v)
	c.validateRooms(&v)
	c.validateMedia(&v)
	c.validateTURN(&v)
	c.validateMesh(&v)
	c.validateGeo(&v)
	c.validateDNS(&v)
	c.validateRegistry(&v)
	c.validateEvents(&v)
	c.validateQuality(&v)
	c.validateLimits(&v)
	c.validateListeners(&v)
	return v
}

// check adds a fault unless ok.
func (f *Faults) check(ok bool, path, format string, args ...any) {
	if !ok {
		f.add("", path, format, args...)
	}
}

// between checks a duration against its bounds, both inclusive; 0 passes too when it stands for off.
func (f *Faults) between(path string, d, low, high time.Duration, off bool) {
	f.check(d >= low && d <= high || off && d == 0, path, "%v is not between %v and %v", d, low, high)
}

const day = 24 * time.Hour

func (c *Config) validateNode(v *Faults) {
	v.check(c.Node.DataDir != "", "node.data_dir", "must name a directory")
	v.check(len(c.Node.Name) <= 64, "node.name", "longer than 64 bytes")
	v.check(len(c.Node.Region) <= 64, "node.region", "longer than 64 bytes")
	for _, p := range c.Node.Planes {
		v.check(p == PlaneSignaling || p == PlaneMedia || p == PlaneTURN, "node.planes", "%q: want signaling, media or turn", p)
	}
	v.check(c.Node.Has(PlaneSignaling) || c.Node.Has(PlaneMedia), "node.planes", "want signaling or media")
	v.check(c.Node.Has(PlaneMedia) || !c.Node.Has(PlaneTURN), "node.planes", "turn needs media, whose port it shares")
	v.check(c.Mesh.Enabled || c.Node.Has(PlaneSignaling) && c.Node.Has(PlaneMedia), "node.planes", "a node without mesh needs both signaling and media")
	v.between("node.stop_timeout", c.Node.StopTimeout, time.Second, time.Hour, false)
	v.check(c.Log.Format == "text" || c.Log.Format == "json", "log.format", "%q: want text or json", c.Log.Format)
	v.check((c.TLS.Certificate == "") == (c.TLS.Key == ""), "tls", "certificate and key are needed together")
	v.check(c.Console.Password == "" || len(c.Console.Password) >= 8, "console.password", "shorter than 8 characters")
}

func (c *Config) validateJanus(v *Faults) {
	j := &c.Janus
	v.between("janus.session_timeout", j.SessionTimeout, time.Second, day, true)
	v.between("janus.reclaim_session_timeout", j.ReclaimSessionTimeout, time.Second, day, true)
	v.between("janus.candidates_timeout", j.CandidatesTimeout, time.Second, time.Hour, false)
	v.between("janus.no_media_timer", j.NoMediaTimer, time.Second, time.Hour, false)
	v.check(slices.Contains([]string{RedirectOff, RedirectBusy, RedirectFar}, j.Redirect), "janus.redirect", "%q: want off, busy or far", j.Redirect)
	v.check(j.SlowLinkThreshold >= 0, "janus.slowlink_threshold", "must not be negative")
	v.check(j.AdminSecret != "" || j.AdminWSPort == 0, "janus.admin_ws_port", "needs janus.admin_secret")
	v.check(j.AdminSecret != "" || !j.AdminAddress.IsValid(), "janus.admin_address", "has no effect without admin_secret")
	v.check(j.TokenAuthSecret == "" || j.TokenAuth, "janus.token_auth_secret", "has no effect without token_auth")
	for _, o := range j.AllowedOrigins {
		u, err := url.Parse(o)
		v.check(err == nil && u.Scheme != "" && u.Host != "" && u.Scheme+"://"+u.Host == o,
			"janus.allowed_origins", "%q: want an origin such as https://app.example.org", o)
	}
}

var (
	audioCodecs = []string{"opus", "multiopus", "isac32", "isac16", "pcmu", "pcma", "g722", "l16-48", "l16"}
	videoCodecs = []string{"vp8", "vp9", "h264", "av1", "h265"}
)

func (c *Config) validateRooms(v *Faults) {
	seen := map[string]bool{}
	for i := range c.VideoRoom.Rooms {
		r := &c.VideoRoom.Rooms[i]
		path := "videoroom.rooms[" + strconv.Itoa(i) + "]."
		if c.VideoRoom.StringIDs {
			v.check(r.Room != "", path+"room", "must be given")
		} else {
			n, err := strconv.ParseUint(r.Room, 10, 64)
			v.check(err == nil && n > 0, path+"room", "%q: want a positive integer (or videoroom.string_ids)", r.Room)
			if err == nil {
				r.Room = strconv.FormatUint(n, 10)
			}
		}
		v.check(!seen[r.Room], path+"room", "%q is there already", r.Room)
		seen[r.Room] = true
		v.check(r.Publishers > 0, path+"publishers", "must be positive")
		v.check(r.FIRFreq >= 0, path+"fir_freq", "must not be negative")
		v.check(r.AudioActivePackets > 0, path+"audio_active_packets", "must be positive")
		v.check(r.AudioLevelAverage >= 0 && r.AudioLevelAverage <= 127, path+"audio_level_average", "want 0 to 127")
		v.codecs(path+"audiocodec", r.AudioCodec, audioCodecs)
		v.codecs(path+"videocodec", r.VideoCodec, videoCodecs)
		profile, err := hex.DecodeString(r.H264Profile)
		v.check(r.H264Profile == "" || err == nil && len(profile) == 3, path+"h264_profile", "%q: want six hexadecimal digits", r.H264Profile)
		v.check(slices.Contains([]string{"", "0", "1", "2", "3"}, r.VP9Profile), path+"vp9_profile", "%q: want 0 to 3", r.VP9Profile)
		v.check(!r.SignedTokens || c.Janus.TokenAuthSecret != "", path+"signed_tokens", "needs janus.token_auth_secret")
		for _, s := range r.DummyStreams {
			v.check(slices.Contains(audioCodecs, s.Codec) || slices.Contains(videoCodecs, s.Codec), path+"dummy_streams", "%q: no such codec", s.Codec)
		}
	}
}

// codecs checks a comma-separated list of at most five.
func (f *Faults) codecs(path, list string, known []string) {
	names := strings.Split(list, ",")
	f.check(len(names) <= 5, path, "more than five codecs")
	for _, name := range names {
		f.check(slices.Contains(known, strings.TrimSpace(name)), path, "%q: want some of %s", name, strings.Join(known, ", "))
	}
}

func (c *Config) validateMedia(v *Faults) {
	m := &c.Media
	v.check(m.Port != 0, "media.port", "must not be 0")
	v.check(m.Sockets >= 0 && m.Sockets <= 64, "media.sockets", "want 0 to 64")
	v.check(m.ReadBuffer >= 64<<10 && m.ReadBuffer <= 1<<30, "media.read_buffer", "%v is not between 64KiB and 1GiB", m.ReadBuffer)
	v.check(m.WriteBuffer >= 64<<10 && m.WriteBuffer <= 1<<30, "media.write_buffer", "%v is not between 64KiB and 1GiB", m.WriteBuffer)
	v.check(m.MinBitrate >= 10_000, "media.min_bitrate", "less than 10k")
	v.check(m.MinBitrate <= m.StartBitrate && m.StartBitrate <= m.MaxBitrate, "media", "min_bitrate, start_bitrate and max_bitrate must rise in this order")
	for i, a := range m.Addresses {
		v.check(a.IsValid() && !a.IsUnspecified(), "media.addresses", "want addresses of this host that clients can reach")
		v.check(!slices.Contains(m.Addresses[:i], a), "media.addresses", "%v is there twice", a)
	}
}

func (c *Config) validateTURN(v *Faults) {
	t := &c.TURN
	if !t.Enabled {
		return
	}
	v.check(t.Realm != "" && len(t.Realm) <= 128, "turn.realm", "want 1 to 128 bytes")
	for i, u := range t.Users {
		name, password, ok := strings.Cut(string(u), ":")
		v.check(ok && name != "" && password != "", "turn.users["+strconv.Itoa(i)+"]", "want NAME:PASSWORD")
	}
	v.check(!slices.Contains(t.Secrets, ""), "turn.secrets", "a secret is empty")
	v.check(t.MinPort >= 1024 && t.MinPort <= t.MaxPort, "turn", "min_port and max_port must be above 1023 and rise in this order")
	v.check(t.UserQuota >= 0, "turn.user_quota", "must not be negative")
	v.check(t.TotalQuota >= 0, "turn.total_quota", "must not be negative")
	v.between("turn.max_lifetime", t.MaxLifetime, 10*time.Minute, day, false)
	for _, l := range c.Listeners() {
		v.check(l.Network != "udp" || l.Port < t.MinPort || l.Port > t.MaxPort, l.Option, "%d lies among the ports of TURN's relays", l.Port)
	}
}

func (c *Config) validateLimits(v *Faults) {
	l := &c.Limits
	v.check(l.CPU >= 0 && l.CPU <= 1, "limits.cpu", "want 0 (never refuse) to 1")
	v.between("limits.scheduling_latency", l.SchedulingLatency, time.Millisecond, 10*time.Second, true)
	v.check(l.Memory == 0 || l.Memory >= 64<<20, "limits.memory", "%v is less than 64MiB", l.Memory)
	v.check(l.Sessions > 0, "limits.sessions", "must be positive")
	v.check(l.SessionRate >= 0, "limits.session_rate", "must not be negative")
	v.check(l.HandlesPerSession > 0, "limits.handles_per_session", "must be positive")
	v.check(l.RequestsPerSecond > 0, "limits.requests_per_second", "must be positive")
	v.check(l.MessageSize >= 4<<10 && l.MessageSize <= 64<<20, "limits.message_size", "%v is not between 4KiB and 64MiB", l.MessageSize)
}

func (c *Config) validateListeners(v *Faults) {
	all := c.Listeners()
	for i, l := range all {
		for _, m := range all[:i] {
			v.check(!l.collides(m), l.Option, "%s %s is the address of %s too", l.Network, l.HostPort(), m.Option)
		}
	}
}
