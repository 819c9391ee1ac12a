package janus_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/events"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"

	"github.com/google/go-cmp/cmp"
)

// TestScripts runs the exchanges in testdata/*.txt. A script is read line by line:
//
//	set KEY VALUE           before anything else: a setting of the server
//	CLIENT > JSON           the client sends requests; $name stands for what was bound to it. The client "admin" sends
//	                        them to the admin API, whose secret is "adm"
//	CLIENT < JSON           the next message to the client; "$name" matches anything once and then only that
//	CLIENT close            the client's connection breaks
//	wait 3s                 time passes
//	up | receiving | silent | slow | ice-failed | down REASON | lose     what the media plane reports of the last peer
//	plane CALL ...          the calls to the media plane since the last such line
//	plugin CALL ...         the calls to the plugin, likewise
//	told JSON               the next event on the bus, without emitter and timestamp; needs "set events"
//
// After each line everything is let settle; a message that no line expects is an error. %offer%, %offer2% (a restart
// of ICE with a second line) and %answer% stand for session descriptions, # begins a comment.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runScript(t, f) })
		})
	}
}

type script struct {
	t       *testing.T
	where   string
	cfg     janus.Config
	server  *janus.Server
	admin   *janus.Admin
	plane   *janustest.Plane
	clients map[string]*janustest.Client
	inbox   map[string][]janustest.M
	vars    map[string]any
	calls   int // of the plane, seen so far

	mu     sync.Mutex
	events []string // on the bus, not yet expected, guarded by mu
	plugin []string // calls since the last line that asked, guarded by mu
}

func runScript(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &script{t: t, clients: map[string]*janustest.Client{}, inbox: map[string][]janustest.M{}, vars: map[string]any{}}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		s.where = fmt.Sprintf("%s:%d: %s", file, n, line)
		s.line(line)
	}
	s.quiet()
}

func (s *script) line(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	if verb == "set" {
		s.set(rest)
		return
	}
	if s.server == nil {
		p := &plugin{seen: func(what string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.plugin = append(s.plugin, what)
		}}
		s.server, s.plane = janustest.NewServer(s.t, func(c *janus.Config) {
			p := c.Plane
			plugins := c.Plugins
			*c = s.cfg
			c.Node, c.Plane, c.Plugins = "node", p, plugins
		}, p)
		s.admin = newAdmin(s.t, s.server, nil)
	}
	switch verb {
	case "wait":
		s.quiet()
		d, err := time.ParseDuration(rest)
		if err != nil {
			s.t.Fatalf("%s: %v", s.where, err)
		}
		time.Sleep(d)
	case "up", "path", "dtls", "receiving", "silent", "slow", "ice-failed", "down", "lose", "gone":
		s.quiet()
		s.report(verb, rest)
	case "plane":
		all := s.plane.Calls()
		var got []string
		for _, c := range all[s.calls:] {
			method, _, _ := strings.Cut(c, " ")
			got = append(got, method)
		}
		s.calls = len(all)
		s.same(strings.Fields(rest), got)
	case "told":
		s.told(rest)
	case "plugin":
		s.mu.Lock()
		calls := s.plugin
		s.plugin = nil
		s.mu.Unlock()
		s.same(strings.Fields(rest), strings.Fields(strings.ReplaceAll(strings.Join(calls, "\n"), "media ", "")))
	default:
		s.client(verb, rest)
	}
	synctest.Wait()
	for name, c := range s.clients {
		s.inbox[name] = append(s.inbox[name], c.Take()...)
	}
}

func (s *script) same(want, got []string) {
	s.t.Helper()
	if !slices.Equal(want, got) {
		s.t.Errorf("%s: got %q", s.where, got)
	}
}

func (s *script) set(rest string) {
	key, value, _ := strings.Cut(rest, " ")
	duration := func() time.Duration {
		d, err := time.ParseDuration(value)
		if err != nil {
			s.t.Fatalf("%s: %v", s.where, err)
		}
		return d
	}
	switch key {
	case "secret":
		s.cfg.APISecret = value
	case "tokens":
		s.cfg.TokenAuth = true
	case "session-timeout":
		s.cfg.SessionTimeout = duration()
	case "reclaim":
		s.cfg.ReclaimTimeout = duration()
	case "opaque":
		s.cfg.OpaqueIDInAPI = true
	case "max-events":
		s.cfg.MaxEvents = 3
	case "max-handles":
		s.cfg.MaxHandles = 1
	case "events":
		s.cfg.Events = s.listen()
		s.cfg.StatsPeriod = duration()
	case "no-media-timer":
		s.cfg.NoMediaTimer = duration()
	default:
		s.t.Fatalf("%s: unknown setting", s.where)
	}
}

// report has the media plane report something of the peer that was opened last.
func (s *script) report(what, reason string) {
	peers := s.plane.Peers()
	if len(peers) == 0 {
		s.t.Fatalf("%s: no peer", s.where)
	}
	id := peers[len(peers)-1].ID
	e := janustest.Event(id, plane.EventUp)
	e.Mid, e.Kind, e.Reason = "0", plane.Audio, reason
	switch what {
	case "path":
		e.Type, e.Local, e.Remote, e.Protocol = plane.EventPath, "192.0.2.1:3478", "198.51.100.9:5000", "udp"
	case "dtls":
		e.Type, e.State = plane.EventDTLS, reason
	case "receiving", "silent":
		e.Type, e.Receiving = plane.EventReceiving, what == "receiving"
	case "slow":
		e.Type, e.Lost, e.Uplink = plane.EventSlowLink, 7, true
	case "ice-failed":
		e.Type = plane.EventICEFailed
	case "down":
		e.Type = plane.EventDown
	case "lose":
		s.plane.SetStats(id, plane.PeerStats{State: "connected", DTLSState: "connected"})
		s.plane.Lose(3)
		return
	case "gone":
		s.plane.SetStats(id, plane.PeerStats{State: "closed"})
		s.plane.Lose(3)
		return
	}
	s.plane.Emit(e)
}

func (s *script) client(name, rest string) {
	c := s.clients[name]
	if c == nil {
		c = janustest.Connect(s.t, s.server)
		if name == "admin" {
			c = janustest.Connect(s.t, s.admin)
		}
		s.clients[name] = c
	}
	op, text, _ := strings.Cut(rest, " ")
	switch op {
	case ">":
		s.quiet()
		c.Raw(s.expand(text))
	case "close":
		s.quiet()
		c.Close()
		delete(s.clients, name)
	case "<":
		if len(s.inbox[name]) == 0 {
			s.t.Fatalf("%s: nothing came", s.where)
		}
		got := s.inbox[name][0]
		s.inbox[name] = s.inbox[name][1:]
		var want any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			s.t.Fatalf("%s: %v", s.where, err)
		}
		if diff := cmp.Diff(s.bind(want, got), any(got)); diff != "" {
			s.t.Errorf("%s: (-want +got)\n%s", s.where, diff)
		}
	default:
		s.t.Fatalf("%s: unknown line", s.where)
	}
}

// listen makes a bus whose events are kept.
func (s *script) listen() *events.Bus {
	bus := events.New(events.Config{Emitter: "n"})
	bus.Subscribe(events.All, func(batch []events.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range batch {
			batch[i].Time = time.UnixMicro(0)
			s.events = append(s.events, string(batch[i].AppendJSON(nil, bus.Emitter(), bus.Label())))
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = bus.Run(s.t.Context())
	}()
	s.t.Cleanup(func() { <-done })
	return bus
}

// told compares the next event.
func (s *script) told(text string) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == 0 {
		s.t.Fatalf("%s: nothing was told", s.where)
	}
	next := s.events[0]
	s.events = s.events[1:]
	if diff := cmp.Diff(s.bind(s.decode(text), s.decode(next)), s.decode(next)); diff != "" {
		s.t.Errorf("%s: (-want +got)\n%s", s.where, diff)
	}
}

func (s *script) decode(text string) (v any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		s.t.Fatalf("%s: %v in %s", s.where, err, text)
	}
	if m, ok := v.(map[string]any); ok {
		delete(m, "emitter")
		delete(m, "timestamp")
	}
	return v
}

// quiet checks that nothing came that was not expected.
func (s *script) quiet() {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(s.inbox)) {
		for _, m := range s.inbox[name] {
			b, _ := json.Marshal(m)
			s.t.Errorf("before %s: %s also got %s", s.where, name, b)
		}
	}
	clear(s.inbox)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		s.t.Errorf("before %s: was also told %s", s.where, e)
	}
	s.events = nil
}

// expand replaces $name and %description% in a request.
func (s *script) expand(text string) string {
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(s.vars))) { // $s2 before $s
		text = strings.ReplaceAll(text, "$"+k, fmt.Sprint(s.vars[k]))
	}
	quote := func(v any) string {
		b, _ := json.Marshal(v)
		return string(b)
	}
	text = strings.ReplaceAll(text, "%offer%", quote(janustest.Offer("audio")))
	text = strings.ReplaceAll(text, "%offer2%", quote(janustest.M{"type": "offer", "sdp": janustest.OfferSDP("again", "audio", "video")}))
	if strings.Contains(text, "%answer%") {
		text = strings.ReplaceAll(text, "%answer%", quote(janustest.Answer(fmt.Sprint(s.vars["sdp"]))))
	}
	return text
}

// bind replaces "$name" in what is wanted: by what it stands for, or by what is there now.
func (s *script) bind(want, got any) any {
	switch w := want.(type) {
	case string:
		name, ok := strings.CutPrefix(w, "$")
		if !ok {
			return w
		}
		if v, ok := s.vars[name]; ok {
			return v
		}
		if got != nil {
			s.vars[name] = got
		}
		return got
	case map[string]any:
		g, _ := got.(map[string]any)
		out := map[string]any{}
		for k, v := range w {
			out[k] = s.bind(v, g[k])
		}
		return out
	case []any:
		g, _ := got.([]any)
		out := make([]any, len(w))
		for i, v := range w {
			var e any
			if i < len(g) {
				e = g[i]
			}
			out[i] = s.bind(v, e)
		}
		return out
	}
	return want
}
