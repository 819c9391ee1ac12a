package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// compose is as much of the format of compose files as ours uses; more is a fault of the file, or a reason to add it here.
type compose struct {
	Name     string
	Node     any `yaml:"x-node"`
	Settings any `yaml:"x-settings"`
	Invite   any `yaml:"x-invite"`
	Services map[string]service
	Networks map[string]any
	Volumes  map[string]any
}

type service struct {
	Image, Restart  string
	Build           struct{ Context, Dockerfile string }
	StopGracePeriod string   `yaml:"stop_grace_period"`
	CapDrop         []string `yaml:"cap_drop"`
	ReadOnly        bool     `yaml:"read_only"`
	SecurityOpt     []string `yaml:"security_opt"`
	Ulimits         map[string]int
	Command         []string
	Environment     map[string]string
	Volumes, Ports  []string
	DependsOn       any `yaml:"depends_on"`
	Networks        any
	Healthcheck     struct {
		Test              []string
		Interval, Timeout string
		Retries           int
	}
}

const composeFile = "compose/compose.yaml"

// TestCompose stands in for "docker compose config", which needs Docker: it reads the file strictly, and follows what it refers to.
func TestCompose(t *testing.T) {
	var c compose
	parseYAML(t, composeFile, &c)
	for name, s := range c.Services {
		if !regexp.MustCompile(`^[a-z0-9./-]+:[a-z0-9.-]+$`).MatchString(s.Image) || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %q has no version", name, s.Image)
		}
		for _, p := range s.Ports {
			if !regexp.MustCompile(`^127\.0\.0\.\d:(\d+):\d+/(tcp|udp)$`).MatchString(p) {
				t.Errorf("%s: port %q is open to others than this machine", name, p)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, named := c.Volumes[from]; named {
				continue
			}
			if _, err := os.Stat(filepath.Join("compose", from)); err != nil {
				t.Errorf("%s: volume %s: %v", name, v, err)
			}
		}
		for _, other := range names(s.DependsOn) {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which does not exist", name, other)
			}
		}
		for _, network := range names(s.Networks) {
			if _, ok := c.Networks[network]; !ok {
				t.Errorf("%s: no network %s", name, network)
			}
		}
	}
	for _, name := range []string{"node1", "node2", "node3"} {
		s := c.Services[name]
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !s.ReadOnly {
			t.Errorf("%s may more than it needs", name)
		}
		if _, err := os.Stat(filepath.Join("compose", s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Run(name, func(t *testing.T) { checkEnvironment(t, name, s.Environment) })
	}
}

// names are those of a list, or of the keys of a mapping.
func names(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, n := range v {
			all = append(all, n.(string))
		}
	case map[string]any:
		for n := range v {
			all = append(all, n)
		}
	}
	return all
}
