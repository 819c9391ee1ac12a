package registry

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is a node as most tests have it.
func sample() Node {
	return Node{
		ID: "abcdefghijklmnop", Name: `fra"1`, Cluster: "c", Region: "eu", Version: "v1", State: Ready, Load: 0.25, Capacity: 500,
		Host: "fra1.example.org", Address: "192.0.2.1", IPv4: "192.0.2.1", IPv6: "2001:db8::1", Latitude: 50.11, Longitude: 8.68,
		WS: 8188, Media: 3478, Started: time.Unix(1e9, 0).UTC(),
	}
}

func TestMake(t *testing.T) {
	tests := []struct {
		entry Entry
		want  item
		err   bool
	}{
		{own, item{
			key: "cardea:node:abcdefghijklmnop",
			value: `{"id":"abcdefghijklmnop","name":"fra\"1","cluster":"c","region":"eu","version":"v1","state":"ready","load":0.25,"capacity":500,` +
				`"host":"fra1.example.org","address":"192.0.2.1","ipv4":"192.0.2.1","ipv6":"2001:db8::1","latitude":50.11,"longitude":8.68,` +
				`"ws":8188,"media":3478,"started":"2001-09-09T01:46:40Z"}`,
		}, false},
		{Entry{Key: "ip:{{.Region}}", Value: "{{.Address}}"}, item{key: "ip:eu", value: "192.0.2.1"}, false},
		{Entry{Key: "ip", Value: "{{.Address}}", Shared: true}, item{key: "ip", value: "192.0.2.1", shared: true}, false},
		{
			Entry{Key: "{{.ID}}", Value: `{"name":{{json .Name}},"port":{{.WS}},"up":true,"none":null,"l":[1]}`, Hash: true},
			item{
				key: "abcdefghijklmnop", value: `{"name":"fra\"1","port":8188,"up":true,"none":null,"l":[1]}`,
				fields: map[string]string{"name": `fra"1`, "port": "8188", "up": "true", "none": "null", "l": "[1]"},
			},
			false,
		},
		{Entry{Key: `{{if eq .State "ready"}}up{{else}}down{{end}}`, Value: "x"}, item{key: "up", value: "x"}, false},

		{Entry{Key: "x", Value: "{{.Nothing}}"}, item{}, true},
		{Entry{Key: "x", Value: "{{"}, item{}, true},
		{Entry{Key: "{{call .ID}}", Value: "x"}, item{}, true},
		{Entry{Key: "", Value: "x"}, item{}, true},
		{Entry{Key: "x", Value: ""}, item{}, true},
		{Entry{Key: strings.Repeat("x", maxKey+1), Value: "x"}, item{}, true},
		{Entry{Key: "x", Value: "{{.Address}}", Hash: true}, item{}, true},
		{Entry{Key: "x", Value: "{}", Hash: true}, item{}, true},
		{Entry{Key: "x", Value: own.Value, Hash: true, Shared: true}, item{}, true},
	}
	for _, tt := range tests {
		n := sample()
		l, err := newLayout(tt.entry)
		var got item
		if err == nil {
			got, err = l.make(&n)
		}
		if (err != nil) != tt.err || err != nil && !errors.Is(err, ErrEntry) {
			t.Errorf("%+v: %v", tt.entry, err)
		}
		if err != nil {
			continue
		}
		if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(item{})); d != "" {
			t.Errorf("%+v: %s", tt.entry, d)
		}
	}
	var back Node
	n := sample()
	l, err := newLayout(own)
	if err != nil {
		t.Fatal(err)
	}
	it, err := l.make(&n)
	if err != nil || json.Unmarshal([]byte(it.value), &back) != nil || cmp.Diff(n, back) != "" {
		t.Errorf("%v %s", err, cmp.Diff(n, back))
	}
}

func TestPlan(t *testing.T) {
	p := &planner{refresh: 10 * time.Second, written: map[string]note{}}
	for _, e := range []Entry{own, {Key: "ip:{{.Region}}", Value: "{{.Address}}"}, {Key: "load", Value: "{{.Load}}"}} {
		l, err := newLayout(e)
		if err != nil {
			t.Fatal(err)
		}
		p.layouts = append(p.layouts, l)
	}
	now, n := time.Unix(1e9, 0), sample()
	const self = "cardea:node:abcdefghijklmnop"
	keys := func(items []item) (keys []string) {
		for _, it := range items {
			keys = append(keys, it.key)
		}
		return keys
	}
	for _, step := range []struct {
		name          string
		after         time.Duration
		change        func()
		lost          bool // Redis does not take it
		write, remove []string
	}{
		{"the first time", 0, func() {}, false, []string{self, "ip:eu", "load"}, nil},
		{"nothing new", time.Second, func() {}, false, nil, nil},
		{"another load", time.Second, func() { n.Load = 0.5 }, false, []string{self, "load"}, nil},
		{"refreshing what is oldest", 8 * time.Second, func() {}, false, []string{"ip:eu"}, nil},
		{"another region", time.Second, func() { n.Region = "us" }, false, []string{self, "ip:us"}, []string{"ip:eu"}},
		{"draining", time.Second, func() { n.State = "draining" }, true, []string{self}, []string{"ip:us", "load"}},
		{"still to do", time.Second, func() {}, false, []string{self}, []string{"ip:us", "load"}},
		{"drained", time.Second, func() {}, false, nil, nil},
		{"ready again", time.Second, func() { n.State = Ready }, false, []string{self, "ip:us", "load"}, nil},
		{"after a doubt", time.Second, p.doubt, false, []string{self, "ip:us", "load"}, nil},
		{"the clock was set back", -time.Hour, func() {}, false, []string{self, "ip:us", "load"}, nil},
	} {
		now = now.Add(step.after)
		step.change()
		todo, errs := p.next(now, &n)
		if d := cmp.Diff(step.write, keys(todo.write)); d != "" || len(errs) > 0 {
			t.Errorf("%s: write %s %v", step.name, d, errs)
		}
		if d := cmp.Diff(step.remove, keys(todo.remove)); d != "" {
			t.Errorf("%s: remove %s", step.name, d)
		}
		if step.lost {
			continue
		}
		for _, it := range todo.write {
			p.wrote(now, it)
		}
		for _, it := range todo.remove {
			p.removed(it)
		}
	}
}
