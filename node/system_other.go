//go:build !linux

package node

import (
	"log/slog"
	"time"
)

// Outside Linux the Go runtime raises the limit of open files itself.
func raiseOpenFiles(*slog.Logger) {}

// Only systemd, which is Linux's, asks for this clock.
func monotonic() time.Duration { return 0 }
