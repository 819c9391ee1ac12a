//go:build !linux

package node

import (
	"log/slog"

	"cardea/node/config"
)

// Outside Linux the Go runtime raises the limit of open files itself, and sockets tell what buffers they got.
func raiseOpenFiles(*slog.Logger)             {}
func checkBuffers(config.Media, *slog.Logger) {}
