package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cardea/e2e/load"
)

//go:embed janus/*.jcfg
var templates embed.FS

// Ports of the servers, away from where a node or a Janus is usually found.
const (
	wsPort      = 28188
	mediaPort   = 23478
	consolePort = 29600
	janusPorts  = "41000-49000"
)

const (
	// startTimeout and stopTimeout bound a server's start and its clean stop.
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
	// joinsPerSecond is how fast subscribers come.
	joinsPerSecond = 50
)

// contestant is a server to measure.
type contestant struct {
	name    string
	load    string // the program that makes the load
	address netip.Addr
	// command makes the command line, with whatever it needs in a directory of its own.
	command func(dir string) ([]string, error)
}

// result is a measurement.
type result struct {
	contestant  string
	subscribers int
	load.Report
}

// contestants returns Cardea and, where it can be run, Janus. Janus offers no loopback addresses to its clients, so all
// servers listen on the first other address; packets do not leave the machine for that.
func contestants(bin string) []contestant {
	address, external := ownAddress()
	all := []contestant{{"Cardea", bin, address, func(dir string) ([]string, error) {
		return []string{
			bin, "run", "--bind", address.String(), "--data-dir", dir, "--log-level", "warn",
			"--janus-ws-port", strconv.Itoa(wsPort), "--janus-http-port", "0", "--media-port", strconv.Itoa(mediaPort),
			"--console-port", strconv.Itoa(consolePort),
		}, nil
	}}}
	janus, err := exec.LookPath("janus")
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench: Janus is not installed (Debian's package is called janus): Cardea is measured alone")
		return all
	case !external:
		fmt.Fprintln(os.Stderr, "bench: this machine has only loopback addresses, which Janus does not use: Cardea is measured alone")
		return all
	}
	for _, j := range []struct{ name, general string }{{"Janus", ""}, {"Janus, event_loops = 2", "\tevent_loops = 2"}} {
		all = append(all, contestant{j.name, bin, address, func(dir string) ([]string, error) {
			return []string{janus, "-F", dir}, configureJanus(dir, address, j.general)
		}})
	}
	return all
}

// ownAddress returns an IPv4 address of this machine, one that is not loopback if there is one.
func ownAddress() (addr netip.Addr, external bool) {
	addresses, _ := net.InterfaceAddrs() // none at all is like loopback alone
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			return p.Addr(), true
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1}), false
}

// configureJanus writes Janus's configuration from the templates.
func configureJanus(dir string, address netip.Addr, general string) error {
	replace := strings.NewReplacer("@DIR@", dir, "@ADDRESS@", address.String(), "@PORT@", strconv.Itoa(wsPort), "@PORTS@", janusPorts, "@GENERAL@", general)
	files, err := templates.ReadDir("janus")
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := templates.ReadFile("janus/" + f.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), []byte(replace.Replace(string(text))), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// measure starts the server, has it loaded, and stops it.
func (c contestant) measure(ctx context.Context, s settings, parent string, subscribers int) (result, error) {
	r := result{contestant: c.name, subscribers: subscribers}
	dir, err := os.MkdirTemp(parent, "")
	if err != nil {
		return r, err
	}
	server, err := c.start(ctx, dir)
	if err != nil {
		return r, err
	}
	defer server.stop()
	fmt.Fprintf(os.Stderr, "\n== %s, %d subscribers\n", c.name, subscribers)
	loading, cancel := context.WithTimeout(ctx, s.duration+time.Duration(subscribers)*time.Second/joinsPerSecond+2*time.Minute)
	defer cancel()
	generator := exec.CommandContext(loading, c.load, "load",
		"--url", fmt.Sprintf("ws://%s:%d", c.address, wsPort), "--subscribers", strconv.Itoa(subscribers),
		"--join-rate", strconv.Itoa(joinsPerSecond), "--duration", s.duration.String(), "--pid", strconv.Itoa(server.command.Process.Pid))
	generator.Stderr = os.Stderr
	generator.Cancel = func() error { return generator.Process.Signal(syscall.SIGTERM) }
	generator.WaitDelay = stopTimeout
	out, err := generator.Output()
	if err != nil {
		return r, errors.Join(fmt.Errorf("load: %w", err), server.complaint())
	}
	return r, json.Unmarshal(out, &r.Report)
}

// server is a running contestant.
type server struct {
	command *exec.Cmd
	log     string
	done    chan struct{} // closed when it has ended
}

// start starts the server and waits until it takes connections.
func (c contestant) start(ctx context.Context, dir string) (*server, error) {
	args, err := c.command(dir)
	if err != nil {
		return nil, err
	}
	s := &server{command: exec.Command(args[0], args[1:]...), log: filepath.Join(dir, "log"), done: make(chan struct{})}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.command.Dir, s.command.Stdout, s.command.Stderr = dir, log, log
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the terminal is ours to pass on
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.command.Wait() // how it ended does not matter, when does
		close(s.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(c.address, wsPort).String())
		if err == nil {
			return s, conn.Close()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.done:
			return nil, fmt.Errorf("ended at once: %w", s.complaint())
		case <-ctx.Done():
			s.stop()
			return nil, fmt.Errorf("does not listen: %w", errors.Join(err, s.complaint()))
		}
	}
}

// stop ends the server and waits for it.
func (s *server) stop() {
	_ = s.command.Process.Signal(syscall.SIGTERM) // gone already is as good
	select {
	case <-s.done:
	case <-time.After(stopTimeout):
		_ = s.command.Process.Kill()
		<-s.done
	}
}

// complaint returns the end of the server's log.
func (s *server) complaint() error {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err
	}
	const enough = 1000
	return fmt.Errorf("its log ends:\n%s", b[max(0, len(b)-enough):])
}
