package wan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	namespaces = "/run/netns" // where iproute2 keeps them
	prefix     = "cardea-"    // of the names of ours, then the process's id
	device     = "wan0"       // the TUN device in each

	// devices hold this many packets for a link that is late: at 1,500 bytes and 200 Mbit/s more than half a second.
	deviceQueue = 10_000

	// How long processes in a namespace have to end after SIGTERM, before SIGKILL.
	patience = 2 * time.Second
)

// networks counts those that this process has made, so that each has namespaces of its own.
var networks atomic.Uint32

// ours matches the names of namespaces of this package; the first group is the id of the process.
var ours = regexp.MustCompile(`^` + prefix + `(\d+)(?:\.\d+)?-`)

// Supported reports what this machine or process lacks for New, or nil.
func Supported() error {
	if os.Geteuid() != 0 {
		return errors.New("wan: network namespaces need root")
	}
	for _, command := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(command); err != nil {
			return fmt.Errorf("wan: %w (Debian: iproute2, util-linux)", err)
		}
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("wan: open /dev/net/tun: %w", err)
	}
	unix.Close(fd)
	// A container may be root and yet not make namespaces.
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("wan: make a network namespace: %w", err)
		}
		return nil
	})
}

// namespace is a named network namespace.
type namespace struct {
	name string
	file *os.File // keeps it alive and is entered by
}

// names returns a function that names the namespaces of one more network of this process.
func names() func(site string) string {
	owner := strconv.Itoa(os.Getpid())
	if n := networks.Add(1) - 1; n > 0 {
		owner += "." + strconv.Itoa(int(n))
	}
	return func(site string) string { return prefix + owner + "-" + site }
}

// newNamespace makes an empty namespace. One of that name that exists is left from an earlier process with our id.
func newNamespace(ctx context.Context, name string) (*namespace, error) {
	if _, err := os.Stat(filepath.Join(namespaces, name)); err == nil {
		if err := removeNamespace(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := ip(ctx, "", "netns", "add", name); err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(namespaces, name))
	if err != nil {
		return nil, errors.Join(err, ip(ctx, "", "netns", "del", name))
	}
	return &namespace{name: name, file: file}, nil
}

// do runs f on a thread inside the namespace. Sockets that f itself makes stay inside; goroutines that it starts, and so what
// package net does behind a host name, are outside.
func (n *namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.name, err)
		}
		return f()
	})
}

// onThread runs f, which may change its thread's network namespace, on a thread of its own, and brings that back. It must not
// just end the thread: processes that it has started may be waiting for its death (see Site.Command).
func onThread(f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		outside, failed := os.Open("/proc/thread-self/ns/net")
		if failed != nil {
			runtime.UnlockOSThread()
			err = failed
			return
		}
		defer outside.Close()
		err = f()
		if unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // otherwise nobody may use this thread again, and it ends here
		}
	}()
	<-done
	return err
}

// remove ends the processes in the namespace and removes it.
func (n *namespace) remove(ctx context.Context) error {
	return errors.Join(n.file.Close(), removeNamespace(ctx, n.name))
}

func removeNamespace(ctx context.Context, name string) error {
	endProcesses(ctx, name)
	err := ip(ctx, "", "netns", "del", name)
	if _, gone := os.Stat(filepath.Join(namespaces, name)); errors.Is(gone, os.ErrNotExist) {
		return nil // whoever it was
	}
	return err
}

// sweep removes what processes left that were killed before they could.
func sweep(ctx context.Context) error {
	entries, err := os.ReadDir(namespaces)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for stale namespaces: %w", err)
	}
	var errs []error
	for _, e := range entries {
		m := ours.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[1])
		if err != nil || unix.Kill(pid, 0) != unix.ESRCH {
			continue
		}
		if err := removeNamespace(ctx, e.Name()); err != nil {
			errs = append(errs, fmt.Errorf("remove stale namespace: %w", err))
		}
	}
	return errors.Join(errs...)
}

// endProcesses ends every process in the namespace but this one: SIGTERM first, SIGKILL for those that remain.
func endProcesses(ctx context.Context, name string) {
	deadline := time.Now().Add(patience)
	for signal := os.Signal(syscall.SIGTERM); ; {
		left := 0
		for _, pid := range processes(name) {
			left++
			// A handle first, then another look: the id may be somebody else's by now.
			if p, err := os.FindProcess(pid); err == nil {
				if signal != nil && inside(pid, name) {
					_ = p.Signal(signal) // it has ended by itself otherwise
				}
				_ = p.Release()
			}
		}
		if left == 0 || time.Now().After(deadline.Add(patience)) {
			return
		}
		signal = nil
		if time.Now().After(deadline) || ctx.Err() != nil {
			signal = syscall.SIGKILL
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// processes returns the ids of the processes in the namespace, without this one: a thread of ours may be in there for a moment.
func processes(name string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() && inside(pid, name) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// inside reports whether the process is in the namespace. A zombie is in none.
func inside(pid int, name string) bool {
	var process, space unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/net", &process) != nil || unix.Stat(filepath.Join(namespaces, name), &space) != nil {
		return false
	}
	return process.Dev == space.Dev && process.Ino == space.Ino
}

// ip runs iproute2's ip. Lines of stdin are commands of their own if args say so.
func ip(ctx context.Context, stdin string, args ...string) error {
	c := exec.CommandContext(ctx, "ip", args...)
	c.Stdin = strings.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
