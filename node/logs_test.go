package node

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := newLogger("json", slog.LevelWarn, &out)
	log.Info("quiet")
	log.Warn("loud", "session", 5)
	var line struct {
		Level, Msg string
		Session    int
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Level != "WARN" || line.Msg != "loud" || line.Session != 5 {
		t.Errorf("%v: %s", err, &out)
	}
	out.Reset()
	newLogger("text", slog.LevelInfo, &out).Info("hello", "room", "a b")
	if !strings.Contains(out.String(), `msg=hello room="a b"`) {
		t.Errorf("text: %s", &out)
	}
}

// TestPionLoggers wants pion's errors to be no more than debug lines, and its traces nothing at all.
func TestPionLoggers(t *testing.T) {
	var out bytes.Buffer
	factory := pionLoggers{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	l := factory.NewLogger("ice")
	l.Trace("a packet")
	l.Tracef("a packet of %d", 1)
	l.Debug("chatter")
	l.Infof("chatter %d", 1)
	if out.Len() != 0 {
		t.Errorf("logged at debug: %s", &out)
	}
	l.Errorf("handshake with %s: 100%% wrong", "x")
	l.Warn("50% lost")
	if s := out.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, `level=DEBUG msg="handshake with x: 100% wrong" pion=ice`) || !strings.Contains(s, `msg="50% lost"`) {
		t.Errorf("%s", s)
	}
}
