//go:build !linux

package node

import (
	"log/slog"
	"net"
	"time"
)

// Outside Linux the Go runtime raises the limit of open files itself.
func raiseOpenFiles(*slog.Logger) {}

// Only systemd, which is Linux's, asks for this clock.
func monotonic() time.Duration { return 0 }

// Only Linux is asked how far clients are.
func leastRoundTrip(*net.TCPConn) time.Duration { return 0 }

// canWrite would tell why this process may not make files in a directory: making them will.
func canWrite(string) error { return nil }
