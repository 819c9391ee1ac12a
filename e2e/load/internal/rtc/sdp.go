package rtc

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"cardea/relay/ice"
)

// Kind is audio or video.
type Kind string

// The kinds of media.
const (
	Audio Kind = "audio"
	Video Kind = "video"
)

// Payload types and extension ids that we offer; Chrome's.
const (
	OpusType = 111
	VP8Type  = 96
	RTXType  = 97
)

// URIs of header extensions.
const (
	AudioLevelURI  = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	AbsSendTimeURI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	TransportCCURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	MidURI         = "urn:ietf:params:rtp-hdrext:sdes:mid"
	RIDURI         = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	RepairedRIDURI = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
)

// offered are the extensions in our offers; an answer keeps their ids.
var offered = []struct {
	id   uint8
	uri  string
	kind Kind // "" for both
}{
	{1, AudioLevelURI, Audio},
	{2, AbsSendTimeURI, ""},
	{3, TransportCCURI, ""},
	{4, MidURI, ""},
	{10, RIDURI, Video},
	{11, RepairedRIDURI, Video},
}

// understood are the extensions that a subscriber's answer accepts.
var understood = []string{AudioLevelURI, AbsSendTimeURI, TransportCCURI, MidURI}

// PublisherOffer says what a publisher offers: a microphone and a camera, in this order.
type PublisherOffer struct {
	AudioSSRC          uint32
	VideoSSRC, RTXSSRC uint32   // without simulcast
	RIDs               []string // with simulcast, best first; SSRCs are not signaled then
}

// Offer writes a publisher's offer.
func (t *Transport) Offer(o PublisherOffer, trickle bool) string {
	w := t.begin("0 1")
	t.offerSection(w, Audio, "0", fmt.Sprint(OpusType), "actpass", trickle)
	w.line("a=sendonly")
	w.line("a=msid:load audio")
	w.line("a=rtpmap:%d opus/48000/2", OpusType)
	w.line("a=rtcp-fb:%d transport-cc", OpusType)
	w.line("a=fmtp:%d minptime=10;useinbandfec=1", OpusType)
	w.line("a=ssrc:%d cname:load", o.AudioSSRC)
	t.offerSection(w, Video, "1", fmt.Sprintf("%d %d", VP8Type, RTXType), "actpass", trickle)
	w.line("a=sendonly")
	w.line("a=msid:load video")
	w.line("a=rtcp-rsize")
	w.line("a=rtpmap:%d VP8/%d", VP8Type, 90000)
	for _, fb := range []string{"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"} {
		w.line("a=rtcp-fb:%d %s", VP8Type, fb)
	}
	w.line("a=rtpmap:%d rtx/%d", RTXType, 90000)
	w.line("a=fmtp:%d apt=%d", RTXType, VP8Type)
	if len(o.RIDs) == 0 {
		w.line("a=ssrc-group:FID %d %d", o.VideoSSRC, o.RTXSSRC)
		w.line("a=ssrc:%d cname:load", o.VideoSSRC)
		w.line("a=ssrc:%d cname:load", o.RTXSSRC)
		return w.String()
	}
	for _, rid := range o.RIDs {
		w.line("a=rid:%s send", rid)
	}
	w.line("a=simulcast:send %s", strings.Join(o.RIDs, ";"))
	return w.String()
}

// writer writes the lines of a session description.
type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.Builder, format+"\r\n", args...) }

func (t *Transport) begin(bundle string) *writer {
	w := new(writer)
	w.line("v=0")
	w.line("o=- %d 2 IN IP4 127.0.0.1", t.agent.tieBreaker>>2)
	w.line("s=-")
	w.line("t=0 0")
	w.line("a=group:BUNDLE %s", bundle)
	w.line("a=msid-semantic: WMS load")
	return w
}

// offerSection writes what every media section begins with, with our transport in it, and for an offer the extensions.
func (t *Transport) offerSection(w *writer, kind Kind, mid, formats, setup string, trickle bool) {
	t.section(w, string(kind), mid, formats, setup, trickle)
	for _, e := range offered {
		if e.kind == "" || e.kind == kind {
			w.line("a=extmap:%d %s", e.id, e.uri)
		}
	}
}

func (t *Transport) section(w *writer, kind, mid, formats, setup string, trickle bool) {
	w.line("m=%s 9 UDP/TLS/RTP/SAVPF %s", kind, formats)
	w.line("c=IN IP4 0.0.0.0")
	w.line("a=rtcp:9 IN IP4 0.0.0.0")
	if !trickle {
		w.line("a=%s", t.Candidate())
		w.line("a=end-of-candidates")
	}
	w.line("a=ice-ufrag:%s", t.agent.ufrag)
	w.line("a=ice-pwd:%s", t.agent.pwd)
	w.line("a=ice-options:trickle")
	w.line("a=fingerprint:sha-256 %s", t.identity.Fingerprint)
	w.line("a=setup:%s", setup)
	w.line("a=mid:%s", mid)
	w.line("a=rtcp-mux")
}

// Candidate returns the candidate-attribute of the transport's socket, beginning with "candidate:".
func (t *Transport) Candidate() string {
	l := t.Local()
	return fmt.Sprintf("candidate:1 1 udp %d %s %d typ host generation 0", uint32(hostPriority), l.Addr(), l.Port())
}

// Description is what we take from the server's session description.
type Description struct {
	Remote Remote
	Media  []Media // by m-line
	Bundle string
}

// Media is a media section.
type Media struct {
	Kind       string // as in the m-line
	Mid        string
	Rejected   bool
	Payloads   map[uint8]Payload
	Extensions map[string]uint8  // URI to id
	Repairs    map[uint32]uint32 // SSRC of a retransmission stream to that of its media (FID)

	lines   []string // that an answer repeats
	formats string
}

// Payload is what a payload type stands for.
type Payload struct {
	Codec string // in lower case
	Apt   uint8  // of rtx: what it repairs
}

// ParseDescription reads the server's offer or answer.
func ParseDescription(text string) (*Description, error) {
	var s sdp.SessionDescription
	if err := s.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("session description: %w", err)
	}
	d := &Description{}
	for _, a := range s.Attributes {
		if bundle, ok := strings.CutPrefix(a.Value, "BUNDLE "); ok && a.Key == "group" {
			d.Bundle = bundle
		}
		d.Remote.take(a)
	}
	for _, m := range s.MediaDescriptions {
		d.Media = append(d.Media, parseMedia(m))
		for _, a := range m.Attributes {
			d.Remote.take(a)
		}
	}
	if len(d.Media) == 0 || d.Remote.Ufrag == "" || d.Remote.Pwd == "" || len(d.Remote.Fingerprints) == 0 {
		return nil, errors.New("session description: media, ICE credentials or a SHA-256 fingerprint are missing")
	}
	return d, nil
}

// take notes a transport attribute; everything is bundled, so the first one counts.
func (r *Remote) take(a sdp.Attribute) {
	switch a.Key {
	case "ice-ufrag":
		if r.Ufrag == "" {
			r.Ufrag = a.Value
		}
	case "ice-pwd":
		if r.Pwd == "" {
			r.Pwd = a.Value
		}
	case "ice-lite":
		r.Lite = true
	case "setup":
		r.Active = a.Value == "active"
	case "fingerprint":
		if algorithm, value, _ := strings.Cut(a.Value, " "); strings.EqualFold(algorithm, "sha-256") {
			r.Fingerprints = append(r.Fingerprints, value)
		}
	case "candidate":
		if c, ok := ParseCandidate(a.Value); ok {
			r.Candidates = append(r.Candidates, c)
		}
	}
}

// ParseCandidate reads a candidate-attribute; ok is false for those that we cannot use: TCP, names, other components.
func ParseCandidate(line string) (addr netip.AddrPort, ok bool) {
	c, err := ice.ParseCandidate(line)
	if err != nil || !strings.EqualFold(c.Protocol, "udp") || c.Component != 1 {
		return addr, false
	}
	ip, err := netip.ParseAddr(c.Address)
	return netip.AddrPortFrom(ip.Unmap(), c.Port), err == nil
}

func parseMedia(m *sdp.MediaDescription) Media {
	out := Media{
		Kind: m.MediaName.Media, Rejected: m.MediaName.Port.Value == 0, formats: strings.Join(m.MediaName.Formats, " "),
		Payloads: map[uint8]Payload{}, Extensions: map[string]uint8{}, Repairs: map[uint32]uint32{},
	}
	number := func(s string) uint8 {
		n, _ := strconv.ParseUint(s, 10, 8) // 0 where it is none
		return uint8(n)
	}
	for _, a := range m.Attributes {
		id, rest, _ := strings.Cut(a.Value, " ")
		switch a.Key {
		case "mid":
			out.Mid = a.Value
		case "rtpmap":
			name, _, _ := strings.Cut(rest, "/")
			p := out.Payloads[number(id)]
			p.Codec = strings.ToLower(name)
			out.Payloads[number(id)] = p
		case "fmtp":
			if apt, ok := strings.CutPrefix(rest, "apt="); ok {
				p := out.Payloads[number(id)]
				p.Apt = number(apt)
				out.Payloads[number(id)] = p
			}
		case "extmap":
			id, _, _ = strings.Cut(id, "/")
			uri, _, _ := strings.Cut(rest, " ")
			out.Extensions[uri] = number(id)
		case "ssrc-group":
			var media, repair uint32
			if n, _ := fmt.Sscanf(a.Value, "FID %d %d", &media, &repair); n == 2 {
				out.Repairs[repair] = media
			}
		}
		out.repeat(a)
	}
	return out
}

// repeat keeps what an answer says as the offer did.
func (m *Media) repeat(a sdp.Attribute) {
	switch a.Key {
	case "rtpmap", "fmtp", "rtcp-fb", "rtcp-rsize":
	case "extmap":
		known := false
		for _, uri := range understood {
			known = known || strings.Contains(a.Value, uri)
		}
		if !known {
			return
		}
	default:
		return
	}
	if a.Value == "" {
		m.lines = append(m.lines, "a="+a.Key)
		return
	}
	m.lines = append(m.lines, "a="+a.Key+":"+a.Value)
}

// Answer writes a subscriber's answer to an offer: it takes all audio and video.
func (t *Transport) Answer(offer *Description, trickle bool) string {
	w := t.begin(offer.Bundle)
	for i := range offer.Media {
		m := &offer.Media[i]
		if m.Rejected || m.Kind != string(Audio) && m.Kind != string(Video) {
			w.line("m=%s 0 UDP/TLS/RTP/SAVPF %s", m.Kind, m.formats)
			w.line("c=IN IP4 0.0.0.0")
			w.line("a=mid:%s", m.Mid)
			w.line("a=inactive")
			continue
		}
		t.section(w, m.Kind, m.Mid, m.formats, "active", trickle)
		w.line("a=recvonly")
		for _, l := range m.lines {
			w.line("%s", l)
		}
	}
	return w.String()
}
