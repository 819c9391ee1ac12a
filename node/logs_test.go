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
