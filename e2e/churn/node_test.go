package churn

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	address = "127.0.0.42" // the node's own, so that it has the usual ports to itself
	rooms   = 4            // 1 to rooms
)

// configuration of the node. What is measured must not depend on how busy the machine is, so nobody is refused.
const configuration = `
node: {name: churn, bind: %s, data_dir: %q}
limits: {cpu: 0, scheduling_latency: 0s, session_rate: 0}
videoroom:
  rooms:
%s`

// process is a node in a process of its own.
type process struct {
	command *exec.Cmd
	log     string // file
}

// start builds and starts a node, and stops it at the end of the test.
func start(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "cardea")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "cardea/node/cardea")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var list strings.Builder
	for room := 1; room <= rooms; room++ {
		fmt.Fprintf(&list, "    - {room: %d, publishers: 1000}\n", room)
	}
	file := filepath.Join(dir, "cardea.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, configuration, address, filepath.Join(dir, "data"), list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{log: filepath.Join(dir, "log")}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.command = exec.CommandContext(context.Background(), program, "run", "--config", file)
	p.command.Stderr = log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(t) })
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err := get("/readyz"); err == nil {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node is not ready\n%s", p.lines(math.MaxInt))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stop ends the node and wants it to end well.
func (p *process) stop(t *testing.T) {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	force := time.AfterFunc(20*time.Second, func() { _ = p.command.Process.Kill() })
	err := p.command.Wait()
	force.Stop()
	if err != nil {
		t.Errorf("the node ended badly: %v\n%s", err, p.lines(40))
	}
}

// lines returns the last lines of the node's log that are more than news, but for those about the machine it stands on.
func (p *process) lines(n int) string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	var found []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if !strings.Contains(s.Text(), "level=INFO") && !strings.Contains(s.Text(), "few open files") && !strings.Contains(s.Text(), "small socket buffer") {
			found = append(found, s.Text())
		}
	}
	return strings.Join(found[max(0, len(found)-n):], "\n")
}

// get asks the console. Each request has a connection of its own, which is gone before the next, and no compression, whose
// tables would count as live.
func get(path string) (string, error) {
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	response, err := client.Get("http://" + address + ":9600" + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, response.Status, b)
	}
	return string(b), err
}

// figures is what the node holds.
type figures struct {
	at         time.Duration // since the test began
	goroutines int
	heap       int // live bytes, after a collection
	files      int // open file descriptors
	resident   int // bytes
	sessions   int
	handles    int
	peers      int
	streams    int
}

var (
	goroutineTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)
	heapAlloc      = regexp.MustCompile(`# HeapAlloc = (\d+)`)
)

// measure asks the node what it holds.
func (p *process) measure(t *testing.T, began time.Time) figures {
	t.Helper()
	f := figures{at: time.Since(began).Round(time.Second), heap: math.MaxInt}
	ask := func(path string) string {
		text, err := get(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	find := func(text string, pattern *regexp.Regexp) int {
		m := pattern.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no %s in %.300s", pattern, text)
		}
		n, _ := strconv.Atoi(m[1])
		return n
	}
	// A collection starts finalizers and leaves pools half full; the second and third see what is really held. What the
	// question itself takes differs a little each time.
	for range 4 {
		f.heap = min(f.heap, find(ask("/debug/pprof/heap?gc=1&debug=1"), heapAlloc))
	}
	f.goroutines = find(ask("/debug/pprof/goroutine?debug=1"), goroutineTotal)
	var status struct{ Sessions, Handles, Peers, Streams int }
	if err := json.Unmarshal([]byte(ask("/api/v1/status")), &status); err != nil {
		t.Fatal(err)
	}
	f.sessions, f.handles, f.peers, f.streams = status.Sessions, status.Handles, status.Peers, status.Streams
	f.files = math.MaxInt
	for range 4 { // the connection of the question before may not be closed yet
		metrics := ask("/metrics")
		f.files, f.resident = min(f.files, value(metrics, "process_open_fds")), value(metrics, "process_resident_memory_bytes")
		time.Sleep(20 * time.Millisecond)
	}
	return f
}

// value returns a metric without labels.
func value(metrics, name string) int {
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return int(v)
		}
	}
	return -1
}
