package sdp

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	pion "github.com/pion/sdp/v3"

	"cardea/relay/plane"
)

// Bounds of what is taken from a client.
const (
	maxSize         = 256 << 10 // bytes of a description
	maxMedias       = 128       // m-lines
	maxCandidates   = 64        // kept; later ones are ignored
	maxCandidate    = 1024      // bytes of one candidate
	maxMid          = 16        // bytes, as in Janus
	maxRID          = 16        // bytes
	maxRIDs         = 16        // rid lines read
	maxWildcards    = 16        // rtcp-fb:* lines read
	maxEncodings    = 3         // simulcast encodings kept: Janus counts substreams 0 to 2
	maxExtensions   = 32        // kept a line
	maxSSRCs        = 64        // kept a line
	maxFmtp         = 1024      // bytes; a format with more is ignored
	maxName         = 256       // bytes of the session name and of msid
	maxCredential   = 256       // bytes of ufrag and pwd (RFC 8839)
	maxFingerprints = 8
	minUfrag        = 4  // bytes (RFC 8839)
	minPwd          = 22 // bytes (RFC 8839)
)

// Parse reads a client's session description. Everything that is not understood and not needed is ignored; the error is
// always an [Error].
func Parse(text string) (*Description, error) {
	if !strings.HasPrefix(text, "v=") {
		return nil, &Error{Reason: reasonStart}
	}
	if len(text) > maxSize {
		return nil, &Error{reasonSyntax, fmt.Sprintf("%d bytes", len(text))}
	}
	if i := stray(text); i >= 0 {
		return nil, &Error{reasonSyntax, fmt.Sprintf("control character at byte %d", i)}
	}
	if !strings.Contains(text, "\nm=") {
		return nil, &Error{Reason: reasonMissing}
	}
	var raw pion.SessionDescription
	if err := raw.UnmarshalString(text); err != nil {
		return nil, &Error{reasonSyntax, err.Error()}
	}
	if len(raw.MediaDescriptions) > maxMedias {
		return nil, &Error{reasonSyntax, fmt.Sprintf("%d m-lines", len(raw.MediaDescriptions))}
	}
	d := &Description{
		ID: raw.Origin.SessionID, Version: raw.Origin.SessionVersion,
		Username: clip(raw.Origin.Username, maxName), Name: clip(string(raw.SessionName), maxName),
	}
	direction := sessionDirection(&raw)
	for i, md := range raw.MediaDescriptions {
		m, err := parseMedia(i, md, direction)
		if err != nil {
			return nil, err
		}
		if d.Media(m.Mid) != nil {
			return nil, &Error{reasonProcessing, fmt.Sprintf("mid %q occurs twice", m.Mid)}
		}
		d.Medias = append(d.Medias, m)
	}
	d.Bundle = bundle(&raw)
	if err := d.parseTransport(&raw); err != nil {
		return nil, err
	}
	d.detach()
	return d, nil
}

// stray finds a control character that is not part of a line end. Values of a client's description are written into those
// of others (an fmtp, say), where a bare CR might pass for a line end.
func stray(text string) int {
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\n' || c == '\t' || c == '\r' && i+1 < len(text) && text[i+1] == '\n':
		case c < ' ' || c == 0x7f:
			return i
		}
	}
	return -1
}

func sessionDirection(raw *pion.SessionDescription) plane.Direction {
	for _, a := range raw.Attributes {
		if dir, ok := direction(a.Key); ok {
			return dir
		}
	}
	return plane.SendRecv
}

func direction(key string) (plane.Direction, bool) {
	switch key {
	case "sendrecv":
		return plane.SendRecv, true
	case "sendonly":
		return plane.SendOnly, true
	case "recvonly":
		return plane.RecvOnly, true
	case "inactive":
		return plane.Inactive, true
	}
	return 0, false
}

// bundle returns the mids of the first BUNDLE group (RFC 9143).
func bundle(raw *pion.SessionDescription) []string {
	for _, a := range raw.Attributes {
		if a.Key != "group" {
			continue
		}
		f := strings.Fields(a.Value)
		if len(f) > 0 && f[0] == "BUNDLE" && len(f)-1 <= maxMedias {
			return f[1:]
		}
	}
	return nil
}

// parseTransport takes ICE and DTLS parameters from the first line that is not rejected, and from the session level what
// is missing there. A description whose lines are all rejected needs none.
func (d *Description) parseTransport(raw *pion.SessionDescription) error {
	first := slices.IndexFunc(d.Medias, func(m Media) bool { return !m.Rejected })
	t := &d.Transport
	if first >= 0 {
		readTransport(t, raw.MediaDescriptions[first].Attributes)
	}
	session := plane.Transport{}
	readTransport(&session, raw.Attributes)
	if t.Ufrag == "" && t.Pwd == "" {
		t.Ufrag, t.Pwd = session.Ufrag, session.Pwd
	}
	if len(t.Fingerprints) == 0 {
		t.Fingerprints = session.Fingerprints
	}
	if t.Setup == plane.ActPass {
		t.Setup = session.Setup
	}
	t.Complete = t.Complete || session.Complete
	t.Lite = session.Lite
	if first < 0 {
		return nil
	}
	switch {
	case len(t.Ufrag) < minUfrag || len(t.Ufrag) > maxCredential || len(t.Pwd) < minPwd || len(t.Pwd) > maxCredential:
		return &Error{reasonProcessing, "no valid ICE credentials"}
	case len(t.Fingerprints) == 0:
		return &Error{reasonProcessing, "no valid fingerprint"}
	}
	return nil
}

func readTransport(t *plane.Transport, attributes []pion.Attribute) {
	for _, a := range attributes {
		switch a.Key {
		case "ice-ufrag":
			t.Ufrag = strings.TrimSpace(a.Value)
		case "ice-pwd":
			t.Pwd = strings.TrimSpace(a.Value)
		case "ice-lite":
			t.Lite = true
		case "fingerprint":
			if f, ok := parseFingerprint(a.Value); ok && len(t.Fingerprints) < maxFingerprints {
				t.Fingerprints = append(t.Fingerprints, f)
			}
		case "setup":
			switch strings.TrimSpace(a.Value) {
			case "active":
				t.Setup = plane.Active
			case "passive":
				t.Setup = plane.Passive
			}
		case "candidate":
			if c, err := ParseCandidate(a.Value); err == nil && c.Component == 1 && len(t.Candidates) < maxCandidates {
				t.Candidates = append(t.Candidates, c)
			}
		case "end-of-candidates":
			t.Complete = true
		}
	}
}

// parseFingerprint reads a certificate's fingerprint (RFC 8122); unknown hashes and malformed ones are not taken.
func parseFingerprint(s string) (plane.Fingerprint, bool) {
	algorithm, value, _ := strings.Cut(strings.TrimSpace(s), " ")
	f := plane.Fingerprint{Algorithm: strings.ToLower(algorithm), Value: strings.ToUpper(strings.TrimSpace(value))}
	size := map[string]int{"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}[f.Algorithm]
	if size == 0 || len(f.Value) != size*3-1 {
		return f, false
	}
	for pair := range strings.SplitSeq(f.Value, ":") {
		if b, err := hex.DecodeString(pair); err != nil || len(b) != 1 {
			return f, false
		}
	}
	return f, true
}

func parsePayloadType(s string) (uint8, bool) {
	n, err := strconv.ParseUint(s, 10, 7)
	return uint8(n), err == nil
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
