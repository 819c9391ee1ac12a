//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardea/e2e/wan"
)

// asTool is the environment variable that makes this test binary be the command.
const asTool = "WAN_TEST_AS_TOOL"

func TestMain(m *testing.M) {
	if os.Getenv(asTool) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// tool is the command in a process of its own.
type tool struct {
	*exec.Cmd
	in         io.WriteCloser
	out        *bufio.Scanner
	namespaces []string // files
}

// start starts the tool and waits for its list of sites.
func start(t *testing.T, arguments ...string) *tool {
	t.Helper()
	if err := wan.Supported(); err != nil {
		t.Skip(err)
	}
	k := &tool{Cmd: exec.CommandContext(t.Context(), os.Args[0], arguments...)}
	k.Env = append(os.Environ(), asTool+"=1")
	k.Stderr = os.Stderr
	var err error
	if k.in, err = k.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := k.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	k.out = bufio.NewScanner(out)
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`ip netns exec (\S+) COMMAND`)
	for k.out.Scan() && !strings.Contains(k.out.Text(), `"help"`) {
		if m := name.FindStringSubmatch(k.out.Text()); m != nil {
			k.namespaces = append(k.namespaces, filepath.Join("/run/netns", m[1]))
		}
	}
	if got := k.left(); len(got) != 3 {
		t.Fatalf("the tool has namespaces %v, of which %v exist", k.namespaces, got)
	}
	return k
}

// left returns the namespaces that exist.
func (k *tool) left() (list []string) {
	for _, n := range k.namespaces {
		if _, err := os.Stat(n); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// command gives the tool a line and returns what it prints until the line for which it is told to look.
func (k *tool) command(t *testing.T, line, last string) (printed []string) {
	t.Helper()
	if _, err := io.WriteString(k.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
	for k.out.Scan() {
		printed = append(printed, k.out.Text())
		if strings.Contains(k.out.Text(), last) {
			return printed
		}
	}
	t.Fatalf("%q: no %q in\n%s", line, last, strings.Join(printed, "\n"))
	return nil
}

// background starts a process at a site that outlives its shell, and returns its id.
func (k *tool) background(t *testing.T) string {
	t.Helper()
	return k.command(t, "run eu sleep 1000 >/dev/null & echo $!", "")[0]
}

// gone waits until no process has this id, or only its remains, for which an ancestor has to care.
func gone(t *testing.T, pid string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		status, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || bytes.Contains(status, []byte(") Z ")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %s is left: %s", pid, status)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestToolRemovesEverything(t *testing.T) {
	for name, end := range map[string]func(*tool) error{
		"end of input": func(k *tool) error { return k.in.Close() },
		"quit":         func(k *tool) error { _, err := io.WriteString(k.in, "quit\n"); return err },
		"interrupt":    func(k *tool) error { return k.Process.Signal(os.Interrupt) },
		"hangup":       func(k *tool) error { return k.Process.Signal(syscall.SIGHUP) },
	} {
		t.Run(name, func(t *testing.T) {
			k := start(t)
			pid := k.background(t)
			if err := end(k); err != nil {
				t.Fatal(err)
			}
			if err := k.Wait(); err != nil {
				t.Error(err)
			}
			if got := k.left(); got != nil {
				t.Errorf("%v are left", got)
			}
			gone(t, pid)
		})
	}
}

func TestNextToolRemovesWhatAKilledOneLeft(t *testing.T) {
	killed := start(t)
	pid := killed.background(t)
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	next := start(t)
	if got := killed.left(); got != nil {
		t.Errorf("%v are left", got)
	}
	gone(t, pid)
	next.command(t, "ping eu us 1", "10.2.0.1")
	if err := next.in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := next.Wait(); err != nil {
		t.Error(err)
	}
}

func TestToolReadsATopology(t *testing.T) {
	file := filepath.Join(t.TempDir(), "three.yaml")
	if err := os.WriteFile(file, []byte("sites: [{name: a}, {name: b}, {name: c}]\nlinks: [a b delay=3ms]"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := start(t, "-topology", file)
	if printed := k.command(t, "show", "a>b"); !strings.HasSuffix(printed[0], "delay=3ms") {
		t.Errorf("show: %q", printed)
	}
	if err := k.in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := k.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := read(filepath.Join(t.TempDir(), "none.yaml")); err == nil {
		t.Error("a file that does not exist is a topology")
	}
}
