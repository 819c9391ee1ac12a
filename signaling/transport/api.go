package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"cardea/signaling/janus"

	"golang.org/x/net/netutil"
)

// Package names of the transports, as the info request tells them.
const (
	WebSocketPackage = "janus.transport.websockets"
	HTTPPackage      = "janus.transport.http"
)

// Components describes both transports to the info request.
func Components() map[string]janus.Component {
	return map[string]janus.Component{
		WebSocketPackage: {
			Name: "JANUS WebSockets transport plugin", Author: "Cardea",
			Description: "The Janus API over WebSocket.", VersionString: "0.0.1", Version: 1,
		},
		HTTPPackage: {
			Name: "JANUS REST (HTTP/HTTPS) transport plugin", Author: "Cardea",
			Description: "The Janus API over HTTP with long polls.", VersionString: "0.0.2", Version: 2,
		},
	}
}

// API is what a transport serves: the Janus API, or the admin API, which has its own subprotocol and path.
type API interface {
	// Handle handles one request; reply is called exactly once, from any goroutine. It may wait, which slows the
	// connection down.
	Handle(ctx context.Context, r janus.Request, reply func(response []byte))
	// Gone says that a source's connection is closed.
	Gone(src *janus.Source)
}

var (
	_ API = (*janus.Server)(nil)
	_ API = (*janus.Admin)(nil)
)

// Limits bound what one client can make the server hold. The zero value of a field means its default.
type Limits struct {
	// MaxMessage is the size of a request in bytes. Default 1 MiB; session descriptions are tens of kilobytes.
	MaxMessage int64
	// Rate is the number of requests a second that a connection may go on sending, Burst what it may send at once.
	// More is not refused but read later. Defaults 200 and 1000.
	Rate  float64
	Burst int
	// MaxQueue is the number of bytes that wait for a client that reads slowly. A client further behind is cut.
	// Default 1 MiB.
	MaxQueue int
	// WriteTimeout is how long one message may take to be taken by the network. Default 10 s.
	WriteTimeout time.Duration
	// MaxConnections is the number of connections of a listener; further ones wait to be accepted. Default 65536.
	MaxConnections int
}

func (l Limits) withDefaults() Limits {
	if l.MaxMessage <= 0 {
		l.MaxMessage = 1 << 20
	}
	if l.Rate <= 0 {
		l.Rate = 200
	}
	if l.Burst <= 0 {
		l.Burst = 1000
	}
	if l.MaxQueue <= 0 {
		l.MaxQueue = 1 << 20
	}
	if l.WriteTimeout <= 0 {
		l.WriteTimeout = 10 * time.Second
	}
	if l.MaxConnections <= 0 {
		l.MaxConnections = 65536
	}
	return l
}

// serve serves HTTP on a listener until ctx is done.
func serve(ctx context.Context, ln net.Listener, certs *tls.Config, srv *http.Server, l Limits, log *slog.Logger) error {
	srv.ReadHeaderTimeout = 10 * time.Second
	srv.IdleTimeout = 90 * time.Second
	srv.MaxHeaderBytes = 16 << 10
	srv.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug) // what scanners provoke is no news
	ln = netutil.LimitListener(ln, l.MaxConnections)
	if certs != nil {
		srv.TLSConfig = certs.Clone()
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	var err error
	if certs != nil {
		err = srv.ServeTLS(ln, "", "")
	} else {
		err = srv.Serve(ln)
	}
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", ln.Addr(), err)
}
