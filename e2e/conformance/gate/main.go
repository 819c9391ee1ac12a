// Command gate stands between a node's webhook and a receiver that comes and goes: what it is sent it passes on, and takes in
// the receiver's place while there is none. So a scenario of a conformance run gets its own events, at once, and not those of the
// scenarios before it after a wait that grew.
//
//	gate LISTEN TO
//
// LISTEN and TO are addresses, HOST:PORT. It runs until it is killed.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: gate LISTEN TO")
		os.Exit(2)
	}
	s := &http.Server{Addr: os.Args[1], Handler: pass(os.Args[2]), ReadHeaderTimeout: 10 * time.Second}
	slog.Error("gate", "error", s.ListenAndServe())
	os.Exit(1)
}

// pass returns a handler that has the server at an address answer, or answers 204 if it does not: it is not there, or went away
// meanwhile. Events lost by that are missed by the scenario that waits for them.
func pass(to string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: to}) },
		// A connection is not used again: the next receiver would not know of it.
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, syscall.ECONNREFUSED) {
				slog.Warn("nobody took it", "error", err)
			}
			w.WriteHeader(http.StatusNoContent)
		},
	}
}
