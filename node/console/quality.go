package console

import (
	_ "embed" // quality.js
	"net/http"
	"strconv"
	"time"
)

// QualityView is what clients' users in one room saw and heard lately, as far as this node's signaling knows.
type QualityView struct {
	Room    string        `json:"room"` // key: "videoroom/1234"
	Lines   []QualityLine `json:"lines"`
	Offset  int           `json:"offset"`
	Matched int           `json:"matched"` // how many lines there are to be asked for
}

// QualityLine is one line of one client.
type QualityLine struct {
	Participant string         `json:"participant,omitempty"` // "": it is not known whose client it is
	Handle      uint64         `json:"handle"`                // tells clients apart; of no use without its session's id, which is a secret
	Source      string         `json:"source"`                // "server", or "client": it says so itself
	Role        string         `json:"role"`                  // "subscriber": of what it is sent; "publisher": of what it sends
	Mid         string         `json:"mid"`
	Kind        string         `json:"kind"`
	Codec       string         `json:"codec,omitempty"`
	Publisher   string         `json:"publisher,omitempty"` // whose stream it is
	Points      []QualityPoint `json:"points"`              // oldest first
}

// QualityPoint is one report; its figures are of the time since the one before.
type QualityPoint struct {
	At           time.Time `json:"at"`
	SpanMS       float64   `json:"span_ms"`
	RTTMS        float64   `json:"rtt_ms"`
	FirstFrameMS float64   `json:"first_frame_ms,omitempty"` // from subscribe (or publish) to the first picture, when that came
	WatchedMS    float64   `json:"watched_ms,omitempty"`
	FrozenMS     float64   `json:"frozen_ms,omitempty"` // of that
	Stalls       int       `json:"stalls,omitempty"`
	Frames       int       `json:"frames,omitempty"`
	Packets      int       `json:"packets"`
	Loss         float64   `json:"loss"` // share of the packets, before repair
	JitterMS     float64   `json:"jitter_ms"`
	MOS          float64   `json:"mos,omitempty"` // of sound, 1 to 4.5
}

// The bounds of an answer, in lines.
const (
	defaultQualityLines = 100
	maxQualityLines     = 500
)

// qualityModule lets pages tell the node what they see themselves.
//
//go:embed quality.js
var qualityModule []byte

// handleQuality adds the figures of a room's quality to the API, if there are any, and serves the module for clients.
func handleQuality(mux *http.ServeMux, guarded func(pattern string, h http.HandlerFunc), lines func(room, participant string) []QualityLine) {
	mux.HandleFunc("GET /quality.js", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Access-Control-Allow-Origin", "*") // it is public, and applications import it from here
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache") // the next version of the node may have another
		_, _ = w.Write(qualityModule)      // who is gone misses nothing
	})
	if lines == nil {
		return
	}
	guarded("GET /api/v1/quality", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		offset, limit := 0, defaultQualityLines
		for name, into := range map[string]*int{"offset": &offset, "limit": &limit} {
			if text := q.Get(name); text != "" {
				n, err := strconv.Atoi(text)
				if err != nil || n < 0 {
					http.Error(w, name+": want a number from 0 on", http.StatusBadRequest)
					return
				}
				*into = n
			}
		}
		limit = min(limit, maxQualityLines)
		room := q.Get("room")
		if room == "" {
			http.Error(w, "room: want a plugin's name and a room's id, such as videoroom/1234", http.StatusBadRequest)
			return
		}
		all := lines(room, q.Get("participant"))
		v := QualityView{Room: room, Offset: offset, Matched: len(all), Lines: []QualityLine{}}
		if offset < len(all) {
			v.Lines = all[offset:min(offset+limit, len(all))]
		}
		answer(w, v)
	})
}
