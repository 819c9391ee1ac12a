package node

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cardea/node/console"
	"cardea/relay/codec"
	"cardea/relay/peer"
	"cardea/relay/plane"
	"cardea/relay/quality"
	"cardea/signaling/videoroom"
)

// qualityMeters are the histograms of what users see and hear. Labels are few and their values a fixed set: never a room, a user or
// anything else that a client may choose.
type qualityMeters struct {
	firstFrame, stalledShare, stallsPerMinute, mos, rtt *prometheus.HistogramVec
	watched, frozen, stalls                             *prometheus.CounterVec
	connect                                             *prometheus.HistogramVec
	attempts                                            *prometheus.CounterVec
}

// Values of labels.
const (
	sourceServer, sourceClient = "server", "client"
	roleSubscriber             = "subscriber" // of what the node sends
	rolePublisher              = "publisher"  // of what it receives
)

func newQualityMeters(registry prometheus.Registerer, region, node string) *qualityMeters {
	constant := prometheus.Labels{"region": region, "node": node}
	line := []string{"source", "role", "codec"}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets, ConstLabels: constant}, labels)
		registry.MustRegister(h)
		return h
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: constant}, labels)
		registry.MustRegister(c)
		return c
	}
	path := []string{"network", "kind", "protocol"}
	return &qualityMeters{
		firstFrame: histogram("cardea_quality_first_frame_seconds", "From subscribe (role publisher: publish) to the first picture.",
			[]float64{.1, .2, .3, .4, .5, .75, 1, 1.5, 2, 3, 5, 10, 20}, line...),
		stalledShare: histogram("cardea_quality_stalled_share", "Share of the time watched that the picture stood still, one observation a line and report.",
			[]float64{0, .005, .01, .02, .05, .1, .2, .5}, line...),
		stallsPerMinute: histogram("cardea_quality_stalls_per_minute", "Stalls of the picture in a minute of watching, one observation a line and report.",
			[]float64{0, .5, 1, 2, 4, 8, 16, 32}, line...),
		mos: histogram("cardea_quality_audio_mos", "Score of sound by the E-model, 1 to 4.5, one observation a line and report.",
			[]float64{1.5, 2, 2.5, 3, 3.3, 3.6, 3.8, 4, 4.2, 4.3, 4.4}, line...),
		rtt: histogram("cardea_quality_rtt_seconds", "Round trip to the client, one observation a report.",
			[]float64{.005, .01, .02, .05, .1, .15, .2, .3, .5, 1, 2}, "source"),
		watched: counter("cardea_quality_watched_seconds_total", "Time with a picture on display, frozen or not.", line...),
		frozen:  counter("cardea_quality_frozen_seconds_total", "Of that, the time that it stood still.", line...),
		stalls:  counter("cardea_quality_stalls_total", "Times that it did.", line...),
		connect: histogram("cardea_quality_connect_seconds", "From the first session description to ICE and DTLS done.",
			[]float64{.05, .1, .2, .3, .5, .75, 1, 1.5, 2, 3, 5, 10, 20}, path...),
		attempts: counter("cardea_quality_connects_total",
			"How clients' attempts to reach the node ended, by the family of their address, the type of their ICE candidate (relay: by TURN) and the protocol.",
			append([]string{"result"}, path...)...),
	}
}

// orUnknown is the value of a label for what is not known.
func orUnknown(v string) string {
	if v == "" {
		return "unknown"
	}
	return v
}

// reached counts how a client's attempt ended.
func (m *qualityMeters) reached(o peer.Outcome) {
	network, kind, protocol := orUnknown(o.Path.Network), orUnknown(o.Path.Kind), orUnknown(o.Path.Protocol)
	m.attempts.WithLabelValues(o.Result.String(), network, kind, protocol).Inc()
	if o.Result == peer.ResultConnected {
		m.connect.WithLabelValues(network, kind, protocol).Observe(o.Took.Seconds())
	}
}

// leastWatched is how long a line must have been watched in a report to be judged.
const leastWatched = time.Second

// observe counts what one client's user saw and heard.
func (m *qualityMeters) observe(source string, q *plane.Quality) {
	if q.RTT > 0 {
		m.rtt.WithLabelValues(source).Observe(q.RTT.Seconds())
	}
	for i := range q.Lines {
		l := &q.Lines[i]
		role := rolePublisher
		if l.Sending {
			role = roleSubscriber
		}
		name := codec.ByName(l.Codec).String() // "other" for what is not looked into: names come from clients
		if l.FirstFrame > 0 {
			m.firstFrame.WithLabelValues(source, role, name).Observe(l.FirstFrame.Seconds())
		}
		if l.MOS > 0 {
			m.mos.WithLabelValues(source, role, name).Observe(l.MOS)
		}
		if l.Watched <= 0 {
			continue
		}
		m.watched.WithLabelValues(source, role, name).Add(l.Watched.Seconds())
		m.frozen.WithLabelValues(source, role, name).Add(l.Frozen.Seconds())
		m.stalls.WithLabelValues(source, role, name).Add(float64(l.Stalls))
		if l.Watched >= leastWatched {
			m.stalledShare.WithLabelValues(source, role, name).Observe(l.Frozen.Seconds() / l.Watched.Seconds())
			m.stallsPerMinute.WithLabelValues(source, role, name).Observe(float64(l.Stalls) / l.Watched.Minutes())
		}
	}
}

// addQuality keeps what the planes will tell of users' quality for metrics and the console. It comes before the planes are made.
func (n *Node) addQuality() {
	n.meters = newQualityMeters(n.registry, n.cfg.Node.Region, n.name)
	n.board = quality.NewBoard()
	n.registry.MustRegister(snapshot(func() *quality.Board { return n.board },
		gauge("cardea_quality_board_lines", "Lines of clients whose last minutes the console can show.", func(b *quality.Board) float64 { return float64(b.Lines()) }),
		counter("cardea_quality_board_refused_total", "Reports of lines that were not kept for the console, since there were too many.", func(b *quality.Board) float64 { return float64(b.Refused()) }),
	))
	n.quality = func(room string, participants []string) map[string]console.Quality {
		return n.roomQuality(time.Now(), room, participants)
	}
}

// tookQuality takes what the media plane, wherever it is, or a client tells of a handle in a room. What a media plane tells is in
// its own node's metrics.
func (n *Node) tookQuality(r videoroom.QualityReport) {
	if r.Client {
		r.Quality.Lines = slices.Clone(r.Quality.Lines) // the report's own
		for i := range r.Quality.Lines {
			l := &r.Quality.Lines[i]
			if l.Kind == plane.Audio && l.Sending {
				l.MOS = quality.Heard(codec.ByName(l.Codec), l.Packets, l.Loss, r.Quality.RTT, l.Jitter)
			}
		}
		if n.cfg.Quality.ClientReports {
			n.meters.observe(sourceClient, &r.Quality)
		}
	}
	n.board.Add(time.Now(), &quality.Report{
		Room: r.Room, Participant: r.Participant, Session: r.Session, Handle: r.Handle, Client: r.Client, Quality: r.Quality,
	})
}
