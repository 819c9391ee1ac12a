package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// imageUser is the user and group of the image.
const imageUser = 65532

// instruction returns what the last line of the Dockerfile with an instruction says.
func instruction(t *testing.T, name string) string {
	t.Helper()
	all := regexp.MustCompile(`(?m)^`+name+` (.*)$`).FindAllStringSubmatch(read(t, "Dockerfile"), -1)
	if all == nil {
		t.Fatalf("the Dockerfile has no %s", name)
	}
	return all[len(all)-1][1]
}

// words are those of an instruction in its JSON form.
func words(t *testing.T, text string) (all []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text[strings.Index(text, "["):]), &all); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return all
}

// TestDockerfile looks at what can be known without Docker.
func TestDockerfile(t *testing.T) {
	for name, want := range map[string]string{"FROM": "scratch", "USER": "65532:65532", "STOPSIGNAL": "SIGTERM", "VOLUME": "/var/lib/cardea"} {
		if got := instruction(t, name); got != want {
			t.Errorf("%s %s, want %s", name, got, want)
		}
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	if !strings.Contains(read(t, "Dockerfile"), "golang:"+version[1]+"-") {
		t.Errorf("the image is not built with Go %s", version[1])
	}
}

// image is a root directory as the Dockerfile's last stage has it, and a node in it.
type image struct {
	t            *testing.T
	root, name   string
	address, url string
}

// newImage does by hand what the Dockerfile does: the program alone in an empty root, and a user without privileges.
func newImage(t *testing.T, program, name, address string) *image {
	t.Helper()
	i := &image{t, t.TempDir(), name, address, "http://" + address + ":9600"}
	// The temporary directory is readable by its owner alone; in the image the root is everybody's.
	for dir := i.root; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
			t.Fatal(err)
		}
	}
	data := filepath.Join(i.root, "var/lib/cardea")
	for _, dir := range []string{data, filepath.Join(i.root, "tmp"), filepath.Join(i.root, "etc/cardea")} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // see above
			t.Fatal(err)
		}
	}
	if err := os.Chown(data, imageUser, imageUser); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(program); err != nil {
		t.Fatal(err)
	} else if err := os.WriteFile(filepath.Join(i.root, "cardea"), b, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return i
}

// command runs the image with the arguments: what "docker run" and HEALTHCHECK do.
func (i *image) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(i.t.Context(), words(i.t, instruction(i.t, "ENTRYPOINT"))[0], args...)
	cmd.Dir = "/var/lib/cardea"
	cmd.Env = []string{
		"CARDEA_NODE_NAME=" + i.name, "CARDEA_NODE_BIND=" + i.address, "CARDEA_LIMITS_SCHEDULING_LATENCY=0s",
		"CARDEA_NODE_STOP_TIMEOUT=2s", "CARDEA_EVENTS_FLUSH_TIMEOUT=1s", "CARDEA_NODE_DRAIN_TIMEOUT=5s",
		"CARDEA_MESH_JOIN_FILE=/var/lib/cardea/invitation",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: i.root, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}}
	return cmd
}

// serve starts the node and waits until the image's health check passes.
func (i *image) serve() (stop func()) {
	i.t.Helper()
	var log bytes.Buffer
	node := i.command(words(i.t, instruction(i.t, "CMD"))...)
	node.Stderr = &log
	if err := node.Start(); err != nil {
		i.t.Fatal(err)
	}
	health := words(i.t, regexp.MustCompile(`HEALTHCHECK .*CMD (\[.*\])`).FindStringSubmatch(read(i.t, "Dockerfile"))[1])
	for deadline := time.Now().Add(20 * time.Second); i.command(health[1:]...).Run() != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = node.Process.Kill()
			_ = node.Wait()
			i.t.Fatalf("%s does not become healthy:\n%s", i.name, &log)
		}
	}
	return func() {
		_ = node.Process.Signal(syscall.SIGTERM)
		if err := node.Wait(); err != nil {
			i.t.Errorf("%s: stopped by SIGTERM: %v\n%s", i.name, err, &log)
		}
	}
}

// TestImage runs nodes as containers would be: in roots with nothing but the program, as a user without privileges, the second
// with an invitation that it gets as in the compose file.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to change the root directory")
	}
	program, err := filepath.Abs("../bin/cardea")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("needs bin/cardea, the static program that the image has: \"make deploycheck\" builds it")
	}
	var c compose
	parseYAML(t, composeFile, &c)
	join := c.Services["invite2"].Command

	first, second := newImage(t, program, "node1", "127.0.61.11"), newImage(t, program, "node2", "127.0.61.12")
	begin := first.command("join", "--url", "http://127.0.0.1:1", "--output", "/var/lib/cardea/invitation", "--first", "node1", "--wait", "1s")
	if out, err := begin.CombinedOutput(); err != nil || !strings.Contains(string(out), "will begin a cluster") {
		t.Fatalf("join, the first: %v\n%s", err, out)
	}
	defer first.serve()()
	u := slices.Index(join, "--url")
	if u < 0 || join[u+1] != "http://10.213.0.11:9600" {
		t.Fatalf("the compose file's invitations: %q", join)
	}
	join[u+1] = first.url
	if out, err := second.command(join...).CombinedOutput(); err != nil {
		t.Fatalf("join: %v\n%s", err, out)
	}
	defer second.serve()()
	var nodes struct{ Nodes []struct{ Name string } }
	for deadline := time.Now().Add(20 * time.Second); len(nodes.Nodes) != 2; time.Sleep(100 * time.Millisecond) {
		out, err := second.command("nodes", "--json").Output()
		if err == nil {
			err = json.Unmarshal(out, &nodes)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d nodes, %v\n%s", len(nodes.Nodes), err, out)
		}
	}
	// Once more, as when a container is made anew over the same volume.
	if out, err := second.command(join...).CombinedOutput(); err != nil || !strings.Contains(string(out), "a member already") {
		t.Errorf("join again: %v\n%s", err, out)
	}
}
