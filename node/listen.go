package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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
// could not be opened. certificate is for those that speak TLS.
func listenTCP(ctx context.Context, cfg *config.Config, certificate *tls.Config, sections ...string) ([]openListener, error) {
	var open []openListener
	var errs []error
	for _, l := range cfg.Listeners() {
		section, _, _ := strings.Cut(l.Option, ".")
		if l.Network != "tcp" || !slices.Contains(sections, section) {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.HostPort())
		if err != nil {
			errs = append(errs, portError(l, err))
			continue
		}
		if l.TLS {
			listener = tls.NewListener(listener, certificate)
		}
		open = append(open, openListener{l, listener})
	}
	if len(errs) > 0 {
		closeAll(open)
		return nil, fmt.Errorf("%w: %w", ErrPort, errors.Join(errs...))
	}
	return open, nil
}

func closeAll(open []openListener) {
	for _, l := range open {
		_ = l.socket.Close() // nothing was accepted yet
	}
}

// portError says in one line what is wrong and what to do about it.
func portError(l config.Listener, err error) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = " (another program or node listens there; --bind gives a node an address of its own)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = " (this host has no such address)"
	case errors.Is(err, syscall.EACCES):
		hint = " (ports below 1024 need CAP_NET_BIND_SERVICE)"
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	return fmt.Errorf("%s: %s %s: %w%s", l.Option, l.Network, l.HostPort(), err, hint)
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
