package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/node/config"
)

// victimConfig names the configuration of a process that is a node to be killed.
const victimConfig = "CARDEA_TEST_VICTIM"

// runVictim runs a node until SIGTERM.
func runVictim(file string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	document, err := os.ReadFile(file)
	var c *config.Config
	if err == nil {
		c, err = config.Parse(file, document)
	}
	var n *Node
	if err == nil {
		n, err = Listen(ctx, c, quiet())
	}
	if err == nil {
		err = n.Serve(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// webhookServer is a webhook that keeps the events it took, and can be away.
type webhookServer struct {
	*httptest.Server
	mu     sync.Mutex
	away   bool
	events []map[string]json.RawMessage
}

func newWebhookServer(t *testing.T) *webhookServer {
	w := &webhookServer{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		var batch []map[string]json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil || w.away {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.events = append(w.events, batch...)
	}))
	t.Cleanup(w.Close)
	return w
}

// set says whether the server is away, and forgets what it took.
func (w *webhookServer) set(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away, w.events = away, nil
}

func (w *webhookServer) took() []map[string]json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]map[string]json.RawMessage(nil), w.events...)
}

// until waits for a condition, which a busy machine may take its time to fulfil.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happened that %s", what)
		}
	}
}

// apiClient is a client of the Janus API over HTTP.
type apiClient struct {
	t    *testing.T
	http *http.Client
	url  string
}

func (a apiClient) post(path string, request map[string]any) map[string]any {
	a.t.Helper()
	request["transaction"] = "t"
	body, err := json.Marshal(request)
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := a.http.Post(a.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		a.t.Fatal(err)
	}
	return answer
}

// answers tells whether the API answers within a moment.
func (a apiClient) answers() bool {
	ctx, cancel := context.WithTimeout(a.t.Context(), 200*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/info", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := a.http.Do(r)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return true
}

// room makes a room, and joins it if asked to.
func (a apiClient) room(id int, join bool) {
	a.t.Helper()
	created := func(answer map[string]any) string {
		data, _ := answer["data"].(map[string]any)
		n, _ := data["id"].(float64)
		return fmt.Sprintf("/%.0f", n)
	}
	session := created(a.post("", map[string]any{"janus": "create"}))
	handle := session + created(a.post(session, map[string]any{"janus": "attach", "plugin": "janus.plugin.videoroom"}))
	a.post(handle, map[string]any{"janus": "message", "body": map[string]any{"request": "create", "room": id, "community_id": "c1"}})
	if join {
		a.post(handle, map[string]any{"janus": "message", "body": map[string]any{"request": "join", "ptype": "publisher", "room": id}})
	}
}

// victimNode starts a node in a process of its own.
func victimNode(t *testing.T, file string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^$") //nolint:gosec // this program
	cmd.Env = append(os.Environ(), victimConfig+"="+file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // unless it has ended
	return cmd
}

// listOf returns the room list in an event as JSON without spaces, "" if it is another event.
func listOf(e map[string]json.RawMessage) string {
	var body bytes.Buffer
	if json.Compact(&body, e["TGG_USER_EVENT"]) != nil || !strings.Contains(body.String(), `"room_list"`) {
		return ""
	}
	return body.String()
}

// TestRoomListFirst kills a node with kill -9 while its webhook is away and a backlog waits, then stops one cleanly. After each start the
// first event must be the list of the rooms that there were, and no client may be answered before it has arrived.
func TestRoomListFirst(t *testing.T) {
	const address = "127.0.7.31"
	dir := t.TempDir()
	hook := newWebhookServer(t)
	file := dir + "/node.yaml"
	text := fmt.Sprintf("node: {data_dir: %s, bind: %s, stop_timeout: 5s, name: victim}\nevents: {room_list_wait: 20s, flush_timeout: 2s, webhook: {url: %q}}\n", dir, address, hook.URL+"/x")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	api := apiClient{t, client(t), "http://" + address + ":8088/janus"}

	node := victimNode(t, file)
	until(t, "the node answers", api.answers)
	first := hook.took()
	if len(first) == 0 {
		t.Fatal("a client was answered before any event arrived")
	}
	if d := cmp.Diff(`{"event":"room_list","ended":"first start","part":1,"parts":1,"rooms":[]}`, listOf(first[0])); d != "" {
		t.Errorf("the first event of all: %s", d)
	}
	api.room(4321, true)
	until(t, "the participant's joining arrives", func() bool {
		text, err := json.Marshal(hook.took())
		return err == nil && bytes.Contains(text, []byte(`"joined"`))
	})
	hook.set(true)
	api.room(5, false)
	list := dir + "/" + eventsDir + "/" + roomListFile
	until(t, "the room is on disk", func() bool {
		b, err := os.ReadFile(list)
		return err == nil && bytes.Contains(b, []byte(`"videoroom/5"`))
	})
	until(t, "what waits is on disk", func() bool { // by another way than the list
		segments, _ := filepath.Glob(filepath.Join(dir, eventsDir, "*.events"))
		return slices.ContainsFunc(segments, func(name string) bool {
			b, err := os.ReadFile(name)
			return err == nil && bytes.Contains(b, []byte(`"created","room":5`))
		})
	})
	if err := node.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = node.Wait()

	node = victimNode(t, file)
	until(t, "the console answers", func() bool {
		resp, err := api.http.Get("http://" + address + ":9600/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
	if api.answers() {
		t.Error("a client was answered while nobody had taken the list of rooms")
	}
	hook.set(false)
	until(t, "the node answers", api.answers)
	took := hook.took()
	if len(took) == 0 {
		t.Fatal("a client was answered before any event arrived")
	}
	if d := cmp.Diff(`{"event":"room_list","ended":"crashed","part":1,"parts":1,"rooms":[`+
		`{"plugin":"videoroom","room":4321,"community_id":"c1","participants":1},`+
		`{"plugin":"videoroom","room":5,"community_id":"c1","participants":0}]}`, listOf(took[0])); d != "" {
		t.Errorf("after a kill -9: %s", d)
	}
	until(t, "what waited arrives", func() bool {
		text, err := json.Marshal(hook.took())
		return err == nil && bytes.Contains(text, []byte(`"created","room":5`))
	})
	for _, e := range hook.took() {
		_, user := e[config.Default().Events.Label]
		if _, named := e["id"]; named != user {
			t.Errorf("user event %t, has an id %t: %v", user, named, e)
		}
	}
	api.room(99, true)
	until(t, "the participant is on disk", func() bool {
		b, err := os.ReadFile(list)
		return err == nil && bytes.Contains(b, []byte(`"videoroom/99","community_id":"c1","participants":1`))
	})
	hook.set(false)
	if err := node.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := node.Wait(); err != nil {
		t.Errorf("clean stop: %v", err)
	}
	hook.set(false)

	node = victimNode(t, file)
	until(t, "the node answers", api.answers)
	if took = hook.took(); len(took) == 0 {
		t.Fatal("a client was answered before any event arrived")
	}
	if d := cmp.Diff(`{"event":"room_list","ended":"stopped","part":1,"parts":1,"rooms":[{"plugin":"videoroom","room":99,"community_id":"c1","participants":1}]}`, listOf(took[0])); d != "" {
		t.Errorf("after a clean stop: %s", d)
	}
	if err := node.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = node.Wait()
}
