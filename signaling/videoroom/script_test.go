package videoroom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script in testdata is an exchange between clients and the plugin. Its lines:
//
//	# a comment
//	a > {body}             client a (opened by its first line) sends a message; what answers it is compared by "a <"
//	a > {body} offer audio video:recvonly
//	                       with an offer of those lines (see janustest.Offer); "offer+" of a client that encrypts
//	a > {body} answer      with an answer to the last offer that a got
//	a >> {body}            a message that gets no answer but the ack
//	a < {data} [offer|answer]
//	                       what answers the last message: plugindata.data, and the kind of description with it
//	a << {data}            another message that answers the same
//	a ! {data} [offer]     the next event of a that answers nothing: plugindata.data; of other events the whole
//	                       message without its ids: {"janus":"hangup","reason":"Close PC"}
//	a - up | down | talking | silent | layers | lost | lostup
//	                       the media plane says so of a's peer: of its mid 0, with fixed values
//	a - hangup | detach    a itself ends its PeerConnection or its handle
//	a = {"0":"room/feed/mid ..."}
//	                       what the media plane sends on a's lines now, "-" in front when it is paused
//	quiet a b              neither has events that were not named
//	told plugin {data} [a] the next plugin event on the bus, which names a's handle, or none
//	told user {object} [a] the next user event on the bus, likewise
//	told nothing           there is no other of either
//	alone ...              a line that counts only where there are no other nodes; "shared ..." only where there are
//
// A string "$name" stands for any value the first time and for the same from then on; "$_" always for any.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	seen := map[code]bool{}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { runScript(t, f, seen) })
	}
	for c := codeInvalidRequest; c <= codeInvalidFeed; c++ {
		if !seen[c] {
			t.Errorf("no script sees error %d", c)
		}
	}
	if !seen[codeUnknown] {
		t.Errorf("no script sees error %d", codeUnknown)
	}
}

type script struct {
	t       *testing.T
	where   string
	shared  bool                        // there are other nodes
	open    func(client int) scriptNode // the node of a new client
	settle  func()                      // waits until all nodes know of all that happened
	clients map[string]*scriptClient
	vars    map[string]any
	seen    map[code]bool
	told    *listener
}

type scriptNode struct {
	server *janus.Server
	plane  *janustest.Plane
}

type scriptClient struct {
	*janustest.Handle
	plane *janustest.Plane
	reply janustest.M
	last  any // transaction of the last message
	offer string
}

// scriptConfig is what a script's server is made with, by the first word of its name.
func scriptConfig(name string) Config {
	cfg := Config{Rooms: []RoomConfig{DefaultRoom("900001")}}
	if strings.HasPrefix(name, "locked") {
		cfg = Config{StringIDs: true, AdminKey: "key", LockRTPForward: true, MaxRooms: 2}
	}
	if strings.HasPrefix(name, "stored") {
		cfg.Store = Store{Save: func(Record) error { return nil }, Delete: func(string) error { return nil }}
	}
	return cfg
}

func runScript(t *testing.T, file string, seen map[code]bool) {
	cfg, told := scriptConfig(filepath.Base(file)), listen(t)
	cfg.Events = told.bus
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server, media := janustest.NewServer(t, nil, p)
	s := &script{t: t, seen: seen, told: told, settle: func() {}, open: func(int) scriptNode { return scriptNode{server, media} }}
	s.run(file)
}

func (s *script) run(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.clients, s.vars = map[string]*scriptClient{}, map[string]any{}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		s.where = fmt.Sprintf("%s:%d", file, i+1)
		if word, rest, _ := strings.Cut(line, " "); word == "alone" || word == "shared" {
			if s.shared != (word == "shared") {
				continue
			}
			line = rest
		}
		s.step(line)
		s.settle()
	}
}

func (s *script) step(line string) {
	who, rest, _ := strings.Cut(line, " ")
	if who == "quiet" {
		for name := range strings.FieldsSeq(rest) {
			s.quiet(name)
		}
		return
	}
	if who == "told" {
		s.compareTold(rest)
		return
	}
	verb, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
	c := s.clients[who]
	if c == nil {
		n := s.open(len(s.clients))
		c = &scriptClient{Handle: janustest.Open(s.t, n.server, Package), plane: n.plane}
		s.clients[who] = c
	}
	switch verb {
	case ">", ">>":
		body, more := s.parse(rest)
		s.send(c, verb, body, strings.Fields(more))
	case "<":
		if c.reply == nil {
			s.t.Fatalf("%s: no reply to compare", s.where)
		}
		s.compare(c, c.reply, rest)
		c.reply = nil
	case "<<":
		s.compare(c, c.Await(func(m janustest.M) bool { return m["transaction"] == c.last }), rest)
	case "!":
		s.compare(c, c.Event(), rest)
	case "=":
		s.sent(c, rest)
	case "-":
		s.happen(c, rest)
	default:
		s.t.Fatalf("%s: what is %q?", s.where, verb)
	}
}

// parse splits a line into its JSON and what follows, with variables replaced in what is sent.
func (s *script) parse(text string) (v any, more string) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		s.t.Fatalf("%s: %v", s.where, err)
	}
	return v, strings.TrimSpace(text[d.InputOffset():])
}

// fill replaces variables by their values.
func (s *script) fill(v any) any {
	switch v := v.(type) {
	case string:
		if known, ok := s.vars[v]; ok {
			return known
		}
	case map[string]any:
		for k := range v {
			v[k] = s.fill(v[k])
		}
	case []any:
		for i := range v {
			v[i] = s.fill(v[i])
		}
	}
	return v
}

func (s *script) send(c *scriptClient, verb string, body any, jsep []string) {
	var j janustest.M
	switch {
	case len(jsep) == 0:
	case jsep[0] == "answer":
		j = janustest.Answer(c.offer)
	default:
		j = janustest.Offer(jsep[1:]...)
		if jsep[0] == "offer+" {
			j["e2ee"] = true
		}
		if jsep[0] == "svc" {
			j["svc"] = []any{janustest.M{"mindex": 0, "svc": "L3T3"}}
		}
	}
	b, _ := s.fill(body).(map[string]any)
	if verb == ">>" {
		c.Request(janustest.M{"janus": "message", "body": b})
		return
	}
	c.reply = c.Message(b, j)
	c.last = c.reply["transaction"]
	if d := janustest.Data(c.reply); d != nil {
		if n, ok := d["error_code"].(json.Number); ok {
			i, _ := n.Int64()
			s.seen[code(i)] = true
		}
	}
}

// compare compares a message with what the script expects of it.
func (s *script) compare(c *scriptClient, got janustest.M, text string) {
	s.t.Helper()
	want, kind := s.parse(text)
	var is any = janustest.Data(got)
	if janustest.Data(got) == nil {
		rest := janustest.M{}
		for k, v := range got {
			if k != "session_id" && k != "sender" && k != "transaction" {
				rest[k] = v
			}
		}
		is = rest
	}
	jsep, _ := got["jsep"].(janustest.M)
	has, _ := jsep["type"].(string)
	if has != kind {
		s.t.Errorf("%s: jsep %q, want %q", s.where, has, kind)
	}
	if has == "offer" {
		c.offer, _ = jsep["sdp"].(string)
	}
	s.bind(want, is)
	if d := cmp.Diff(s.fill(want), is); d != "" {
		s.t.Errorf("%s: -want +got\n%s", s.where, d)
	}
}

// bind gives unknown variables of what is wanted the values of what is.
func (s *script) bind(want, is any) {
	switch w := want.(type) {
	case map[string]any:
		m, _ := is.(map[string]any)
		for k, v := range w {
			if name, ok := v.(string); ok && strings.HasPrefix(name, "$") {
				if _, known := s.vars[name]; !known && m[k] != nil {
					if name == "$_" {
						w[k] = m[k]
						continue
					}
					s.vars[name] = m[k]
				}
				continue
			}
			s.bind(v, m[k])
		}
	case []any:
		l, _ := is.([]any)
		for i := range min(len(w), len(l)) {
			s.bind(w[i], l[i])
		}
	}
}

func (s *script) quiet(name string) {
	c := s.clients[name]
	// A request goes through the handle's turn after everything that was to be told.
	c.Message(janustest.M{"request": "exists", "room": 1}, nil)
	for _, m := range c.Inbox() {
		s.t.Errorf("%s: %s got %v", s.where, name, m)
	}
}

// peer returns the client's open peer.
func (s *script) peer(c *scriptClient) plane.PeerID {
	prefix := fmt.Sprintf("node/%s/%s/", c.Session(), c.ID)
	for _, p := range slices.Backward(c.plane.Peers()) {
		if strings.HasPrefix(string(p.ID), prefix) && !p.Closed {
			return p.ID
		}
	}
	s.t.Fatalf("%s: no peer", s.where)
	return ""
}

func (s *script) happen(c *scriptClient, what string) {
	switch what {
	case "up":
		c.plane.Up(s.peer(c))
		c.EventOf("webrtcup")
	case "down":
		c.plane.Down(s.peer(c), "DTLS alert")
	case "hangup", "detach":
		c.Request(janustest.M{"janus": what})
	case "talking", "silent", "layers", "lost", "lostup":
		e := janustest.Event(s.peer(c), plane.EventTalking)
		e.Mid, e.Kind, e.Talking, e.Level, e.Lost = "0", plane.Video, what == "talking", 5, 7
		switch what {
		case "layers":
			e.Type, e.Mid, e.Substream, e.Temporal = plane.EventLayers, "0", 1, 2
		case "lost", "lostup":
			e.Type, e.Uplink = plane.EventSlowLink, what == "lostup"
		}
		c.plane.Emit(e)
	default:
		s.t.Fatalf("%s: what is %q?", s.where, what)
	}
}

// sent compares what the media plane sends on the client's lines.
func (s *script) sent(c *scriptClient, text string) {
	want, _ := s.parse(text)
	id := s.peer(c)
	is := map[string]any{}
	deadline := time.Now().Add(5 * time.Second)
	for {
		peer, _ := c.plane.Peer(id)
		clear(is)
		for _, sub := range peer.Subscriptions {
			v := fmt.Sprintf("%s/%s", sub.Stream.Publisher, sub.Stream.Mid)
			if sub.Paused {
				v = "-" + v
			}
			if before, ok := is[sub.Mid].(string); ok {
				v = before + " " + v
			}
			is[sub.Mid] = v
		}
		a, b := canonical(want), canonical(is)
		if bytes.Equal(a, b) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%s: sends %s, want %s", s.where, b, a)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func canonical(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}
