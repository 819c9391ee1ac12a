package deploy

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	chart   = "helm/cardea"
	helmBin = "../bin/helm-v3.22.0"
	// kubernetes is what charts are rendered for: a helm built from source claims to know an old one.
	kubernetes = "1.31.0"
)

func helm(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(helmBin); err != nil {
		t.Skip("needs helm: \"make deploycheck\" builds it")
	}
	path, err := filepath.Abs(helmBin)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// render returns the objects of the chart by kind and name.
func render(t *testing.T, values ...string) map[string]map[string]any {
	t.Helper()
	args := []string{"template", "calls", chart, "--kube-version", kubernetes}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	d := yaml.NewDecoder(strings.NewReader(run(t, ".", helm(t), args...)))
	all := map[string]map[string]any{}
	for {
		var o map[string]any
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if o != nil {
			all[o["kind"].(string)+"/"+at[string](t, o, "metadata", "name")] = o
		}
	}
}

// at walks into an object by keys and indices.
func at[T any](t *testing.T, v any, path ...any) T {
	t.Helper()
	for i, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if v = m[p]; !ok {
				t.Fatalf("%v: no object", path[:i+1])
			}
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				t.Fatalf("%v: no list of so many", path[:i+1])
			}
			v = l[p]
		}
	}
	r, ok := v.(T)
	if !ok {
		t.Fatalf("%v: %v is no %T", path, v, r)
	}
	return r
}

// TestChart has helm check the chart in both of its forms, and looks at what it makes of it.
func TestChart(t *testing.T) {
	for _, kind := range []string{"kind=StatefulSet", "kind=DaemonSet,firstNode=machine-1,tls.secretName=certificate"} {
		args := []string{"lint", "--strict", "--kube-version", kubernetes, "--set", kind, chart}
		run(t, ".", helm(t), args...)
		objects := render(t, kind, "metrics.serviceMonitor=true", "metrics.rules=true", "metrics.dashboards=true")
		form, _, _ := strings.Cut(strings.TrimPrefix(kind, "kind="), ",")
		set := objects[form+"/calls-cardea"]
		if set == nil {
			t.Fatalf("no %s", form)
		}
		pod := at[map[string]any](t, set, "spec", "template", "spec")
		if !at[bool](t, pod, "hostNetwork") || at[string](t, pod, "dnsPolicy") != "ClusterFirstWithHostNet" {
			t.Errorf("%s: not on the machine's network", form)
		}
		if got := at[int](t, pod, "terminationGracePeriodSeconds"); got <= 130 {
			t.Errorf("%s: %d s to stop in, less than draining takes", form, got)
		}
		if got := at[[]any](t, pod, "containers", 0, "lifecycle", "preStop", "exec", "command"); !slices.Equal(got, []any{"/cardea", "drain"}) {
			t.Errorf("%s: preStop %v", form, got)
		}
		for _, list := range []string{"initContainers", "containers"} {
			env := map[string]string{}
			for _, e := range at[[]any](t, pod, list, 0, "env") {
				value, _ := e.(map[string]any)["value"].(string)
				if e.(map[string]any)["valueFrom"] != nil {
					value = "192.0.2.1" // a name or an address
				}
				env[at[string](t, e, "name")] = strings.ReplaceAll(value, "$(POD_IP)", "192.0.2.1")
			}
			t.Run(form+" "+list, func(t *testing.T) { checkEnvironment(t, list, env) })
			if at[bool](t, pod, list, 0, "securityContext", "allowPrivilegeEscalation") || !at[bool](t, pod, list, 0, "securityContext", "readOnlyRootFilesystem") {
				t.Errorf("%s: %s may more than they need", form, list)
			}
		}
		budget := objects["PodDisruptionBudget/calls-cardea"]
		if at[int](t, budget, "spec", "maxUnavailable") != 1 {
			t.Errorf("%s: disruption budget %v", form, budget)
		}
		var want rules
		parseYAML(t, rulesFile, &want)
		if got := at[[]any](t, objects["PrometheusRule/calls-cardea"], "spec", "groups"); len(got) != len(want.Groups) {
			t.Errorf("%s: %d groups of rules of %d", form, len(got), len(want.Groups))
		}
		for _, d := range dashboards(t) {
			name := strings.TrimPrefix(d.UID, "cardea-")
			var got dashboard
			data := at[string](t, objects["ConfigMap/calls-cardea-"+name], "data", d.UID+".json")
			if err := json.Unmarshal([]byte(data), &got); err != nil || len(got.Panels) != len(d.Panels) {
				t.Errorf("%s: dashboard %s: %v", form, name, err)
			}
		}
	}
}

// TestChartRefuses wants wrong values told by their names.
func TestChartRefuses(t *testing.T) {
	for value, complaint := range map[string]string{
		"kind=Deployment": "/kind", "kind=DaemonSet": "/firstNode", "replicas=0": "/replicas", "colour=red": "colour",
		"service.type=Magic": "/service/type", "drain.seconds=forever": "/drain/seconds", "mesh.peers=10.0.0.1": "/mesh/peers",
	} {
		_, err := try(t, ".", helm(t), "template", "calls", chart, "--kube-version", kubernetes, "--set", value)
		if err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// TestValues wants each value to be in the schema and to be explained, and nothing else in the schema.
func TestValues(t *testing.T) {
	var values, schema map[string]any
	parseYAML(t, chart+"/values.yaml", &values)
	if err := json.Unmarshal([]byte(read(t, chart+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	free := []string{"config", "resources", "global"} // whatever Kubernetes and the node take
	var compare func(path string, values, schema map[string]any)
	compare = func(path string, values, schema map[string]any) {
		properties, _ := schema["properties"].(map[string]any)
		for k, v := range values {
			p, ok := properties[k].(map[string]any)
			if !ok {
				t.Errorf("%s%s is not in the schema", path, k)
				continue
			}
			if m, ok := v.(map[string]any); ok && len(m) > 0 && !slices.Contains(free, k) {
				compare(path+k+".", m, p)
			}
		}
		for k := range properties {
			if _, ok := values[k]; !ok && k != "global" {
				t.Errorf("%s%s is in the schema alone", path, k)
			}
		}
	}
	compare("", values, schema)

	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, chart+"/values.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	plain := []string{ // what everybody who uses charts knows, or its own keys explain
		"image.pullPolicy", "service.annotations", "podDisruptionBudget.enabled", "resources.requests",
		"podLabels", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName",
	}
	var explained func(path string, n *yaml.Node)
	explained = func(path string, n *yaml.Node) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			name := path + k.Value
			switch {
			case strings.Contains(k.HeadComment, "-- ") || slices.Contains(plain, name):
			case v.Kind == yaml.MappingNode && len(v.Content) > 0:
				explained(name+".", v)
			default:
				t.Errorf("%s is not explained", name)
			}
		}
	}
	explained("", document.Content[0])
}
