package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/e2e/wan"
	"cardea/node/console"
)

// pause is how long to wait before looking again.
const pause = 50 * time.Millisecond

// patience bounds what takes no noticeable time on a machine that is not overloaded.
const patience = 30 * time.Second

// world is nodes in regions.
type world struct {
	network *wan.Network
	dir     string
	program string
	nodes   []*node
}

// node is one node process.
type node struct {
	w       *world
	name    string // region and number, "eu1"
	site    *wan.Site
	address string
	file    string // its configuration

	identity string // in the mesh, once asked for

	mu      sync.Mutex
	command *exec.Cmd
	ended   chan struct{}
}

// configuration of a node. What is tested must not depend on how busy the machine is, so nobody is refused; and clients
// here send no keepalives.
const configuration = `
node: {name: %s, region: %s, bind: %s, data_dir: %q, planes: [%s], stop_timeout: 6s, drain_timeout: 0s}
log: {level: %s}
turn: {enabled: false}
janus: {session_timeout: 0s}
console: {allowed: [10.0.0.0/8, 127.0.0.0/8]}
limits: {cpu: 0, scheduling_latency: 0s, session_rate: 0}
`

// regions are those of [wan.Regions], in which there are nodes.
var regions = []string{"eu", "us", "ap"}

// abroad is a site without nodes of the mesh.
const abroad = "abroad"

// newWorld builds the regions and their nodes, perRegion in each, and starts them: the first makes the cluster, the others
// join it with an invitation of its. Configurations, data and logs are the test's artifacts.
func newWorld(t *testing.T, perRegion int) *world {
	t.Helper()
	topology := wan.Regions()
	topology.Sites = append(topology.Sites, wan.SiteConfig{Name: abroad})
	return newWorldOf(t, topology, regions, perRegion)
}

// allPlanes are the roles of a node that needs no other.
const allPlanes = "signaling, media, turn"

// newWorldOf is newWorld with other sites, some of which have nodes; planes are the roles of a site's nodes, all unless said.
func newWorldOf(t *testing.T, topology wan.Topology, regions []string, perRegion int, planes ...string) *world {
	t.Helper()
	if err := wan.Supported(); err != nil {
		t.Skipf("no oceans here: %v", err)
	}
	w := &world{dir: t.ArtifactDir()}
	w.program = filepath.Join(w.dir, "cardea")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", w.program, "cardea/node/cardea")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var err error
	if w.network, err = wan.New(t.Context(), topology); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range w.nodes {
				t.Logf("%s:\n%s", n.name, n.tail(40))
			}
		}
		for _, n := range w.nodes {
			n.stop(t)
		}
		if err := w.network.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, region := range regions {
		for i := 1; i <= perRegion; i++ {
			roles := allPlanes
			if i <= len(planes) {
				roles = planes[i-1]
			}
			w.nodes = append(w.nodes, w.newNode(t, fmt.Sprint(region, i), w.network.Site(region), i, roles))
		}
	}
	w.nodes[0].start(t, "")
	token := w.nodes[0].invite(t, len(w.nodes)-1)
	for _, n := range w.nodes[1:] {
		n.launch(t, token)
	}
	for _, n := range w.nodes[1:] {
		n.ready(t)
	}
	w.meet(t, len(w.nodes))
	for _, n := range w.nodes {
		n.id(t)
	}
	return w
}

// newNode configures a node as host number i of a site.
func (w *world) newNode(t *testing.T, name string, site *wan.Site, i int, planes string) *node {
	t.Helper()
	n := &node{w: w, name: name, site: site, address: site.Host(i).String(), file: filepath.Join(w.dir, name+".yaml")}
	text := fmt.Sprintf(configuration, name, site.Name(), n.address, filepath.Join(w.dir, name), planes, level())
	if err := os.WriteFile(n.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// whole makes the world what it was in the beginning, whatever tests did to it.
func (w *world) whole(t *testing.T) {
	t.Helper()
	w.network.Heal()
	w.launch(t)
	w.meet(t, len(w.nodes))
}

// launch starts the nodes that do not run, and waits until they are ready.
func (w *world) launch(t *testing.T) {
	t.Helper()
	var started []*node
	for _, n := range w.nodes {
		if !n.running() {
			n.launch(t, "")
			started = append(started, n)
		}
	}
	for _, n := range started {
		n.ready(t)
	}
}

// level is what nodes log: MESH_LOG=debug shows more when a test fails.
func level() string {
	if l := os.Getenv("MESH_LOG"); l != "" {
		return l
	}
	return "info"
}

// meet waits until all running nodes see n nodes.
func (w *world) meet(t *testing.T, n int) {
	t.Helper()
	for _, of := range w.nodes {
		if !of.running() {
			continue
		}
		var seen int
		await(t, func() string { return fmt.Sprintf("%s sees %d nodes, not %d", of.name, seen, n) }, func() bool {
			seen = len(of.members())
			return seen == n
		})
	}
}

// in returns the nodes of a region.
func (w *world) in(region string) (nodes []*node) {
	for _, n := range w.nodes {
		if n.site.Name() == region {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// start starts the node and waits until it is ready.
func (n *node) start(t *testing.T, token string) {
	t.Helper()
	n.launch(t, token)
	n.ready(t)
}

// program is what the node runs. MESH_OTHER names another build of the program, the version before or after this one, for the second node of
// each region: nobody must notice.
func (n *node) program() string {
	if other := os.Getenv("MESH_OTHER"); other != "" && strings.HasSuffix(n.name, "2") {
		return other
	}
	return n.w.program
}

// launch starts the process.
func (n *node) launch(t *testing.T, token string) {
	t.Helper()
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args := []string{n.program(), "run", "--config", n.file}
	if token != "" {
		args = append(args, "--join", token)
	}
	command := n.site.Command(context.Background(), args...)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait() // how it ended is in its log
	}()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.command, n.ended = command, ended
}

func (n *node) log() string { return filepath.Join(n.w.dir, n.name+".log") }

// ready waits until the node serves.
func (n *node) ready(t *testing.T) {
	t.Helper()
	var last error
	await(t, func() string { return fmt.Sprintf("%s is not ready: %v\n%s", n.name, last, n.tail(20)) }, func() bool {
		_, last = n.get("/readyz")
		return last == nil
	})
}

func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// kill ends the node without a chance to say so.
func (n *node) kill() { n.signal(syscall.SIGKILL) }

func (n *node) signal(s syscall.Signal) {
	n.mu.Lock()
	command, ended := n.command, n.ended
	n.mu.Unlock()
	_ = command.Process.Signal(s)
	<-ended
}

// stop ends the node well, if it runs.
func (n *node) stop(t *testing.T) {
	if n.running() {
		force := time.AfterFunc(10*time.Second, func() {
			t.Errorf("%s does not stop\n%s", n.name, n.tail(20))
			_ = n.command.Process.Kill()
		})
		n.signal(syscall.SIGTERM)
		force.Stop()
	}
	if b, err := os.ReadFile(n.log()); err == nil && (bytes.Contains(b, []byte("panic")) || bytes.Contains(b, []byte("DATA RACE"))) {
		t.Errorf("%s panicked:\n%s", n.name, n.tail(80))
	}
}

// tail returns the last lines of the node's log.
func (n *node) tail(lines int) string {
	b, err := os.ReadFile(n.log())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// get asks the node's console, from its own region.
func (n *node) get(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: n.site.Dial}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.address+":9600"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, response.Status, b)
	}
	return b, err
}

// invite has the node invite others.
func (n *node) invite(t *testing.T, uses int) string {
	t.Helper()
	return strings.TrimSpace(n.run(t, "token", "--config", n.file, "--uses", fmt.Sprint(uses)))
}

// run runs a command of the program beside the node.
func (n *node) run(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	command := n.site.Command(t.Context(), append([]string{n.w.program}, args...)...)
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		t.Fatalf("%s: cardea %v: %v\n%s", n.name, args, err, errs.String())
	}
	return out.String()
}

// fetch asks the node's console for JSON.
func (n *node) fetch(path string, into any) error {
	b, err := n.get(path)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	return err
}

// members returns whom the node sees, itself included; nobody if it does not answer.
func (n *node) members() []console.MeshNode {
	var list console.MeshNodes
	_ = n.fetch("/api/v1/nodes", &list) // an empty list is told by who asked
	return list.Nodes
}

// id returns the node's name in the mesh, which it keeps for life.
func (n *node) id(t *testing.T) string {
	t.Helper()
	if n.identity != "" {
		return n.identity
	}
	for _, m := range n.members() {
		if m.Self {
			n.identity = m.ID
			return m.ID
		}
	}
	t.Fatalf("%s does not say who it is", n.name)
	return ""
}

// named returns the node of an id.
func (w *world) named(t *testing.T, id string) *node {
	t.Helper()
	for _, n := range w.nodes {
		if n.id(t) == id {
			return n
		}
	}
	t.Fatalf("no node has the id %q", id)
	return nil
}

// keeper returns the node where a room's roster is, as another sees it.
func (n *node) keeper(t *testing.T, room int) *node {
	t.Helper()
	var found *node
	await(t, func() string { return fmt.Sprintf("%s does not list room %d", n.name, room) }, func() bool {
		var list console.Rooms
		if err := n.fetch("/api/v1/rooms", &list); err != nil {
			t.Fatalf("%s: rooms: %v", n.name, err)
		}
		for _, r := range list.Rooms {
			if r.Room == strconv.Itoa(room) {
				found = n.w.named(t, r.Keeper)
			}
		}
		return found != nil
	})
	return found
}

// path returns the nodes that a publisher's streams pass, this one, where they are watched, included. All streams of a
// publisher take the same way, but for moments.
func (n *node) path(t *testing.T, publisher json.Number) []*node {
	t.Helper()
	var list console.MeshStreams
	if err := n.fetch("/api/v1/streams", &list); err != nil {
		t.Fatalf("%s: streams: %v", n.name, err)
	}
	for _, s := range list.Streams {
		if s.Publisher == publisher.String() {
			var path []*node
			for _, id := range s.Path {
				path = append(path, n.w.named(t, id))
			}
			return path
		}
	}
	return nil
}

// metric returns a number of the node's metrics.
func (n *node) metric(t *testing.T, name string) int {
	t.Helper()
	b, err := n.get("/metrics")
	if err != nil {
		t.Fatalf("%s: metrics: %v", n.name, err)
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatalf("%s: %s: %v", n.name, name, err)
			}
			return int(v)
		}
	}
	t.Fatalf("%s has no metric %s", n.name, name)
	return 0
}

// dial makes a client beside the node.
func (n *node) dial(ctx context.Context) (*caller.Client, error) {
	place := caller.Place{Dial: n.site.Dial, ListenPacket: n.site.ListenPacket, Address: n.address}
	return place.Open(ctx, "ws://"+net.JoinHostPort(n.address, "8188")+"/")
}

// open makes a client beside the node, for as long as the test lasts.
func (n *node) open(t *testing.T) *caller.Client {
	t.Helper()
	c, err := n.dial(within(t))
	if err != nil {
		t.Fatalf("client at %s: %v", n.name, err)
	}
	t.Cleanup(c.Cut)
	return c
}

// within gives a step its time.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// await waits until ok.
func await(t *testing.T, what func() string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatal(what())
		}
	}
}
