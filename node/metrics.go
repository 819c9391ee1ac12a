package node

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newRegistry returns a registry of its own (no global one) with what is known of every node: the Go runtime, the
// process, the build and the load.
func newRegistry(load *loadMeter) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_build_info", Help: "Always 1; its labels tell the version of the node and of Go.",
		ConstLabels: prometheus.Labels{"version": Version(), "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build,
		snapshot(load.Load,
			gauge("cardea_load_share", "Load as a share of that at which new sessions are refused.", func(l Load) float64 { return l.Share }),
			gauge("cardea_load_cpu_share", "Processor time used, as a share of what the process may use.", func(l Load) float64 { return l.CPU }),
			gauge("cardea_load_scheduling_latency_seconds", "How late runnable work starts, 99th percentile.", func(l Load) float64 { return l.Latency.Seconds() }),
			gauge("cardea_load_refusing", "1 while new sessions are refused because of the load.", func(l Load) float64 {
				if l.Refusing != "" {
					return 1
				}
				return 0
			}),
		),
	)
	return r
}

// metric is one number of a snapshot.
type metric[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(S) float64
}

// gauge and counter describe a metric without labels; value picks it from a snapshot.
func gauge[S any](name, help string, value func(S) float64) metric[S] {
	return metric[S]{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, value}
}

// counter is like gauge, for what only grows.
func counter[S any](name, help string, value func(S) float64) metric[S] {
	return metric[S]{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, value}
}

// collector exports a package's own counters, which stay plain atomic numbers there. read is called once a scrape.
type collector[S any] struct {
	read    func() S
	metrics []metric[S]
}

// snapshot returns a collector of the metrics of what read returns: often a pointer to the counters themselves.
func snapshot[S any](read func() S, metrics ...metric[S]) prometheus.Collector {
	return collector[S]{read, metrics}
}

// Describe implements [prometheus.Collector].
func (c collector[S]) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
}

// Collect implements [prometheus.Collector].
func (c collector[S]) Collect(out chan<- prometheus.Metric) {
	s := c.read()
	for _, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s))
	}
}

// labelled exports a map of counts under one name with one label, whose values are a fixed set (verbs, error codes).
type labelled[K comparable, N int64 | uint64] struct {
	desc *prometheus.Desc
	read func() map[K]N
	text func(K) string
}

// byLabel returns a collector of counts by label.
func byLabel[K comparable, N int64 | uint64](name, help, label string, read func() map[K]N, text func(K) string) prometheus.Collector {
	return labelled[K, N]{prometheus.NewDesc(name, help, []string{label}, nil), read, text}
}

// Describe implements [prometheus.Collector].
func (l labelled[K, N]) Describe(out chan<- *prometheus.Desc) { out <- l.desc }

// Collect implements [prometheus.Collector].
func (l labelled[K, N]) Collect(out chan<- prometheus.Metric) {
	for k, n := range l.read() {
		out <- prometheus.MustNewConstMetric(l.desc, prometheus.CounterValue, float64(n), l.text(k))
	}
}
