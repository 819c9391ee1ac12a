package console

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestQuality(t *testing.T) {
	cfg := config()
	cfg.Quality = func(room, participant string) []QualityLine {
		if room != "videoroom/7" || participant != "" && participant != "1" {
			return nil
		}
		lines := make([]QualityLine, maxQualityLines+10)
		for i := range lines {
			lines[i] = QualityLine{Participant: "1", Handle: uint64(i)}
		}
		return lines
	}
	h := New(cfg)
	get := func(path, remote string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr = remote
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		path            string
		code            int
		lines, matched  int
		first           uint64
		stranger, wrong bool
	}{
		{path: "?room=videoroom/7", code: 200, lines: defaultQualityLines, matched: maxQualityLines + 10},
		{path: "?room=videoroom/7&participant=1&offset=200&limit=1000000", code: 200, lines: maxQualityLines - 190, matched: maxQualityLines + 10, first: 200},
		{path: "?room=videoroom/7&offset=9000000000000000000&limit=9000000000000000000", code: 200, matched: maxQualityLines + 10},
		{path: "?room=videoroom/8", code: 200},
		{path: "", code: 400},
		{path: "?room=videoroom/7&limit=-1", code: 400},
		{path: "?room=videoroom/7&offset=all", code: 400},
		{path: "?room=videoroom/7", code: 401, stranger: true},
	} {
		remote := "10.0.0.1:5"
		if c.stranger {
			remote = "192.0.2.1:5"
		}
		w := get("/api/v1/quality"+c.path, remote)
		if w.Code != c.code {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
			continue
		}
		if c.code != http.StatusOK {
			continue
		}
		var v QualityView
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v.Lines == nil {
			t.Fatalf("%s: %v %s", c.path, err, w.Body)
		}
		if len(v.Lines) != c.lines || v.Matched != c.matched || c.lines > 0 && v.Lines[0].Handle != c.first {
			t.Errorf("%s: %d lines of %d", c.path, len(v.Lines), v.Matched)
		}
	}
	w := get("/quality.js", "192.0.2.1:5")
	if w.Code != http.StatusOK || w.Header().Get("Access-Control-Allow-Origin") != "*" ||
		!strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") || !strings.Contains(w.Body.String(), "export function watch(") {
		t.Errorf("quality.js: %d %v", w.Code, w.Header())
	}
}
