package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"cardea/node/config"
)

// ErrPort says that a port of the configuration could not be opened.
var ErrPort = errors.New("cannot listen")

// openListener is a listener and the configuration's entry that asked for it.
type openListener struct {
	config.Listener
	socket net.Listener
}

// listenTCP opens the listeners whose option begins with one of the sections, all or none, and tells of every one that
// could not be opened. certificate is for those that speak TLS; clients of the Janus API are known to reach, and
// those of the console are bounded.
func listenTCP(ctx context.Context, cfg *config.Config, certificate *tls.Config, clients *reach, console *connections, sections ...string) ([]openListener, error) {
	var open []openListener
	var failed portFaults
	for _, l := range cfg.Listeners() {
		section, _, _ := strings.Cut(l.Option, ".")
		if l.Network != "tcp" || !slices.Contains(sections, section) {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.HostPort())
		if err != nil {
			failed.add(l, err)
			continue
		}
		if section == "janus" {
			listener = clients.listen(listener)
		}
		if section == "console" {
			listener = boundedListener{listener, console}
		}
		if l.TLS {
			listener = tls.NewListener(listener, certificate)
		}
		open = append(open, openListener{l, listener})
	}
	if len(failed) > 0 {
		closeAll(open)
		return nil, failed.err()
	}
	return open, nil
}

func closeAll(open []openListener) {
	for _, l := range open {
		_ = l.socket.Close() // nothing was accepted yet
	}
}

// portFault is what is wrong with some listeners in the same way.
type portFault struct {
	listeners []string // "janus.ws_port (tcp :8188)"
	err       error    // the system's
	hint      string
}

// portFaults are one for each way in which listeners could not be opened.
type portFaults []portFault

func (all *portFaults) add(l config.Listener, err error) {
	hint := portHint(l.Address, err)
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	name := fmt.Sprintf("%s (%s %s)", l.Option, l.Network, l.HostPort())
	for i, f := range *all {
		if f.err.Error() == err.Error() && f.hint == hint {
			(*all)[i].listeners = append(f.listeners, name)
			return
		}
	}
	*all = append(*all, portFault{[]string{name}, err, hint})
}

// err says in one line for each what is wrong and what to do about it. It wraps [ErrPort] and what the system said.
func (all portFaults) err() error {
	errs := make([]error, 0, len(all))
	for _, f := range all {
		errs = append(errs, fmt.Errorf("%w: %s: %w%s", ErrPort, strings.Join(f.listeners, ", "), f.err, f.hint))
	}
	return errors.Join(errs...)
}

// portError is the error about one listener.
func portError(l config.Listener, err error) error {
	var all portFaults
	all.add(l, err)
	return all.err()
}

// portHint says who may be in the way of a listener at an address, and what to do about it.
func portHint(at netip.Addr, err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && at.IsValid() && !at.IsUnspecified():
		return "; another program has it, or another node of this machine that listens on all addresses:" +
			" give each node here, the first one too, a --bind, --name and --data-dir of its own"
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another program or node of this machine has it: to run several nodes here," +
			" give each of them, the first one too, a --bind (127.0.0.1, 127.0.0.2, ...), --name and --data-dir of its own"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return " (this host has no such address)"
	case errors.Is(err, syscall.EACCES):
		return " (ports below 1024 need CAP_NET_BIND_SERVICE)"
	}
	return ""
}

// Limits of every HTTP server. Writing must outlast a long poll (30 s) and a CPU profile.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 90 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
)

// httpService serves a handler on a listener. When its context ends, requests get half of the time that stopping may
// take; WebSockets, which the server does not know any more, are their handler's.
func httpService(l openListener, h http.Handler, stopTimeout time.Duration, log *slog.Logger) service {
	return service{l.Option, func(ctx context.Context) error {
		server := &http.Server{
			Handler:           h,
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          slog.NewLogLogger(log.With("listener", l.Option).Handler(), slog.LevelDebug), // strangers' faults
			BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		}
		failed := make(chan error, 1)
		go func() { failed <- server.Serve(l.socket) }()
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout/2)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // cut what did not end
		}
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}}
}
