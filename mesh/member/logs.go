package member

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// gossipLog turns memberlist's lines into records. What strangers can provoke, and what the protocol deals with by itself, is
// worth a line in a debugging log only; the rest is bounded.
type gossipLog struct {
	slog.Handler
	limit   *rate.Limiter
	rubbish *atomic.Uint64 // complaints that name a sender
}

func newGossipLog(log *slog.Logger, rubbish *atomic.Uint64) *gossipLog {
	return &gossipLog{log.Handler(), rate.NewLimiter(1, 5), rubbish}
}

// Enabled lets everything pass, since levels are known later.
func (g *gossipLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes a line that begins as memberlist's do: "[WARN] memberlist: ...".
func (g *gossipLog) Handle(ctx context.Context, r slog.Record) error {
	if complains(r.Message) {
		g.rubbish.Add(1)
	}
	level, text := gossipLevel(r.Message)
	if !g.Handler.Enabled(ctx, level) || level > slog.LevelDebug && !g.limit.Allow() {
		return nil
	}
	n := slog.NewRecord(r.Time, level, "gossip", 0)
	n.AddAttrs(slog.String("text", clip(text, 512)))
	return g.Handler.Handle(ctx, n)
}

// complains says whether a line is about something wrong that came from outside. memberlist has no other way to say so.
func complains(line string) bool {
	return (strings.HasPrefix(line, "[ERR] ") || strings.HasPrefix(line, "[WARN] ")) && strings.Contains(line, " from=")
}

// gossipLevel returns the level of a line and what it says.
func gossipLevel(line string) (slog.Level, string) {
	level := slog.LevelDebug
	for tag, l := range map[string]slog.Level{"[ERR] ": slog.LevelWarn, "[WARN] ": slog.LevelInfo, "[INFO] ": slog.LevelDebug, "[DEBUG] ": slog.LevelDebug} {
		if rest, ok := strings.CutPrefix(line, tag); ok {
			level, line = l, rest
			break
		}
	}
	line = strings.TrimPrefix(line, "memberlist: ")
	for _, usual := range []string{
		" from=",                       // the line names who sent it: anybody can make it appear
		"ignoring alive message",       // counted
		"Conflicting address",          // looked into
		"Refuting",                     // this node objects to being called dead
		"Was able to connect",          // a lost packet
		"Failed fallback TCP ping",     // a dead node
		"Failed to send",               // a dead node, or no route
		"Push/Pull with",               // a dead node
		"Failed to receive indirect",   //
		"Potential blocking operation", //
	} {
		if strings.Contains(line, usual) {
			level = slog.LevelDebug
		}
	}
	return level, line
}
