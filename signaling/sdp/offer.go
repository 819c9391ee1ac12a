package sdp

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"cardea/relay/plane"
)

// Feed is what one line of a server's offer carries.
type Feed struct {
	Kind      plane.Kind
	Mid       string          // the subscriber's mid
	Direction plane.Direction // the node's: SendOnly, or Inactive for a line that is kept but carries nothing
	Codec     string          // name in the Janus API; must be a known one
	Fmtp      string          // of the publisher's codec
	RED       bool            // the publisher's stream is RED
	// Extensions are offered besides those that are on every line: mid and transport-cc, and of video abs-send-time.
	Extensions []string
	Msid       string // "" for "janus janus<mid>"
}

// NewOffer is the line of a server's offer that carries a feed, with Janus's payload types and extension ids.
func NewOffer(f Feed) Media {
	m := Media{Kind: f.Kind, Mid: f.Mid, Direction: f.Direction, Msid: f.Msid, Proto: profile}
	switch f.Kind {
	case plane.Audio:
		m.Type = "audio"
	case plane.Video:
		m.Type = "video"
	case plane.Data:
		m.Type, m.Proto, m.SCTPPort = "application", "UDP/DTLS/SCTP", defaultSCTPPort
		return m
	}
	m.Extensions = offerExtensions(f)
	known := lookup(f.Kind, f.Codec)
	if known == nil {
		m.Rejected = true
		return m
	}
	c := plane.Codec{
		Name: strings.ToLower(known.encoding), PayloadType: known.payload, ClockRate: known.clock, Channels: known.channels,
		Fmtp: f.Fmtp, TransportCC: true,
	}
	if f.Kind == plane.Video {
		c.NACK, c.PLI, c.FIR, c.REMB = true, true, true, true
		c.RTX = known.rtx
	}
	if c.Name == "multiopus" {
		if ch, ok := FmtpParam(f.Fmtp, "num_streams"); ok {
			c.Channels = multiopusChannels(f.Fmtp, ch, c.Channels)
		}
	}
	if f.RED && c.Name == "opus" {
		pt := strconv.Itoa(int(c.PayloadType))
		m.Codecs = append(m.Codecs, plane.Codec{
			Name: "red", PayloadType: redPayload, ClockRate: 48000, Channels: 2,
			Fmtp: pt + "/" + pt, TransportCC: true,
		})
	}
	m.Codecs = append(m.Codecs, c)
	return m
}

// offerExtensions lists the extensions of a line, by id.
func offerExtensions(f Feed) []plane.Extension {
	uris := []string{plane.ExtMid, plane.ExtTransportCC}
	if f.Kind == plane.Video {
		uris = append(uris, plane.ExtAbsSendTime)
	}
	for _, u := range f.Extensions {
		if !slices.Contains(uris, u) && extensionFits(u, f.Codec) {
			uris = append(uris, u)
		}
	}
	var out []plane.Extension
	for _, u := range uris {
		if id := offerID(u); id != 0 {
			out = append(out, plane.Extension{ID: id, URI: u})
		}
	}
	slices.SortFunc(out, func(a, b plane.Extension) int { return int(a.ID) - int(b.ID) })
	return out
}

// multiopusChannels derives the number of channels from the streams and coupled streams of a multiopus fmtp.
func multiopusChannels(fmtp, streams string, fallback uint8) uint8 {
	n, err := strconv.ParseUint(streams, 10, 8)
	coupled, _ := FmtpParam(fmtp, "coupled_streams")
	c, err2 := strconv.ParseUint(coupled, 10, 8)
	if err != nil || err2 != nil || n+c == 0 || n+c > 255 {
		return fallback
	}
	return uint8(n + c)
}

// Settle makes the server's lines fit to be written, in place: lines that send get an SSRC, and what earlier
// negotiations of the same PeerConnection fixed is kept, namely the SSRCs of a mid and retransmissions that the client
// refused. previous is the outcome of the last negotiation, nil for the first.
func Settle(previous, lines []Media) {
	taken := map[uint32]bool{0: true}
	for i := range previous {
		taken[previous[i].SSRC], taken[previous[i].RTX] = true, true
	}
	fresh := func() uint32 {
		for {
			if s := rand.Uint32(); !taken[s] {
				taken[s] = true
				return s
			}
		}
	}
	for i := range lines {
		m := &lines[i]
		if m.Rejected || m.Kind == plane.Data {
			continue
		}
		if p := findMid(previous, m); p != nil {
			m.SSRC, m.RTX = p.SSRC, p.RTX
			keepRefusal(p, m)
		}
		if !m.Direction.Sends() {
			continue
		}
		if m.SSRC == 0 {
			m.SSRC = fresh()
		}
		c, _ := m.Codec()
		switch {
		case c.RTX == 0:
			m.RTX = 0
		case m.RTX == 0:
			m.RTX = fresh()
		}
	}
}

func findMid(previous []Media, m *Media) *Media {
	for i := range previous {
		if p := &previous[i]; p.Mid == m.Mid && p.Kind == m.Kind {
			return p
		}
	}
	return nil
}

// keepRefusal drops retransmissions that were not agreed for the same codec before.
func keepRefusal(p, m *Media) {
	was, ok := p.Codec()
	if !ok || p.Rejected {
		return
	}
	for i := range m.Codecs {
		if m.Codecs[i].Name == was.Name && was.RTX == 0 {
			m.Codecs[i].RTX = 0
		}
	}
}
