package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cardea/signaling/events"
	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
)

// exportEvents exports what becomes of events.
func (n *Node) exportEvents(p *eventPath) {
	counts := func(pick func(events.Count) uint64) func() map[string]uint64 {
		return func() map[string]uint64 {
			all := map[string]uint64{}
			for label, c := range p.bus.Counts() {
				all[label] = pick(c)
			}
			return all
		}
	}
	same := func(label string) string { return label }
	type S = spool.Stats
	n.registry.MustRegister(
		byLabel("cardea_events_emitted_total", "Events that happened here, by type.", "type", counts(func(c events.Count) uint64 { return c.Emitted }), same),
		byLabel("cardea_events_overrun_total", "Events that came faster than they could be put aside. Rising: the processor is busy, and sinks miss them.", "type", counts(func(c events.Count) uint64 { return c.Dropped }), same),
		snapshot(p.bus.Unencodable,
			counter("cardea_events_unencodable_total", "Events left out because they could not be written as JSON: a fault of the program.", func(n uint64) float64 { return float64(n) }),
		),
		snapshot(p.spool.Stats,
			counter("cardea_events_kept_total", "Events put aside for sinks.", func(s S) float64 { return float64(s.Appended) }),
			counter("cardea_events_too_long_total", "Events left out because they were longer than 768 KiB.", func(s S) float64 { return float64(s.TooLong) }),
			gauge("cardea_events_disk_bytes", "Bytes of events on disk. Rising: a sink does not keep up, or is away.", func(s S) float64 { return float64(s.Disk) }),
			gauge("cardea_events_memory_bytes", "Bytes of events in memory.", func(s S) float64 { return float64(s.Memory) }),
			gauge("cardea_events_disk_failing", "1 while the disk takes no events: they are in memory alone.", func(s S) float64 { return flag(s.Failing) }),
			counter("cardea_events_disk_failures_total", "Writes of events to the disk that failed. Rising: the disk of node.data_dir is full or broken.", func(s S) float64 { return float64(s.DiskFailures) }),
			counter("cardea_events_damaged_total", "Places on disk where events could not be read any more. A power cut may leave one.", func(s S) float64 { return float64(s.Damaged) }),
		),
		newSinkCollector(p.runners),
	)
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// sinkMetric is one figure of each sink.
type sinkMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(s sink.Stats) float64
}

// sinkCollector exports the figures of sinks, whose names are a fixed set.
type sinkCollector struct {
	runners []*sink.Runner
	metrics []sinkMetric
}

func newSinkCollector(runners []*sink.Runner) sinkCollector {
	metric := func(kind prometheus.ValueType, name, help string, value func(s sink.Stats) float64) sinkMetric {
		return sinkMetric{prometheus.NewDesc("cardea_events_"+name, help, []string{"sink"}, nil), kind, value}
	}
	return sinkCollector{runners, []sinkMetric{
		metric(prometheus.CounterValue, "delivered_total", "Events that the sink has confirmed.", func(s sink.Stats) float64 { return float64(s.Delivered) }),
		metric(prometheus.CounterValue, "redelivered_total", "Events sent to the sink again, because it had not confirmed them or the node was restarted. The sink may have them twice.", func(s sink.Stats) float64 { return float64(s.Redelivered) }),
		metric(prometheus.CounterValue, "dropped_total", "Events that the sink will never get, since more waited for it than is kept. Rising: raise events.max_disk or mend the sink.", func(s sink.Stats) float64 { return float64(s.Dropped) }),
		metric(prometheus.CounterValue, "refused_total", "Events that the sink refused for what is in them.", func(s sink.Stats) float64 { return float64(s.Refused) }),
		metric(prometheus.CounterValue, "failures_total", "Attempts to deliver that failed.", func(s sink.Stats) float64 { return float64(s.Failures) }),
		metric(prometheus.GaugeValue, "lag", "Events that wait for the sink. Rising: it does not keep up, or is away.", func(s sink.Stats) float64 { return float64(s.Lag) }),
		metric(prometheus.GaugeValue, "lag_seconds", "Age of the event that is being delivered; 0 when there is none.", func(s sink.Stats) float64 {
			if s.Oldest.IsZero() {
				return 0
			}
			return max(0, time.Since(s.Oldest).Seconds())
		}),
		metric(prometheus.GaugeValue, "away", "1 while the sink is away.", func(s sink.Stats) float64 { return flag(s.Away) }),
	}}
}

// Describe implements [prometheus.Collector].
func (c sinkCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
}

// Collect implements [prometheus.Collector].
func (c sinkCollector) Collect(out chan<- prometheus.Metric) {
	for _, r := range c.runners {
		s := r.Stats()
		for _, m := range c.metrics {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), r.Name())
		}
	}
}
