package console

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDrain(t *testing.T) {
	var asked DrainRequest
	var fault error
	cfg := config()
	cfg.Mesh = &Mesh{Drain: func(_ context.Context, r DrainRequest) (Drained, error) {
		asked = r
		return Drained{Node: "eu1", ID: "x", Draining: !r.Undo, DeadlineSeconds: 30}, fault
	}}
	server := httptest.NewServer(New(cfg))
	defer server.Close()
	client := Client{URL: server.URL, HTTP: server.Client()}
	want := DrainRequest{Node: "eu1", DeadlineSeconds: 1.5}
	if d, err := client.Drain(t.Context(), want); err != nil || asked != want || !d.Draining || d.DeadlineSeconds != 30 {
		t.Errorf("%+v %+v %v", asked, d, err)
	}
	fault = errors.New("calls are hung up already")
	if _, err := client.Drain(t.Context(), DrainRequest{Undo: true}); err == nil || !strings.Contains(err.Error(), fault.Error()) || !asked.Undo {
		t.Errorf("undone: %+v %v", asked, err)
	}
	// A page of another origin, or a stranger, drains nothing.
	asked = DrainRequest{}
	for name, header := range map[string]http.Header{
		"a form":              {"Content-Type": {"text/plain"}},
		"another origin":      {"Content-Type": {"application/json"}, "Sec-Fetch-Site": {"cross-site"}},
		"through a proxy":     {"Content-Type": {"application/json"}, "X-Forwarded-For": {"127.0.0.1"}},
		"with a wrong secret": {"Content-Type": {"application/json"}, "Authorization": {"Bearer x"}},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/drain", strings.NewReader(`{"node":"eu2"}`))
		r.Header = header
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 || asked.Node != "" {
			t.Errorf("%s: %s, %+v", name, resp.Status, asked)
		}
	}
}

// TestElsewhere wants the page to reach other nodes, whose names come from other machines, and nothing else from them.
func TestElsewhere(t *testing.T) {
	got := elsewhere([]string{"eu1.example.org", "10.0.0.2", "2001:db8::1", "", "a b", "x;script-src *", "*"})
	want := " ws://eu1.example.org:* wss://eu1.example.org:* http://eu1.example.org:* https://eu1.example.org:*" +
		" ws://10.0.0.2:* wss://10.0.0.2:* http://10.0.0.2:* https://10.0.0.2:*"
	if got != want {
		t.Errorf("%q", got)
	}
	many := make([]string, 1000)
	for i := range many {
		many[i] = "h"
	}
	if n := len(elsewhere(many)); n > 64*64 {
		t.Errorf("%d bytes", n)
	}
}
