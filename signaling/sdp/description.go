package sdp

import (
	"strings"

	"cardea/relay/plane"
)

// Description is a session description, the client's ([Parse]) or the server's own ([Format]).
type Description struct {
	ID        uint64          // session id of the o= line
	Version   uint64          // session version of the o= line; grows with every change
	Username  string          // user name of the o= line ("mozilla...THIS_IS_SDPARTA" of Firefox, "-" of most)
	Name      string          // s= line
	Bundle    []string        // mids of the first BUNDLE group; nil without one
	Transport plane.Transport // of the first line that is not rejected, or the session level
	Medias    []Media         // in the order of the m-lines
}

// Media is one m-line.
type Media struct {
	Kind      plane.Kind // 0 for kinds the server does not know, which can only be rejected
	Type      string     // media word of the m-line: "audio", "video", "application", ...
	Mid       string     // never empty and unique after Parse: lines without one are named by their index
	Proto     string     // "UDP/TLS/RTP/SAVPF", "UDP/DTLS/SCTP", "DTLS/SCTP", ...
	Rejected  bool       // port 0, other than by bundle-only
	Direction plane.Direction
	// Codecs in the order of preference. Retransmission formats are folded into the codec they repair; formats that
	// the server never forwards (comfort noise, DTMF, FEC) are left out.
	Codecs     []plane.Codec
	Extensions []plane.Extension
	// Encodings in the order in which the author lists them. Of a client's line: what it sends. Of an answer of the
	// server: those it takes.
	Encodings []plane.Encoding
	// SIM says that Encodings come from an ssrc-group SIM, which lists the lowest quality first, and not from rids.
	SIM        bool
	SSRC       uint32 // of what the author sends, of the first encoding; 0 when not announced
	RTX        uint32 // SSRC of its retransmissions; 0 for none
	Msid       string // "stream track"
	Bandwidth  uint32 // bits/s the author wants to receive at most; 0 for no limit
	SCTPPort   uint16 // Data only
	MaxMessage uint32 // Data only, bytes; 0 when not said (64 KiB, RFC 8841), 2^32-1 for no limit
	LegacySCTP bool   // Data only: the form before RFC 8841 (DTLS/SCTP with sctpmap)

	// refused marks a line the server refused although it was offered: as the first line it must still carry the
	// transport, see Format.
	refused bool
	// oneWay has the directions of extensions that do not go both ways, by id (RFC 8285 section 6), the author's; nil for
	// none.
	oneWay map[uint8]plane.Direction
}

// Options tune a description of the server's.
type Options struct {
	Name    string // s= line; "" becomes "-"
	Restart bool   // an offer with new ICE credentials
	E2EE    bool   // the media is encrypted end to end; goes into the JSEP object, not the SDP
}

// Codec returns the codec media of the line flows in: the first that is not RED. ok is false without one.
func (m *Media) Codec() (c plane.Codec, ok bool) {
	for _, c := range m.Codecs {
		if c.Name != "red" {
			return c, true
		}
	}
	return plane.Codec{}, false
}

// RED tells whether RED (RFC 2198) is among the codecs.
func (m *Media) RED() bool {
	for _, c := range m.Codecs {
		if c.Name == "red" {
			return true
		}
	}
	return false
}

// Simulcast tells whether the author announced more than one encoding.
func (m *Media) Simulcast() bool { return len(m.Encodings) > 1 }

// Extension returns the id of an extension; 0 when it is not there.
func (m *Media) Extension(uri string) uint8 {
	for _, e := range m.Extensions {
		if e.URI == uri {
			return e.ID
		}
	}
	return 0
}

// FmtpParam returns the value of a parameter of a codec's fmtp ("useinbandfec" in "minptime=10;useinbandfec=1").
func FmtpParam(fmtp, name string) (string, bool) {
	for p := range strings.SplitSeq(fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// Media returns the line of a mid, nil when there is none.
func (d *Description) Media(mid string) *Media {
	for i := range d.Medias {
		if d.Medias[i].Mid == mid {
			return &d.Medias[i]
		}
	}
	return nil
}

// Reverse returns the direction as the other end sees it.
func Reverse(d plane.Direction) plane.Direction {
	var r plane.Direction
	if d.Sends() {
		r |= plane.RecvOnly
	}
	if d.Receives() {
		r |= plane.SendOnly
	}
	return r
}

// AnswerSetup is the DTLS role the node takes when the other end wrote remote: the client's, unless the other end must be
// (RFC 8842).
func AnswerSetup(remote plane.Setup) plane.Setup {
	if remote == plane.Active {
		return plane.Passive
	}
	return plane.Active
}
