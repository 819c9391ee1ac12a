package janus

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// minNACKQueue is the least time that a sent packet is kept for retransmissions, milliseconds; it is fixed.
const minNACKQueue = 200

// maxSeconds bounds times that an operator sets: longer is never.
const maxSeconds = 1 << 31

// settingVerbs read and change what holds for the whole server.
var settingVerbs = map[string]adminVerb{
	"get_status":             {nil, (*adminCall).getStatus},
	"set_session_timeout":    {number("timeout"), (*adminCall).setSessionTimeout},
	"set_no_media_timer":     {number("no_media_timer"), (*adminCall).setNoMediaTimer},
	"set_slowlink_threshold": {number("slowlink_threshold"), (*adminCall).setSlowLinkThreshold},
	"set_log_level":          {number("level"), (*adminCall).setLogLevel},
	"accept_new_sessions":    {flag("accept"), (*adminCall).acceptNewSessions},

	"set_min_nack_queue":     fixed(number("min_nack_queue"), "min_nack_queue", minNACKQueue),
	"set_nack_optimizations": fixed(flag("nack_optimizations"), "nack-optimizations", false),
	"set_log_timestamps":     switched("timestamps", "log_timestamps", func(s *switches) *atomic.Bool { return &s.timestamps }),
	"set_log_colors":         switched("colors", "log_colors", func(s *switches) *atomic.Bool { return &s.colors }),
	"set_locking_debug":      switched("debug", "locking_debug", func(s *switches) *atomic.Bool { return &s.locking }),
	"set_refcount_debug":     switched("debug", "refcount_debug", func(s *switches) *atomic.Bool { return &s.references }),
	"set_libnice_debug":      switched("debug", "libnice_debug", func(s *switches) *atomic.Bool { return &s.libnice }),
}

func number(name string) []Param { return []Param{{Name: name, Type: PosInt, Required: true}} }
func flag(name string) []Param   { return []Param{{Name: name, Type: Bool, Required: true}} }

// fixed is a setting that this server does not let change: the reply tells what it is.
func fixed(params []Param, key string, value any) adminVerb {
	return adminVerb{params, func(*adminCall) (object, *Error) { return object{key: value}, nil }}
}

// switches are those of Janus's that nothing here depends on. They are kept so that operators' tools find what they set.
type switches struct{ timestamps, colors, locking, references, libnice atomic.Bool }

func switched(param, key string, which func(*switches) *atomic.Bool) adminVerb {
	return adminVerb{flag(param), func(c *adminCall) (object, *Error) {
		on := c.Bool(param, false)
		which(&c.admin.switches).Store(on)
		return object{key: on}, nil
	}}
}

func (c *adminCall) getStatus() (object, *Error) {
	s := c.server
	seconds := func(d time.Duration) int { return int(d / time.Second) }
	sw := &c.admin.switches
	return object{"status": object{
		"token_auth": s.cfg.TokenAuth, "session_timeout": seconds(s.sessionTimeout()),
		"reclaim_session_timeout": seconds(s.reclaimTimeout()), "candidates_timeout": seconds(s.candidatesTimeout()),
		"log_level": c.admin.level.Load(), "log_timestamps": sw.timestamps.Load(), "log_colors": sw.colors.Load(),
		"locking_debug": sw.locking.Load(), "refcount_debug": sw.references.Load(), "libnice_debug": sw.libnice.Load(),
		"min_nack_queue": minNACKQueue, "nack-optimizations": false,
		"no_media_timer": seconds(s.noMediaTimer()), "slowlink_threshold": s.slowLinkThreshold(),
	}}, nil
}

// seconds is a time that the operator gave in seconds.
func (c *adminCall) seconds(name string) (n uint64, d time.Duration) {
	n, _ = c.Uint(name)
	n = min(n, maxSeconds)
	return n, time.Duration(n) * time.Second //nolint:gosec // bounded above
}

func (c *adminCall) setSessionTimeout() (object, *Error) {
	n, d := c.seconds("timeout")
	c.server.SetSessionTimeout(d)
	c.server.log.Info("session timeout set", "timeout", d)
	return object{"timeout": n}, nil
}

func (c *adminCall) setNoMediaTimer() (object, *Error) {
	n, d := c.seconds("no_media_timer")
	c.server.SetNoMediaTimer(d)
	return object{"no_media_timer": n}, nil
}

func (c *adminCall) setSlowLinkThreshold() (object, *Error) {
	n, _ := c.Uint("slowlink_threshold")
	n = min(n, maxSeconds)
	c.server.SetSlowLinkThreshold(int(n)) //nolint:gosec // bounded above
	return object{"slowlink_threshold": n}, nil
}

func (c *adminCall) acceptNewSessions() (object, *Error) {
	accept := c.Bool("accept", true)
	c.server.Accept(accept)
	c.server.log.Info("new sessions", "accepted", accept)
	return object{"accept": accept}, nil
}

// logLevels are the levels of the log for Janus's, from 0 (nothing) over 1 (fatal), 2 (errors), 3 (warnings), 4
// (information) to 7 (everything).
var logLevels = [...]slog.Level{
	slog.LevelError + 4, slog.LevelError + 4, slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelDebug, slog.LevelDebug, slog.LevelDebug,
}

// janusLevel is the log's level as Janus counts; without one the usual.
func janusLevel(v *slog.LevelVar) int64 {
	switch {
	case v == nil:
		return 4
	case v.Level() > slog.LevelError:
		return 0
	case v.Level() > slog.LevelWarn:
		return 2
	case v.Level() > slog.LevelInfo:
		return 3
	case v.Level() > slog.LevelDebug:
		return 4
	}
	return 7
}

func (c *adminCall) setLogLevel() (object, *Error) {
	n, ok := c.Uint("level")
	if !ok || n >= uint64(len(logLevels)) {
		return nil, errorf(CodeInvalidElement, "Invalid element type (level should be between 0 and %d)", len(logLevels)-1)
	}
	v := c.admin.cfg.Level
	if v == nil {
		return nil, errorf(CodeUnknown, "The level of the log cannot be changed")
	}
	v.Set(logLevels[n])
	c.admin.level.Store(int64(n)) //nolint:gosec // at most 7
	return object{"level": n}, nil
}

// customLogLine writes a line of the operator's to the log.
func (c *adminCall) customLogLine() (object, *Error) {
	level := slog.LevelInfo
	if n, ok := c.Uint("level"); ok && n > 1 && n < uint64(len(logLevels)) {
		level = logLevels[n]
	}
	c.server.log.Log(context.WithoutCancel(c.ctx), level, "line of the operator's", "line", c.String("line"))
	return object{}, nil
}
