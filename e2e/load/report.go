package load

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"cardea/e2e/load/internal/measure"
	"cardea/e2e/load/internal/synth"
)

// Report is what a run measured. Counts of packets are of RTP packets first sent in the measured interval, unless they say
// otherwise; retransmissions are no packets of their own.
type Report struct {
	Setup       Setup          `json:"config"`
	Publishers  Clients        `json:"publishers"`
	Subscribers Clients        `json:"subscribers"`
	Errors      []string       `json:"errors,omitempty"` // the first different ones, with how often
	Packets     Packets        `json:"packets"`
	Bytes       Bytes          `json:"bytes"`
	Delay       Quantiles      `json:"forwarding_delay_ms"` // from the publisher's socket to the subscriber's
	Join        Quantiles      `json:"join_ms"`             // of subscribers: from connecting to webrtcup
	FirstFrame  FirstFrame     `json:"first_frame_ms"`
	Feedback    Feedback       `json:"feedback"`
	SRTP        map[string]int `json:"srtp"`             // subscribers by protection profile
	Server      *Server        `json:"server,omitempty"` // with Config.PID
	Generator   Generator      `json:"generator"`
}

// Setup is the load that was made.
type Setup struct {
	URL                     string  `json:"url"`
	Rooms                   int     `json:"rooms"`
	PublishersPerRoom       int     `json:"publishers_per_room"`
	SubscribersPerRoom      int     `json:"subscribers_per_room"`
	JoinsPerSecond          float64 `json:"joins_per_second"`
	WarmUpSeconds           float64 `json:"warm_up_seconds"`
	MeasuredSeconds         float64 `json:"measured_seconds"`
	BitsPerSecond           int     `json:"bits_per_second"`
	FramesPerSecond         int     `json:"frames_per_second"`
	KeyframeIntervalSeconds float64 `json:"keyframe_interval_seconds"`
	Simulcast               bool    `json:"simulcast"`
	Trickle                 bool    `json:"trickle"`
	BurstMilliseconds       float64 `json:"burst_ms"` // rhythm of the publishers' pacers
}

// Clients counts clients of one kind.
type Clients struct {
	Wanted int `json:"wanted"`
	Joined int `json:"joined"`
}

// Packets counts packets.
type Packets struct {
	Offered     uint64  `json:"offered"`   // sent by publishers, all layers
	Expected    uint64  `json:"expected"`  // at all subscribers that joined, together
	Delivered   uint64  `json:"delivered"` // of these
	Lost        uint64  `json:"lost"`
	LossPercent float64 `json:"loss_percent"`
	Recovered   uint64  `json:"recovered"`                // delivered by retransmission
	Duplicated  uint64  `json:"duplicated"`               // came again unasked
	Needless    uint64  `json:"needless_retransmissions"` // of what had come already: races, and probing
	Foreign     uint64  `json:"foreign"`                  // were not what a publisher of the room sent
	Received    uint64  `json:"received"`                 // by time of arrival: everything with media in it
}

// Bytes counts bytes of RTP, headers included, without encryption, UDP and IP.
type Bytes struct {
	Offered   uint64 `json:"offered"`
	Delivered uint64 `json:"delivered"`
}

// Quantiles are of a distribution, milliseconds.
type Quantiles struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// FirstFrame says how long it took until the first keyframe of a video was complete, for each video of each subscriber.
type FirstFrame struct {
	FromJoin  Quantiles `json:"from_join"`  // from sending the request to join
	FromStart Quantiles `json:"from_start"` // from sending the answer with "start"
	Missing   int       `json:"missing"`    // videos that never began
}

// Feedback counts feedback over the whole run.
type Feedback struct {
	KeyframesSent            int     `json:"keyframes_sent"`
	KeyframeRequests         int     `json:"keyframe_requests"`            // that publishers got
	ClosestRequestsMS        float64 `json:"closest_keyframe_requests_ms"` // to one layer; 0: no two
	PacketsAsked             int     `json:"packets_asked"`                // of publishers, by NACKs
	Retransmitted            int     `json:"retransmitted"`                // by publishers
	SubscriberNACKs          uint64  `json:"subscriber_nacks"`             // packets, each time
	SubscriberKeyframeWishes uint64  `json:"subscriber_keyframe_requests"`
}

// Server is what the server's process spent.
type Server struct {
	PID                 int     `json:"pid"`
	CPUSeconds          float64 `json:"cpu_seconds"` // user and system, in the measured interval
	CPUShare            float64 `json:"cpu_share"`   // of one core
	CPUNSPerPacket      float64 `json:"cpu_ns_per_forwarded_packet"`
	RSSBefore           int64   `json:"rss_before_subscribers"` // bytes
	RSS                 int64   `json:"rss"`                    // at the end of the measured interval
	MemoryPerSubscriber float64 `json:"memory_per_subscriber_bytes"`
	Threads             int     `json:"threads"`
}

// Generator is what this process spent, and how well it kept time.
type Generator struct {
	CPUSeconds     float64 `json:"cpu_seconds"`
	CPUShare       float64 `json:"cpu_share"` // of one core
	CPUNSPerPacket float64 `json:"cpu_ns_per_received_packet"`
	SendStallMS    float64 `json:"send_stall_ms"`    // the longest time publishers were not looked after
	ReceiveStallMS float64 `json:"receive_stall_ms"` // the same of subscribers; their packets waited in the kernel
}

// Forwarded tells whether anything was.
func (r *Report) Forwarded() bool { return r.Packets.Delivered > 0 }

// report puts the figures together, when the loops have ended.
func (r *runner) report() Report {
	c := r.cfg
	out := Report{
		Setup: Setup{
			URL: c.URL, Rooms: c.Rooms, PublishersPerRoom: c.Publishers, SubscribersPerRoom: c.Subscribers, JoinsPerSecond: c.JoinRate,
			WarmUpSeconds: c.WarmUp.Seconds(), MeasuredSeconds: c.Duration.Seconds(), BitsPerSecond: c.Bitrate, FramesPerSecond: c.FPS,
			KeyframeIntervalSeconds: c.KeyframeInterval.Seconds(), Simulcast: c.Simulcast, Trickle: c.Trickle,
			BurstMilliseconds: milliseconds(synth.BurstInterval),
		},
		Publishers:  Clients{Wanted: len(r.publishers)},
		Subscribers: Clients{Wanted: len(r.subscribers)},
		Delay:       quantiles(&r.total.delay),
		SRTP:        map[string]int{},
	}
	for text, n := range r.errors {
		out.Errors = append(out.Errors, fmt.Sprintf("%d x %s", n, text))
	}
	slices.Sort(out.Errors)
	r.reportPublishers(&out)
	r.reportSubscribers(&out)
	r.reportCost(&out)
	return out
}

func (r *runner) reportPublishers(out *Report) {
	var closest time.Duration
	for _, c := range r.publishers {
		if c == nil {
			continue
		}
		out.Publishers.Joined++
		p := c.publisher
		for _, o := range p.offered {
			out.Packets.Offered += o.packets
			out.Bytes.Offered += o.bytes
		}
		f := &out.Feedback
		f.KeyframeRequests += p.requests.count
		f.PacketsAsked += p.asked
		f.Retransmitted += p.answered
		for _, e := range p.video {
			f.KeyframesSent += e.video.Keyframes()
		}
		if k := p.requests.closest; k != 0 && (closest == 0 || k < closest) {
			closest = k
		}
	}
	out.Feedback.ClosestRequestsMS = milliseconds(closest)
}

func (r *runner) reportSubscribers(out *Report) {
	var join, fromJoin, fromStart measure.Histogram
	for i, c := range r.subscribers {
		if c == nil {
			continue
		}
		out.Subscribers.Joined++
		out.SRTP[c.transport.Profile()]++
		room := i / r.cfg.Subscribers
		out.Packets.Expected += r.expected(c.subscriber, room)
		join.Add(time.Duration(c.up - c.connecting))
		for _, at := range c.subscriber.pictures {
			fromJoin.Add(time.Duration(at - c.joining))
			fromStart.Add(time.Duration(at - c.starting))
		}
		out.FirstFrame.Missing += max(len(r.rooms.made[room].feeds)-len(c.subscriber.pictures), 0)
	}
	t, p := &r.total, &out.Packets
	p.Delivered, p.Recovered, p.Duplicated, p.Needless = t.delivered, t.recovered, t.duplicated, t.needless
	p.Foreign, p.Received = t.foreign, t.received
	if p.Expected > p.Delivered {
		p.Lost = p.Expected - p.Delivered
		p.LossPercent = round(100 * float64(p.Lost) / float64(p.Expected))
	}
	out.Bytes.Delivered = t.bytes
	out.Join, out.FirstFrame.FromJoin, out.FirstFrame.FromStart = quantiles(&join), quantiles(&fromJoin), quantiles(&fromStart)
	out.Feedback.SubscriberNACKs, out.Feedback.SubscriberKeyframeWishes = t.nacked, t.keyframes
}

// expected returns how many packets a subscriber should have got in the interval: all of every stream, but of layered videos
// those of the layers the server chose.
func (r *runner) expected(s *subscriber, room int) (n uint64) {
	for k := range r.cfg.Publishers {
		c := r.publishers[room*r.cfg.Publishers+k]
		if c == nil {
			continue
		}
		for i, o := range c.publisher.offered {
			if i == 0 || !r.cfg.Simulcast {
				n += o.packets
			} else {
				n += s.streams[k*streamsPerPublisher+i].run.Expected()
			}
		}
	}
	return n
}

func (r *runner) reportCost(out *Report) {
	elapsed := time.Duration(r.after.at - r.before.at)
	perPacket := func(d time.Duration) float64 {
		if out.Packets.Received == 0 {
			return 0
		}
		return math.Round(float64(d) / float64(out.Packets.Received))
	}
	own := r.after.own - r.before.own
	out.Generator = Generator{
		CPUSeconds: own.Seconds(), CPUShare: round(own.Seconds() / elapsed.Seconds()), CPUNSPerPacket: perPacket(own),
		SendStallMS: milliseconds(r.sending.Stalled()), ReceiveStallMS: milliseconds(r.receiving.Stalled()),
	}
	if r.cfg.PID == 0 {
		return
	}
	cpu := r.after.server.CPU - r.before.server.CPU
	out.Server = &Server{
		PID: r.cfg.PID, CPUSeconds: cpu.Seconds(), CPUShare: round(cpu.Seconds() / elapsed.Seconds()), CPUNSPerPacket: perPacket(cpu),
		RSSBefore: r.empty.RSS, RSS: r.after.server.RSS, Threads: r.after.server.Threads,
	}
	if n := out.Subscribers.Joined; n > 0 {
		out.Server.MemoryPerSubscriber = math.Round(float64(r.after.server.RSS-r.empty.RSS) / float64(n))
	}
}

func quantiles(h *measure.Histogram) Quantiles {
	return Quantiles{
		Count: h.Count(), P50: milliseconds(h.Quantile(0.5)), P95: milliseconds(h.Quantile(0.95)), P99: milliseconds(h.Quantile(0.99)),
		Max: milliseconds(h.Max()),
	}
}

func milliseconds(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

// round keeps three digits behind the point.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }

// WriteJSON writes the report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteTable writes the figures that matter most for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) } // errors show in Flush
	row("load", "rooms %d x publishers %d x subscribers %d, %.0f s", r.Setup.Rooms, r.Setup.PublishersPerRoom, r.Setup.SubscribersPerRoom, r.Setup.MeasuredSeconds)
	row("joined", "%d/%d publishers, %d/%d subscribers", r.Publishers.Joined, r.Publishers.Wanted, r.Subscribers.Joined, r.Subscribers.Wanted)
	row("packets", "%d delivered of %d, %d lost (%.3f %%), %d duplicated", r.Packets.Delivered, r.Packets.Expected, r.Packets.Lost, r.Packets.LossPercent, r.Packets.Duplicated)
	line := func(name string, q Quantiles) {
		row(name, "p50 %.2f  p95 %.2f  p99 %.2f  max %.2f ms", q.P50, q.P95, q.P99, q.Max)
	}
	line("delay", r.Delay)
	line("join", r.Join)
	line("first frame", r.FirstFrame.FromJoin)
	if s := r.Server; s != nil {
		row("server", "%.1f us a packet, %.0f %% of a core, %.0f KiB a subscriber, RSS %d MiB",
			s.CPUNSPerPacket/1e3, s.CPUShare*100, s.MemoryPerSubscriber/1024, s.RSS>>20)
	}
	row("generator", "%.1f us a packet, %.0f %% of a core", r.Generator.CPUNSPerPacket/1e3, r.Generator.CPUShare*100)
	if len(r.Errors) > 0 {
		row("errors", "%s", strings.Join(r.Errors, "\n\t"))
	}
	return t.Flush()
}
