package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.yaml.in/yaml/v3"

	"cardea/e2e/load"
	"cardea/node/config"
)

// rules is Prometheus's format of rules.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

const rulesFile = "prometheus/cardea.rules.yaml"

// TestRules has Prometheus's own tool check the rules and run their tests.
func TestRules(t *testing.T) {
	promtool := tool(t, "promtool", "Debian's prometheus")
	run(t, "prometheus", promtool, "check", "rules", "cardea.rules.yaml")
	run(t, "prometheus", promtool, "test", "rules", "cardea.rules.test.yaml")
}

// TestAlerts wants every alert tested, explained and rated.
func TestAlerts(t *testing.T) {
	var r rules
	parseYAML(t, rulesFile, &r)
	tests, runbook := read(t, "prometheus/cardea.rules.test.yaml"), read(t, "RUNBOOK.md")
	seen := map[string]bool{}
	for _, g := range r.Groups {
		for _, a := range g.Rules {
			switch {
			case seen[a.Alert]:
				t.Errorf("%s is there twice", a.Alert)
			case !regexp.MustCompile(`alertname: ` + a.Alert + `\n +exp_alerts:\n`).MatchString(tests):
				t.Errorf("%s: no test has it fire", a.Alert)
			case !strings.Contains(runbook, "**"+a.Alert+"**"):
				t.Errorf("%s is not in the runbook", a.Alert)
			case !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]):
				t.Errorf("%s: severity %q", a.Alert, a.Labels["severity"])
			case a.Annotations["summary"] == "" || a.Annotations["description"] == "":
				t.Errorf("%s: no summary or description", a.Alert)
			}
			seen[a.Alert] = true
		}
	}
	for _, named := range regexp.MustCompile(`\*\*(Cardea\w+)\*\*`).FindAllStringSubmatch(runbook, -1) {
		if !seen[named[1]] {
			t.Errorf("the runbook explains %s, which is no alert", named[1])
		}
	}
}

// expressions are the queries of all rules and dashboards, by where they are.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	var r rules
	parseYAML(t, rulesFile, &r)
	for _, g := range r.Groups {
		for _, a := range g.Rules {
			all["alert "+a.Alert] = a.Expr
		}
	}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all[fmt.Sprintf("%s, %s, %s", d.Title, p.Title, target.RefID)] = target.Expr
			}
		}
	}
	return all
}

// metricName finds names of metrics: of ours, of Go and of the process.
var metricName = regexp.MustCompile(`\b(?:cardea|go|process)_[a-z0-9_]+\b`)

// TestMetricsExist runs two nodes with a call on them and wants every metric that a rule or a dashboard names.
func TestMetricsExist(t *testing.T) {
	metrics := scrape(t)
	for where, expr := range expressions(t) {
		names := metricName.FindAllString(expr, -1)
		if len(names) == 0 && !strings.Contains(expr, "up{") && !strings.Contains(expr, "ALERTS") {
			t.Errorf("%s: no metric in %q", where, expr)
		}
		for _, name := range names {
			if !metrics[name] {
				t.Errorf("%s: no node has %s", where, name)
			}
		}
	}
}

// scrape returns the names of all metrics of two nodes that have found each other and had a call.
func scrape(t *testing.T) map[string]bool {
	t.Helper()
	redis := miniredis.RunT(t)
	first := start(t, "127.0.61.1", func(c *config.Config) {
		c.Mesh.Redis = config.Secret("redis://" + redis.Addr())
		c.Events.Log.File = filepath.Join(t.TempDir(), "events.log")
		c.DNS.Zone, c.DNS.Port = "calls.example.org", 5353
	})
	invitation, err := first.console.Invite(t.Context(), inviteOne)
	if err != nil {
		t.Fatal(err)
	}
	second := start(t, "127.0.61.2", func(c *config.Config) { c.Mesh.Join = []config.Secret{config.Secret(invitation.Invitation)} })
	l := load.Default()
	l.URL, l.Subscribers, l.WarmUp, l.Duration = "ws://127.0.61.1:8188", 1, 0, 3*time.Second
	if _, err := load.Run(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	resp, err := first.console.HTTP.Post("http://127.0.61.1:8088/janus", "application/json", strings.NewReader("{}")) // errors are counted by code
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	names := map[string]bool{}
	missing := []string{"cardea_events_delivered_total", "cardea_registry_up", "cardea_mesh_link_rtt_seconds", "cardea_quality_first_frame_seconds_bucket", "cardea_quality_audio_mos_bucket"}
	for deadline := time.Now().Add(20 * time.Second); ; {
		for _, n := range []*running{first, second} {
			for line := range strings.Lines(n.get(t, "/metrics")) {
				if name := metricName.FindString(line); strings.HasPrefix(line, name) {
					names[name] = true
				}
			}
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return names[name] })
		if len(missing) == 0 || time.Now().After(deadline) {
			return names // what is missing still, the test will name
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// TestScrapeConfig has Prometheus's own tool check the configuration of the compose file, with the rules where it wants them.
func TestScrapeConfig(t *testing.T) {
	promtool := tool(t, "promtool", "Debian's prometheus")
	dir := t.TempDir()
	text := strings.ReplaceAll(read(t, "compose/prometheus.yaml"), "/etc/prometheus/", dir+"/")
	for name, content := range map[string]string{"prometheus.yml": text, "cardea.rules.yaml": read(t, rulesFile)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, promtool, "check", "config", "prometheus.yml")
}

// TestExpressions has Prometheus's own tool parse what dashboards ask, with Grafana's variables filled in.
func TestExpressions(t *testing.T) {
	promtool := tool(t, "promtool", "Debian's prometheus")
	fill := strings.NewReplacer("$__rate_interval", "1m", "$job", "cardea", "$region", ".*", "$instance", ".*", "$source", "server")
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var all []rule
	for where, expr := range expressions(t) {
		if expr = fill.Replace(expr); strings.Contains(expr, "$") {
			t.Errorf("%s: a variable is not known in %s", where, expr)
		}
		all = append(all, rule{"x:" + fmt.Sprint(len(all)), expr})
	}
	b, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboards", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, ".", promtool, "check", "rules", "--lint=none", file)
}
