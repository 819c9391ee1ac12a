package deploy

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// dashboard is what matters here of Grafana's format.
type dashboard struct {
	UID        string
	Title      string
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
}

type panel struct {
	ID          int
	Type, Title string
	Description string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ RefID, Expr, LegendFormat string }
}

func dashboards(t *testing.T) []dashboard {
	t.Helper()
	files, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	var all []dashboard
	for _, f := range files {
		var d dashboard
		if err := json.Unmarshal([]byte(read(t, f)), &d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if d.UID+".json" != filepath.Base(f) {
			t.Errorf("%s: uid %q", f, d.UID)
		}
		all = append(all, d)
	}
	return all
}

// TestDashboards wants panels that do not lie over each other, can be told apart, and ask of the chosen nodes alone.
func TestDashboards(t *testing.T) {
	for _, d := range dashboards(t) {
		ids, taken := map[int]string{}, map[[2]int]string{}
		variables := map[string]bool{}
		for _, v := range d.Templating.List {
			variables[v.Name] = true
		}
		for _, want := range []string{"datasource", "job", "region", "instance"} {
			if !variables[want] {
				t.Errorf("%s: no variable %s", d.Title, want)
			}
		}
		for _, p := range d.Panels {
			if other, ok := ids[p.ID]; ok || p.ID == 0 {
				t.Errorf("%s: %q and %q have id %d", d.Title, p.Title, other, p.ID)
			}
			ids[p.ID] = p.Title
			g := p.GridPos
			if g.X < 0 || g.W < 1 || g.X+g.W > 24 {
				t.Errorf("%s, %s: not on the grid: %+v", d.Title, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok {
						t.Fatalf("%s: %q lies over %q", d.Title, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || len(p.Targets) == 0 {
				t.Errorf("%s: panel %d has no title or asks nothing", d.Title, p.ID)
			}
			for _, target := range p.Targets {
				if strings.Contains(target.Expr, "cardea_") && !strings.Contains(target.Expr, `instance=~"$instance"`) {
					t.Errorf("%s, %s: asks all nodes: %s", d.Title, p.Title, target.Expr)
				}
			}
		}
	}
}
