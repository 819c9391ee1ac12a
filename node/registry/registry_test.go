package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"cardea/mesh/discovery"
	"cardea/mesh/discovery/discoverytest"
)

// The client looks once a second whether a server that was away is back, and notices only then that it was closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// box is a node that a test changes while a registry describes it.
type box struct {
	mu   sync.Mutex
	node Node
}

func (b *box) describe() Node {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.node
}

func (b *box) change(f func(*Node)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.node)
}

// start runs a registry until its stop is called or the test ends.
func start(t *testing.T, url string, b *box, log *slog.Logger, entries ...Entry) (r *Registry, stop func()) {
	t.Helper()
	r, err := New(Config{Redis: url, TTL: 3 * time.Second, Entries: entries, Describe: b.describe, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.look, r.retry = 20*time.Millisecond, 50*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return r, stop
}

// eventually polls until f returns "", and fails with what it returned last.
func eventually(t *testing.T, f func() string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		what := f()
		if what == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

var entries = []Entry{
	{Key: "media_ip", Value: "{{.Address}}", Shared: true},
	{Key: "media:{{.ID}}", Value: "{{json .}}", Hash: true, Draining: true},
	{Key: "ip:{{.ID}}", Value: "{{.Address}}"},
}

func TestEntries(t *testing.T) {
	m := miniredis.RunT(t)
	b := &box{node: sample()}
	const id = "abcdefghijklmnop"
	// Rubbish under all the names: a list, a hash with fields of its own, an address from before that nobody refreshes.
	if _, err := m.Push("cardea:node:"+id, "x"); err != nil {
		t.Fatal(err)
	}
	m.HSet("media:"+id, "old", "x")
	if err := m.Set("media_ip", "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, "redis://"+m.Addr(), b, nil, entries...)
	get := func(key string) string {
		if v, err := m.Get(key); err == nil {
			return v
		}
		return ""
	}
	eventually(t, func() string {
		var n Node
		switch {
		case json.Unmarshal([]byte(get("cardea:node:"+id)), &n) != nil || n != sample():
			return "its own entry: " + get("cardea:node:"+id)
		case get("ip:"+id) != "192.0.2.1" || get("media_ip") != "192.0.2.1":
			return "addresses: " + get("ip:"+id) + " " + get("media_ip")
		case m.HGet("media:"+id, "ws") != "8188" || m.HGet("media:"+id, "old") != "":
			return "hash: " + m.Dump()
		}
		return ""
	})
	for _, key := range m.Keys() {
		if ttl := m.TTL(key); ttl <= 0 || ttl > 3*time.Second {
			t.Errorf("%s lives %v", key, ttl)
		}
	}
	b.change(func(n *Node) { n.State = "draining" })
	eventually(t, func() string {
		if m.Exists("ip:"+id) || m.Exists("media_ip") || m.HGet("media:"+id, "state") != "draining" || !strings.Contains(get("cardea:node:"+id), `"draining"`) {
			return "draining: " + m.Dump()
		}
		return ""
	})
	stop()
	if keys := m.Keys(); len(keys) > 0 {
		t.Errorf("afterwards: %v", keys)
	}
}

// One of several nodes has a shared key; when it drains, stops or dies, another has it.
func TestShared(t *testing.T) {
	m := miniredis.RunT(t)
	shared := entries[0]
	boxes := map[string]*box{}
	stops := map[string]func(){}
	for _, address := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		n := sample()
		n.ID, n.Address = "node"+address, address
		boxes[address] = &box{node: n}
		_, stops[address] = start(t, "redis://"+m.Addr(), boxes[address], nil, shared)
	}
	have := func(not string) (has string) {
		eventually(t, func() string {
			var err error
			if has, err = m.Get("media_ip"); err != nil || has == not {
				return "nobody but " + not + " has the key"
			}
			return ""
		})
		return has
	}
	first := have("")
	boxes[first].change(func(n *Node) { n.State = "draining" })
	second := have(first)
	stops[second]()
	third := have(second)
	if third == first {
		t.Error("a draining node took the key")
	}
	// The entry of one that died is not taken before it expires.
	if err := m.Set("media_ip", "192.0.2.9"); err != nil {
		t.Fatal(err)
	}
	m.SetTTL("media_ip", time.Minute)
	boxes[first].change(func(n *Node) { n.State = Ready })
	eventually(t, func() string {
		if v, _ := m.Get("cardea:node:" + boxes[first].describe().ID); !strings.Contains(v, `"ready"`) {
			return "not seen to be ready"
		}
		return ""
	})
	if v, _ := m.Get("media_ip"); v != "192.0.2.9" {
		t.Errorf("%s took a key that was another's", v)
	}
	m.FastForward(2 * time.Minute)
	have("192.0.2.9")
}

// lines gathers a log.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// Redis is killed and comes back with nothing, and has the entries again; the log says so once.
func TestRedisDies(t *testing.T) {
	server := discoverytest.StartRedis(t)
	look, err := discovery.OpenRedis(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = look.Close() }()
	there := func() string {
		ip, err := look.Get(t.Context(), "media_ip").Result()
		if err != nil || ip != "192.0.2.1" {
			return "no address: " + ip
		}
		if ws, err := look.HGet(t.Context(), "media:"+sample().ID, "ws").Result(); err != nil || ws != "8188" {
			return "no hash: " + ws
		}
		return ""
	}
	log := &lines{}
	r, stop := start(t, server.URL, &box{node: sample()}, slog.New(slog.NewTextHandler(log, nil)), entries...)
	eventually(t, there)
	for range 2 {
		failed := r.Stats().Failures
		server.Kill()
		eventually(t, func() string {
			if s := r.Stats(); s.Up || s.Failures < failed+2 {
				return "its death is not noticed"
			}
			return ""
		})
		server.Start(t)
		eventually(t, there)
	}
	eventually(t, func() string {
		if !r.Stats().Up || strings.Count(log.String(), "works again") != 2 {
			return "not said to be back:\n" + log.String()
		}
		return ""
	})
	if text := log.String(); strings.Count(text, "cannot be written") != 2 || strings.Count(text, "\n") != 4 {
		t.Errorf("log:\n%s", text)
	}
	stop()
	if left, err := look.Keys(t.Context(), "*").Result(); err != nil || len(left) > 0 {
		t.Errorf("afterwards: %v %v", left, err)
	}
}

// Redis takes connections and never answers: the node tries again, says so once, and stops in time for the rest of it.
func TestRedisHangs(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // nothing is accepted; the system takes connections all the same
	log := &lines{}
	r, stop := start(t, "redis://"+ln.Addr().String(), &box{node: sample()}, slog.New(slog.NewTextHandler(log, nil)), entries...)
	eventually(t, func() string {
		if r.Stats().Failures < 1 {
			return "no failure"
		}
		return ""
	})
	stop()
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "cannot be written") {
		t.Errorf("log:\n%s", text)
	}
}

// What real servers refuse is said in one line that names it, with no password in it; an entry that is refused is no matter of the others.
func TestRefused(t *testing.T) {
	const id = "abcdefghijklmnop"
	for name, tt := range map[string]struct {
		arguments []string
		user      string
		want      string
		written   string // a key that is there all the same
	}{
		"no password":    {[]string{"--requirepass", "right"}, "", "NOAUTH", ""},
		"wrong password": {[]string{"--requirepass", "right"}, ":hush@", "WRONGPASS", ""},
		"a replica":      {[]string{"--replicaof", "127.0.0.1", "1"}, "", "READONLY", ""},
		"a cluster":      {[]string{"--cluster-enabled", "yes"}, "", "a part of a Redis Cluster, which is not supported", ""},
		"a key":          {strings.Fields("--user me on >hush ~media* ~ip:* +@all"), "me:hush@", `write \"cardea:node:` + id + `\": NOPERM`, "ip:" + id},
	} {
		t.Run(name, func(t *testing.T) {
			server := discoverytest.StartRedis(t, tt.arguments...)
			log := &lines{}
			r, stop := start(t, strings.Replace(server.URL, "unix://", "unix://"+tt.user, 1), &box{node: sample()}, slog.New(slog.NewTextHandler(log, nil)), entries...)
			eventually(t, func() string {
				if r.Stats().Failures < 2 {
					return "no failures"
				}
				return ""
			})
			if s := r.Stats(); s.Up || (s.Writes > 0) != (tt.written != "") {
				t.Errorf("%+v", s)
			}
			gone := func() bool { return true }
			if tt.written != "" {
				look, err := discovery.OpenRedis(server.URL)
				if err != nil {
					t.Fatal(err)
				}
				left, err := look.PTTL(t.Context(), tt.written).Result()
				if err != nil || left <= 0 || left > 3*time.Second {
					t.Errorf("%s lives %v, %v", tt.written, left, err)
				}
				defer func() { _ = look.Close() }()
				gone = func() bool { return look.Exists(t.Context(), tt.written).Val() == 0 }
			}
			stop()
			if !gone() {
				t.Errorf("%s is there afterwards", tt.written)
			}
			if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, tt.want) || strings.Contains(text, "hush") {
				t.Errorf("log, want %s:\n%s", tt.want, text)
			}
		})
	}
}

func TestPause(t *testing.T) {
	for failures, most := range map[int]time.Duration{1: 2, 2: 4, 3: 8, 4: 10, 15: 10, 16: 10, 1000: 10} {
		most *= time.Second
		if d := pause(failures, 2*time.Second, 10*time.Second, 1); d != most {
			t.Errorf("after %d: %v, want %v at most", failures, d, most)
		}
		if d := pause(failures, 2*time.Second, 10*time.Second, 0); d != most/2 {
			t.Errorf("after %d: %v, want %v at least", failures, d, most/2)
		}
	}
}

// What speaks no Redis is Redis that is away.
func TestRubbishServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
				_ = conn.Close()
			})
		}
	})
	r, stop := start(t, "redis://"+ln.Addr().String(), &box{node: sample()}, slog.New(slog.DiscardHandler), entries...)
	eventually(t, func() string {
		if r.Stats().Failures < 1 {
			return "no failure"
		}
		return ""
	})
	stop()
	_ = ln.Close()
	served.Wait()
	if s := r.Stats(); s.Up || s.Writes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestNew(t *testing.T) {
	b := &box{node: sample()}
	for name, change := range map[string]func(*Config){
		"no URL":      func(c *Config) { c.Redis = "http://user:secret@host" },
		"a short TTL": func(c *Config) { c.TTL = time.Second },
		"a template":  func(c *Config) { c.Entries = []Entry{{Key: "x", Value: "{{.Nothing}}"}} },
		"no template": func(c *Config) { c.Entries = []Entry{{Key: "x", Value: "{{"}} },
	} {
		cfg := Config{Redis: "redis://127.0.0.1:1", TTL: 30 * time.Second, Describe: b.describe}
		change(&cfg)
		if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
