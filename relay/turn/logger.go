package turn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// loggers gives pion's packages a logger each. All they say is at debug level, since clients can make them say it.
type loggers struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (l loggers) NewLogger(scope string) logging.LeveledLogger {
	return logger{l.log.With("scope", scope)}
}

type logger struct{ log *slog.Logger }

func (l logger) say(message string) { l.log.Debug("pion", "message", message) }

func (l logger) sayf(format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.say(fmt.Sprintf(format, args...))
	}
}

// Traces and what pion calls debug tell of each packet; they are left out.

func (l logger) Trace(string)             {}
func (l logger) Tracef(string, ...any)    {}
func (l logger) Debug(string)             {}
func (l logger) Debugf(string, ...any)    {}
func (l logger) Info(m string)            { l.say(m) }
func (l logger) Infof(f string, a ...any) { l.sayf(f, a) }
func (l logger) Warn(m string)            { l.say(m) }
func (l logger) Warnf(f string, a ...any) { l.sayf(f, a) }
func (l logger) Error(m string)           { l.say(m) }
func (l logger) Errorf(f string, a ...any) {
	l.sayf(f, a)
}
