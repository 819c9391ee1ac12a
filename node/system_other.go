//go:build !linux

package node

import "log/slog"

// Outside Linux the Go runtime raises the limit of open files itself.
func raiseOpenFiles(*slog.Logger) {}
