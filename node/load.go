package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cardea/node/config"
)

// ErrOverloaded says that the node takes no new sessions just now, to keep the present ones well.
var ErrOverloaded = errors.New("node overloaded")

// loadInterval is the time between two samples of the load.
const loadInterval = 500 * time.Millisecond

// sample is what was measured over one interval.
type sample struct {
	cpu     float64       // share of the process's processor time, 0 to 1
	latency time.Duration // how late runnable work started, 99th percentile
}

// admission decides from samples whether new sessions are taken. It is pure: no clock, no measuring.
type admission struct {
	maxCPU     float64       // 0: does not count
	maxLatency time.Duration // 0: does not count

	cpu     float64       // smoothed
	latency time.Duration // smoothed
	reason  string        // why new sessions are refused, empty when they are taken
}

// Smoothing takes a rise up fast (two seconds of overload refuse) and a fall slowly, so that one quiet interval does
// not open the door. What is refused at the limit is taken again a tenth below it.
const (
	rise     = 0.4
	fall     = 0.1
	reopenAt = 0.9
)

func (a *admission) observe(s sample) {
	a.cpu = smooth(a.cpu, s.cpu)
	a.latency = time.Duration(smooth(float64(a.latency), float64(s.latency)))
	limit := 1.0
	if a.reason != "" {
		limit = reopenAt
	}
	switch {
	case a.maxCPU > 0 && a.cpu >= a.maxCPU*limit:
		a.reason = fmt.Sprintf("CPU at %.0f %%", a.cpu*100)
	case a.maxLatency > 0 && float64(a.latency) >= float64(a.maxLatency)*limit:
		a.reason = fmt.Sprintf("work starts %v late", a.latency.Round(time.Millisecond))
	default:
		a.reason = ""
	}
}

func smooth(old, now float64) float64 {
	if now > old {
		return old + rise*(now-old)
	}
	return old + fall*(now-old)
}

// share returns how near the node is to refusing, 0 idle to 1 at the limit and above.
func (a *admission) share() float64 {
	s := 0.0
	if a.maxCPU > 0 {
		s = a.cpu / a.maxCPU
	}
	if a.maxLatency > 0 {
		s = max(s, float64(a.latency)/float64(a.maxLatency))
	}
	return min(s, 1)
}

// Load is the node's measured load at one moment.
type Load struct {
	CPU      float64       // share of the processor time the process may use, 0 to 1
	Latency  time.Duration // how late runnable work starts, 99th percentile
	Share    float64       // of the load at which new sessions are refused, 0 to 1
	Refusing string        // why new sessions are refused; empty when they are taken
}

// loadMeter measures the process and answers whether new sessions are taken. Safe for concurrent use.
type loadMeter struct {
	cores float64

	mu        sync.Mutex
	admission admission
	refusing  string // why the operator wants none; empty: he does

	// owned by run
	spent time.Duration
	at    time.Time
	waits []uint64 // counts of the scheduling latency histogram at the last sample
}

func newLoadMeter(cfg config.Limits) *loadMeter {
	return &loadMeter{
		cores:     usableCores(),
		admission: admission{maxCPU: cfg.CPU, maxLatency: cfg.SchedulingLatency},
	}
}

// bound replaces what new sessions are refused above.
func (m *loadMeter) bound(cfg config.Limits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.admission.maxCPU, m.admission.maxLatency = cfg.CPU, cfg.SchedulingLatency
}

// usableCores returns how many cores' time the process may use.
func usableCores() float64 {
	cores := float64(min(runtime.NumCPU(), runtime.GOMAXPROCS(0)))
	if quota, ok := (cgroup{root()}).cpus(); ok {
		cores = min(cores, quota)
	}
	return cores
}

// run measures until ctx ends.
func (m *loadMeter) run(ctx context.Context, log *slog.Logger) error {
	t := time.NewTicker(loadInterval)
	defer t.Stop()
	m.measure(time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			m.observe(m.measure(now), log)
		}
	}
}

// observe takes a sample and logs when the door opens or closes.
func (m *loadMeter) observe(s sample, log *slog.Logger) {
	m.mu.Lock()
	before := m.admission.reason
	m.admission.observe(s)
	after := m.admission.reason
	m.mu.Unlock()
	switch {
	case before == "" && after != "":
		log.Warn("new sessions are refused", "reason", after)
	case before != "" && after == "":
		log.Info("new sessions are taken again")
	}
}

// Admit returns nil when a new session may be taken, else an error that wraps [ErrOverloaded].
func (m *loadMeter) Admit() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.refusing != "":
		return fmt.Errorf("%w: %s", ErrOverloaded, m.refusing)
	case m.admission.reason != "":
		return fmt.Errorf("%w: %s", ErrOverloaded, m.admission.reason)
	}
	return nil
}

// refuse makes Admit refuse from now on, whatever the load, and say why; "" takes that back.
func (m *loadMeter) refuse(why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusing = why
}

// Load returns the load as last measured.
func (m *loadMeter) Load() Load {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := &m.admission
	return Load{CPU: a.cpu, Latency: a.latency, Share: a.share(), Refusing: a.reason}
}

// told is the load as other nodes are told: 1 and nothing below it says that new sessions are refused.
func (l Load) told() float64 {
	if l.Refusing != "" {
		return 1
	}
	return min(max(l.Share, 0), 0.99)
}

// measure returns what happened since the last call.
func (m *loadMeter) measure(now time.Time) sample {
	var s sample
	if spent, err := processTime(); err == nil {
		if elapsed := now.Sub(m.at); !m.at.IsZero() && elapsed > 0 {
			s.cpu = min(float64(spent-m.spent)/(float64(elapsed)*m.cores), 1)
		}
		m.spent, m.at = spent, now
	}
	values := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(values)
	if values[0].Value.Kind() == metrics.KindFloat64Histogram {
		h := values[0].Value.Float64Histogram()
		s.latency = percentile(h.Counts, m.waits, h.Buckets, 0.99)
		m.waits = append(m.waits[:0], h.Counts...)
	}
	return s
}

// processTime returns the processor time the process has used.
func processTime() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// percentile returns the lower bound of the bucket in which share p of the events since before lies; before is empty at
// the first sample, which covers too long a time to say anything.
func percentile(counts, before []uint64, buckets []float64, p float64) time.Duration {
	if len(before) != len(counts) {
		return 0
	}
	total := uint64(0)
	for i := range counts {
		total += counts[i] - before[i]
	}
	rank := uint64(math.Ceil(float64(total) * p))
	for i := range counts {
		n := counts[i] - before[i]
		if rank > 0 && n >= rank {
			return time.Duration(max(buckets[i], 0) * float64(time.Second)) // the first bound may be -Inf
		}
		rank -= n
	}
	return 0
}
