package node

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cardea/node/config"
)

// scrape returns what Prometheus would get.
func scrape(t *testing.T, r *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestSnapshot(t *testing.T) {
	type counts struct{ in, now uint64 }
	reads := 0
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(
		snapshot(func() counts { reads++; return counts{7, 3} },
			counter("x_total", "What came.", func(c counts) float64 { return float64(c.in) }),
			gauge("x_now", "What is.", func(c counts) float64 { return float64(c.now) })),
		byLabel("errors_total", "By code.", "code", func() map[int]uint64 { return map[int]uint64{403: 2, 458: 1} }, strconv.Itoa),
	)
	const want = `# HELP errors_total By code.
# TYPE errors_total counter
errors_total{code="403"} 2
errors_total{code="458"} 1
# HELP x_now What is.
# TYPE x_now gauge
x_now 3
# HELP x_total What came.
# TYPE x_total counter
x_total 7
`
	if d := cmp.Diff(want, scrape(t, r)); d != "" {
		t.Error(d)
	}
	if reads != 1 {
		t.Errorf("read %d times for one scrape", reads)
	}
}

func TestRegistry(t *testing.T) {
	out := scrape(t, newRegistry(newLoadMeter(config.Default().Limits)))
	for _, want := range []string{`cardea_build_info{goversion="go`, "cardea_load_share 0", "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(out, "\n"+want) {
			t.Errorf("%q is not among the metrics", want)
		}
	}
}
