package sdp

import (
	"strconv"

	"cardea/relay/plane"
)

// profile is the RTP profile of the server's offers.
const profile = "UDP/TLS/RTP/SAVPF"

// cname is the RTCP canonical name of everything the node sends, as Janus's.
const cname = "janus"

// Format writes a description of the server's: session id, version, name and lines of d over the transport t.
//
// A line that the server refused although it was offered keeps its mid and gets port 0, but for the first one: the
// transport hangs on it, so it is written with port 9 and inactive. Candidates are written once, on the first line that
// carries the transport.
func Format(d *Description, t plane.Transport) string {
	w := writer{b: make([]byte, 0, 1024+1024*len(d.Medias)), t: &t}
	w.session(d)
	for i := range d.Medias {
		w.media(&d.Medias[i], i == 0)
	}
	return string(w.b)
}

// carries tells whether a line is written with a port, so that it belongs to the BUNDLE group.
func carries(m *Media, first bool) bool { return !m.Rejected || first && m.refused }

type writer struct {
	b          []byte
	t          *plane.Transport
	candidates bool // written
}

// line writes the parts as one line.
func (w *writer) line(parts ...string) {
	for _, p := range parts {
		w.b = append(w.b, p...)
	}
	w.b = append(w.b, '\r', '\n')
}

func (w *writer) session(d *Description) {
	name := d.Name
	if name == "" {
		name = "-"
	}
	w.line("v=0")
	w.line("o=- ", strconv.FormatUint(d.ID, 10), " ", strconv.FormatUint(d.Version, 10), " IN IP4 ", w.address())
	w.line("s=", name)
	w.line("t=0 0")
	w.bundle(d.Medias)
	w.line("a=ice-options:trickle")
	for _, f := range w.t.Fingerprints {
		w.line("a=fingerprint:", f.Algorithm, " ", f.Value)
	}
	w.line("a=extmap-allow-mixed")
	w.line("a=msid-semantic: WMS *")
	if w.t.Lite {
		w.line("a=ice-lite")
	}
}

func (w *writer) bundle(medias []Media) {
	group := "a=group:BUNDLE"
	for i := range medias {
		if carries(&medias[i], i == 0) {
			w.b = append(append(append(w.b, group...), ' '), medias[i].Mid...)
			group = ""
		}
	}
	if group == "" {
		w.line()
	}
}

// address is an IPv4 address of the node, for lines that must have one and that nobody reads.
func (w *writer) address() string {
	for _, c := range w.t.Candidates {
		if c.Protocol == "udp" && isIPv4(c.Address) {
			return c.Address
		}
	}
	return "127.0.0.1"
}

func isIPv4(s string) bool {
	dots := 0
	for i := range len(s) {
		switch {
		case s[i] == '.':
			dots++
		case s[i] < '0' || s[i] > '9':
			return false
		}
	}
	return dots == 3
}

func (w *writer) media(m *Media, first bool) {
	open := carries(m, first)
	w.mline(m, open)
	w.line("c=IN IP4 ", w.address())
	if open && m.Bandwidth != 0 {
		// Chrome and Safari read AS, Firefox reads TIAS.
		w.line("b=AS:", strconv.FormatUint(uint64(max(m.Bandwidth/1000, 1)), 10))
		w.line("b=TIAS:", strconv.FormatUint(uint64(m.Bandwidth), 10))
	}
	direction := m.Direction
	if m.Rejected {
		direction = plane.Inactive
	}
	w.line("a=", directionWord(direction))
	w.line("a=mid:", m.Mid)
	if !open {
		return
	}
	if m.Kind != plane.Data {
		w.line("a=rtcp-mux")
	}
	w.line("a=ice-ufrag:", w.t.Ufrag)
	w.line("a=ice-pwd:", w.t.Pwd)
	w.line("a=ice-options:trickle")
	w.line("a=setup:", setupWord(w.t.Setup))
	switch {
	case m.Kind == plane.Data:
		w.data(m)
	case !m.Rejected:
		w.rtp(m)
	}
	if !w.candidates {
		w.candidates = true
		for _, c := range w.t.Candidates {
			w.b = append(w.b, "a="...)
			w.b = appendCandidate(w.b, c)
			w.line()
		}
		if w.t.Complete {
			w.line("a=end-of-candidates")
		}
	}
}

func (w *writer) mline(m *Media, open bool) {
	port := "9"
	if !open {
		port = "0"
	}
	proto := m.Proto
	if proto == "" {
		proto = profile
	}
	w.b = append(w.b, "m="+m.Type+" "+port+" "+proto...)
	switch {
	case m.Kind == plane.Data && m.LegacySCTP:
		w.b = append(w.b, ' ')
		w.b = strconv.AppendUint(w.b, uint64(m.SCTPPort), 10)
	case m.Kind == plane.Data:
		w.b = append(w.b, " webrtc-datachannel"...)
	case len(m.Codecs) == 0 || m.Rejected:
		w.b = append(w.b, " 0"...)
	default:
		for i := range m.Codecs {
			w.b = append(w.b, ' ')
			w.b = strconv.AppendUint(w.b, uint64(m.Codecs[i].PayloadType), 10)
		}
		for i := range m.Codecs {
			if rtx := m.Codecs[i].RTX; rtx != 0 {
				w.b = append(w.b, ' ')
				w.b = strconv.AppendUint(w.b, uint64(rtx), 10)
			}
		}
	}
	w.line()
}

func (w *writer) data(m *Media) {
	port := strconv.Itoa(int(m.SCTPPort))
	if m.LegacySCTP {
		w.line("a=sctpmap:", port, " webrtc-datachannel 16")
		return
	}
	w.line("a=sctp-port:", port)
}

func (w *writer) rtp(m *Media) {
	for i := range m.Codecs {
		w.codec(m.Kind, &m.Codecs[i])
	}
	for _, e := range m.Extensions {
		id := strconv.Itoa(int(e.ID))
		if d, ok := m.oneWay[e.ID]; ok {
			id += "/" + directionWord(d)
		}
		w.line("a=extmap:", id, " ", e.URI)
	}
	if m.Direction != plane.Inactive {
		msid := m.Msid
		if msid == "" {
			msid = "janus janus" + m.Mid
		}
		w.line("a=msid:", msid)
	}
	// A line that is silent for now keeps its SSRC: Chromium shows nothing of one that goes and comes back.
	if (m.Direction.Sends() || m.Direction == plane.Inactive) && m.SSRC != 0 {
		ssrc := strconv.FormatUint(uint64(m.SSRC), 10)
		if m.RTX != 0 {
			rtx := strconv.FormatUint(uint64(m.RTX), 10)
			w.line("a=ssrc-group:FID ", ssrc, " ", rtx)
			w.line("a=ssrc:", ssrc, " cname:", cname)
			w.line("a=ssrc:", rtx, " cname:", cname)
		} else {
			w.line("a=ssrc:", ssrc, " cname:", cname)
		}
	}
	if m.Direction.Receives() && len(m.Encodings) > 0 && m.Encodings[0].RID != "" {
		w.simulcast(m.Encodings)
	}
}

func (w *writer) codec(k plane.Kind, c *plane.Codec) {
	pt := strconv.Itoa(int(c.PayloadType))
	clock := strconv.FormatUint(uint64(c.ClockRate), 10)
	w.b = append(w.b, "a=rtpmap:"+pt+" "+encodingName(k, c)+"/"+clock...)
	if c.Channels > 1 {
		w.b = append(w.b, '/')
		w.b = strconv.AppendUint(w.b, uint64(c.Channels), 10)
	}
	w.line()
	for _, fb := range [...]struct {
		on   bool
		name string
	}{{c.FIR, "ccm fir"}, {c.NACK, "nack"}, {c.PLI, "nack pli"}, {c.REMB, "goog-remb"}, {c.TransportCC, "transport-cc"}} {
		if fb.on {
			w.line("a=rtcp-fb:", pt, " ", fb.name)
		}
	}
	if c.Fmtp != "" {
		w.line("a=fmtp:", pt, " ", c.Fmtp)
	}
	if c.RTX != 0 {
		rtx := strconv.Itoa(int(c.RTX))
		w.line("a=rtpmap:", rtx, " rtx/", clock)
		w.line("a=fmtp:", rtx, " apt=", pt)
	}
}

// simulcast writes the encodings the node receives, in the order the client listed them.
func (w *writer) simulcast(encodings []plane.Encoding) {
	for _, e := range encodings {
		w.line("a=rid:", e.RID, " recv")
	}
	w.b = append(w.b, "a=simulcast:recv "...)
	for i, e := range encodings {
		if i > 0 {
			w.b = append(w.b, ';')
		}
		if e.Disabled {
			w.b = append(w.b, '~')
		}
		w.b = append(w.b, e.RID...)
	}
	w.line()
}

func directionWord(d plane.Direction) string {
	switch d {
	case plane.SendRecv:
		return "sendrecv"
	case plane.SendOnly:
		return "sendonly"
	case plane.RecvOnly:
		return "recvonly"
	default:
		return "inactive"
	}
}

func setupWord(s plane.Setup) string {
	switch s {
	case plane.Active:
		return "active"
	case plane.Passive:
		return "passive"
	default:
		return "actpass"
	}
}
