package node

import (
	"log/slog"
	"os"
	"runtime/debug"

	"cardea/node/config"
)

// prepare asks the system for what a node needs and warns, in one line each, of what it did not get. It changes the
// whole process.
func prepare(cfg *config.Config, log *slog.Logger) {
	raiseOpenFiles(log)
	limitMemory(cfg.Limits, log)
}

// limitMemory sets Go's memory limit unless the environment did.
func limitMemory(cfg config.Limits, log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(cfg.Memory)
	if limit == 0 {
		limit = memoryLimit(root())
	}
	if limit == 0 {
		log.Warn("the machine's memory is not known: set limits.memory or GOMEMLIMIT")
		return
	}
	debug.SetMemoryLimit(limit)
}
