package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardea/node/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cardea runs a command line in an empty directory and returns its exit code and what it printed and complained of.
func cardea(t *testing.T, ctx context.Context, args ...string) (code int, out, complaint string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = exit(&stderr, dispatch(ctx, args, &stdout))
	return code, stdout.String(), stderr.String()
}

func TestCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("CARDEA_NODE_DATA_DIR", t.TempDir()) // nobody's
	if err := os.WriteFile("bad.yaml", []byte("janus: {ws_port: x, colour: red}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args      string
		code      int
		out       string // contained
		complaint string // contained; none wanted when empty
	}{
		{"", 0, "Usage: cardea COMMAND", ""},
		{"help", 0, "check-config", ""},
		{"--help", 0, "status", ""},
		{"help run", 0, "--janus-session-timeout DURATION", ""},
		{"help help", 0, "Usage: cardea COMMAND", ""},
		{"run --help", 0, "--bind ADDRESS", ""},
		{"status -h", 0, "--token-file", ""},
		{"rooms --help", 0, "--json", ""},
		{"nodes --help", 0, "--json", ""},
		{"token --help", 0, "--authority", ""},
		{"keys --help", 0, "Usage: cardea keys rotate", ""},
		{"check-config --help", 0, "--sample", ""},
		{"version --help", 0, "Usage: cardea version", ""},
		{"version", 0, "cardea ", ""},
		{"--version", 0, "cardea ", ""},
		{"check-config", 0, "configuration is valid (no file", ""},
		{"check-config --sample", 0, "#ws_port: 8188", ""},
		{"check-config --config bad.yaml", exitUsage, "", "configuration: bad.yaml:1: janus.ws_port: \"x\": want a port, 0 to 65535\n  bad.yaml:1: unknown key janus.colour"},
		{"run --config bad.yaml", exitUsage, "", "unknown key janus.colour"},
		{"run --config nowhere.yaml", exitUsage, "", "nowhere.yaml: no such file"},
		{"run --bogus", exitUsage, "", "unknown flag --bogus (cardea run --help lists them)"},
		{"run now", exitUsage, "", `"now" is not an option`},
		{"run --join cardea_x", exitUsage, "", "--join: mesh.join[0]: the invitation is not whole"},
		{"run --join node:x", exitUsage, "", "--join: mesh.join[0]: want an invitation, HOST or HOST:PORT"},
		{"run --join garbage", exitUsage, "", "--join: want an invitation (cardea_..., as"},
		{"token --uses 0", exitUsage, "", "--uses must be at least"},
		{"token --url http://127.0.0.1:1", exitFailure, "", "no node answers"},
		{"join --help", 0, "--first", ""},
		{"join --output x", exitUsage, "", "--url and --output are needed"},
		{"join --url http://127.0.0.1:1 --output x --ttl 0s", exitUsage, "", "--ttl and --uses must be at least"},
		{"join --url http://127.0.0.1:1 --output x --config bad.yaml", exitUsage, "", "unknown key janus.colour"},
		{"join --url http://127.0.0.1:1 --output x --wait 1ms", exitFailure, "", "no node answers at http://127.0.0.1:1"},
		{"keys", exitUsage, "", "cardea keys rotate"},
		{"keys rotat", exitUsage, "", "unknown action rotat; did you mean rotate?"},
		{"keys rotate --url http://127.0.0.1:1", exitFailure, "", "no node answers"},
		{"run --janus-api-secret x", exitUsage, "", "unknown flag --janus-api-secret; did you mean --janus-api-secret-file?"},
		{"run --janus-ws-prt 1", exitUsage, "", "unknown flag --janus-ws-prt; did you mean --janus-ws-port?"},
		{"check-config --ws-port 1", exitUsage, "", "unknown flag --ws-port; did you mean --janus-ws-port?"},
		{"run --janus-ws-port", exitUsage, "", "--janus-ws-port needs a value"},
		{"token -ttl 1", exitUsage, "", `--ttl: "1": want a duration`},
		{"token --uses=many", exitUsage, "", `--uses: "many": want a whole number`},
		{"drain --undo=maybe", exitUsage, "", `--undo: "maybe": want true or false`},
		{"drain n1 --undo", exitUsage, "", "--undo stands behind the node: options go before it"},
		{"drain n1 n2", exitUsage, "", "one node at a time"},
		{"walk", exitUsage, "", "unknown command walk (cardea help lists them)"},
		{"expel", exitUsage, "", "one node, after all options"},
		{"expel one two", exitUsage, "", "one node, after all options"},
		{"drian", exitUsage, "", "unknown command drian; did you mean drain?"},
		{"help walk", exitUsage, "", "unknown command walk"},
		{"status --url http://127.0.0.1:1", exitFailure, "", "no node answers at http://127.0.0.1:1"},
		{"status --config bad.yaml", exitUsage, "", "--url asks a node without its configuration"},
		{"status --token-file nowhere", exitUsage, "", "nowhere: no such file"},
		{"rooms --url ://", exitFailure, "", "ask the node"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			code, out, complaint := cardea(t, t.Context(), strings.Fields(tt.args)...)
			if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(complaint, tt.complaint) || (complaint == "") != (tt.complaint == "") {
				t.Errorf("exit code %d\n%s\n%s", code, out, complaint)
			}
		})
	}
}

// TestEveryCommandHelps wants usage from each, and nothing done.
func TestEveryCommandHelps(t *testing.T) {
	for _, c := range commands {
		var out bytes.Buffer
		if err := c.run(t.Context(), []string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.HasPrefix(out.String(), "Usage: cardea "+c.name) {
			t.Errorf("%s: %v %.60q", c.name, err, out.String())
		}
	}
}

// TestRun runs a node from a file, asks it, and stops it.
func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	const file = `node: {bind: 127.0.7.20, name: testnode, stop_timeout: 2s}
log: {level: error}
limits: {scheduling_latency: 0s}
console: {token: sesame, allowed: []}
`
	if err := os.WriteFile("cardea.yaml", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan int, 1)
	go func() {
		code, _, _ := cardea(t, ctx, "run")
		done <- code
	}()
	await(t, "http://127.0.7.20:9600/readyz")
	tests := []struct {
		args      string
		code      int
		out       string
		complaint string
	}{
		{"status", 0, "testnode", ""},
		{"status", 0, "mesh       1 node, this one\n", ""},
		{"status --json", 0, `"nodes": 1`, ""},
		{"status --json", 0, `"node": "testnode"`, ""},
		{"rooms", 0, "PARTICIPANTS", ""},
		{"rooms --json", 0, `"rooms":`, ""},
		{"status --url http://127.0.7.20:9600", exitFailure, "", "401 Unauthorized"},
		{"run", exitFailure, "", "cannot listen: janus.ws_port (tcp 127.0.7.20:8188), "},
	}
	for _, tt := range tests {
		code, out, complaint := cardea(t, t.Context(), strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(complaint, tt.complaint) {
			t.Errorf("%s: exit code %d\n%s\n%s", tt.args, code, out, complaint)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if code := <-done; code != 0 {
		t.Errorf("clean stop: exit code %d", code)
	}
}

// await polls until the address answers 200.
func await(t *testing.T, url string) {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: time.Second}
	for deadline := time.Now().Add(20 * time.Second); ; {
		resp, err := client.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", url, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestConformanceFiles checks the configurations of the conformance variants.
func TestConformanceFiles(t *testing.T) {
	files, err := filepath.Glob("../../e2e/conformance/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("none found: %v", err)
	}
	for _, f := range files {
		if code, _, complaint := cardea(t, t.Context(), "check-config", "--config", f); code != 0 {
			t.Errorf("%s", complaint)
		}
	}
}

func TestStatusCounts(t *testing.T) {
	var out bytes.Buffer
	one := console.Status{Node: "n", Sessions: 1, Handles: 1, Peers: 1, Connected: 1, Streams: 1, Rooms: 1, Nodes: 1}
	if err := printStatus(&out, one); err != nil {
		t.Fatal(err)
	}
	two := console.Status{Node: "n", Sessions: 2, Handles: 2, Peers: 5, Connected: 2, Streams: 2, Rooms: 0, Nodes: 2, Links: 1}
	if err := printStatus(&out, two); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 (1 handle)\n", "1 client with media, 1 stream, 1 room\n", "1 node, this one\n",
		"2 (2 handles)\n", "2 clients with media (3 more connecting), 2 streams, 0 rooms\n", "2 nodes, links to 1 of them\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
