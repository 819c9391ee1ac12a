package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/pion/logging"
)

// newLogger returns the node's logger, writing text or JSON to w.
func newLogger(format string, level slog.Leveler, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// pionLoggers hands pion's libraries loggers that write to ours.
//
// What pion calls an error is, nearly always, a client that went away or sent rubbish: not this node's fault, and as
// frequent as strangers like. So its levels are two steps down, and its traces, some of them a line a packet, are off.
type pionLoggers struct{ log *slog.Logger }

var _ logging.LoggerFactory = pionLoggers{}

// NewLogger returns the logger of one part of pion.
func (p pionLoggers) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{p.log.With("pion", scope)}
}

type pionLogger struct{ log *slog.Logger }

func (l pionLogger) write(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		if args != nil {
			format = fmt.Sprintf(format, args...)
		}
		l.log.Log(context.Background(), level, format) //nolint:sloglint // the message is pion's
	}
}

func (l pionLogger) Trace(string)                 {}
func (l pionLogger) Tracef(string, ...any)        {}
func (l pionLogger) Debug(m string)               { l.write(slog.LevelDebug-4, m, nil) }
func (l pionLogger) Debugf(f string, args ...any) { l.write(slog.LevelDebug-4, f, args) }
func (l pionLogger) Info(m string)                { l.write(slog.LevelDebug-4, m, nil) }
func (l pionLogger) Infof(f string, args ...any)  { l.write(slog.LevelDebug-4, f, args) }
func (l pionLogger) Warn(m string)                { l.write(slog.LevelDebug, m, nil) }
func (l pionLogger) Warnf(f string, args ...any)  { l.write(slog.LevelDebug, f, args) }
func (l pionLogger) Error(m string)               { l.write(slog.LevelDebug, m, nil) }
func (l pionLogger) Errorf(f string, args ...any) { l.write(slog.LevelDebug, f, args) }
