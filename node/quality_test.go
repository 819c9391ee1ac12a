package node

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cardea/node/config"
	"cardea/relay/peer"
	"cardea/relay/plane"
	"cardea/relay/quality"
	"cardea/signaling/videoroom"
)

// qualityNode is as much of a node as quality needs.
func qualityNode() *Node {
	cfg := config.Default()
	cfg.Node.Region = "eu"
	n := &Node{cfg: &cfg, name: "n1", registry: prometheus.NewPedanticRegistry()}
	n.addQuality()
	return n
}

var someQuality = plane.Quality{
	Span: 10 * time.Second, RTT: 80 * time.Millisecond, SentRate: 300_000, ReceivedRate: 100_000,
	Lines: []plane.LineQuality{
		{
			Mid: "1", Kind: plane.Video, Sending: true, Codec: "vp8", FirstFrame: 350 * time.Millisecond, Watched: 10 * time.Second,
			Frozen: time.Second, Stalls: 2, Frames: 250, Packets: 900, Loss: 0.01,
		},
		{Mid: "0", Kind: plane.Audio, Sending: true, Codec: "opus", Packets: 100, Loss: 0.05, MOS: 4.1},
		{Mid: "2", Kind: plane.Video, Codec: "a name of the client's", Watched: 10 * time.Second, Frames: 300, Packets: 1000},
	},
}

func TestQualityMetrics(t *testing.T) {
	n := qualityNode()
	n.meters.observe(sourceServer, &someQuality)
	n.meters.reached(peer.Outcome{Result: peer.ResultConnected, Took: 400 * time.Millisecond, Path: plane.ICEPath{Network: "ipv4", Kind: "relay", Protocol: "udp"}})
	n.meters.reached(peer.Outcome{Result: peer.ResultICEFailed})
	own := someQuality
	own.Lines = []plane.LineQuality{{Mid: "0", Kind: plane.Audio, Sending: true, Codec: "opus", Packets: 500}}
	n.tookQuality(videoroom.QualityReport{Room: "videoroom/1", Participant: "7", Handle: 2, Subscriber: true, Client: true, Quality: own})
	n.tookQuality(videoroom.QualityReport{Room: "videoroom/1", Participant: "7", Handle: 2, Subscriber: true, Quality: someQuality})
	out := scrape(t, n.registry)
	for _, want := range []string{
		`cardea_quality_first_frame_seconds_bucket{codec="vp8",node="n1",region="eu",role="subscriber",source="server",le="0.4"} 1`,
		`cardea_quality_first_frame_seconds_bucket{codec="vp8",node="n1",region="eu",role="subscriber",source="server",le="0.3"} 0`,
		`cardea_quality_stalled_share_sum{codec="vp8",node="n1",region="eu",role="subscriber",source="server"} 0.1`,
		`cardea_quality_stalls_per_minute_sum{codec="vp8",node="n1",region="eu",role="subscriber",source="server"} 12`,
		`cardea_quality_frozen_seconds_total{codec="vp8",node="n1",region="eu",role="subscriber",source="server"} 1`,
		`cardea_quality_watched_seconds_total{codec="other",node="n1",region="eu",role="publisher",source="server"} 10`,
		`cardea_quality_audio_mos_count{codec="opus",node="n1",region="eu",role="subscriber",source="server"} 1`,
		`cardea_quality_audio_mos_count{codec="opus",node="n1",region="eu",role="subscriber",source="client"} 1`,
		`cardea_quality_connects_total{kind="relay",network="ipv4",node="n1",protocol="udp",region="eu",result="connected"} 1`,
		`cardea_quality_connects_total{kind="unknown",network="unknown",node="n1",protocol="unknown",region="eu",result="ice_failed"} 1`,
		`cardea_quality_connect_seconds_count{kind="relay",network="ipv4",node="n1",protocol="udp",region="eu"} 1`,
		`cardea_quality_board_lines 4`,
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	n.cfg.Quality.ClientReports = false
	n.tookQuality(videoroom.QualityReport{Room: "videoroom/1", Client: true, Quality: own})
	if out := scrape(t, n.registry); !strings.Contains(out, `cardea_quality_audio_mos_count{codec="opus",node="n1",region="eu",role="subscriber",source="client"} 1`) {
		t.Error("what a client says is counted though it is not to be")
	}
}

func TestRoomQuality(t *testing.T) {
	n := qualityNode()
	for range 2 {
		n.tookQuality(videoroom.QualityReport{Room: "videoroom/1", Participant: "7", Session: 1, Handle: 2, Subscriber: true, Quality: someQuality})
	}
	n.tookQuality(videoroom.QualityReport{Room: "videoroom/1", Participant: "7", Session: 1, Handle: 2, Client: true, Quality: plane.Quality{RTT: time.Second, Lines: someQuality.Lines}})
	n.tookQuality(videoroom.QualityReport{Room: "videoroom/2", Participant: "8", Quality: someQuality})
	all := n.quality("videoroom/1", []string{"7", "8", ""})
	q, ok := all["7"]
	if !ok || len(all) != 1 {
		t.Fatalf("%v", all)
	}
	last := quality.Steps - 1
	for name, c := range map[string]struct {
		got  *float64
		want float64
	}{
		"rtt":       {q.RTTMS[last], 80},
		"loss down": {q.LossDown[last], (0.01*900 + 0.05*100) / 1000},
		"loss up":   {q.LossUp[last], 0},
		"rate down": {q.RateDown[last], 300_000},
		"rate up":   {q.RateUp[last], 100_000},
		"mos":       {q.MOS, 4.1},
		"frozen":    {q.Frozen, 0.1},
	} {
		if c.got == nil || *c.got < c.want-1e-9 || *c.got > c.want+1e-9 {
			t.Errorf("%s: %v, want %v", name, value(c.got), c.want)
		}
	}
	if q.RTTMS[0] != nil || q.StepSeconds != 10 || len(q.LossUp) != quality.Steps {
		t.Errorf("%+v", q)
	}
	old := qualityOf(time.Now().Add(time.Hour), time.Second, n.board.Room(time.Now(), "videoroom/1", "7"))
	if old.RTTMS[last] != nil {
		t.Error("what is old is shown as new")
	}
	lines := n.qualityLines("videoroom/1", "7")
	if len(lines) != 6 || len(lines[0].Points) == 0 {
		t.Fatalf("%+v", lines)
	}
	for _, l := range lines {
		if l.Source == sourceServer && l.Mid == "1" {
			if p := l.Points[1]; l.Role != roleSubscriber || p.FrozenMS != 1000 || p.FirstFrameMS != 350 || p.Stalls != 2 {
				t.Errorf("%+v", l)
			}
			return
		}
	}
	t.Error("the node's own figures are missing")
}

// value is what a figure is, if it is known.
func value(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}
