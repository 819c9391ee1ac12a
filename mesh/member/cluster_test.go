package member

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cardea/relay/link"
)

// TestFirstNode wants a node without any configuration to be usable, alone, and the same after a restart.
func TestFirstNode(t *testing.T) {
	cfg := config(t)
	n := start(t, cfg)
	id, cluster := n.Self().ID, n.ID()
	if n.FirstInvitation() == "" {
		t.Error("no invitation on the first start")
	}
	if all := n.Nodes(); len(all) != 1 || all[0].ID != id {
		t.Errorf("nodes: %+v", all)
	}
	n.end()
	for _, f := range []string{keyFile, clusterFile, invitationsFile} {
		if info, err := os.Stat(filepath.Join(cfg.Dir, f)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info, err)
		}
	}
	if info, err := os.Stat(cfg.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v %v", info, err)
	}
	again := start(t, cfg)
	if again.Self().ID != id || again.ID() != cluster || again.FirstInvitation() != "" {
		t.Errorf("after a restart: %s in %s, first invitation %q", again.Self().ID, again.ID(), again.FirstInvitation())
	}
}

func TestAlone(t *testing.T) {
	n := start(t, Config{Alone: true, Dir: t.TempDir(), Join: []string{"nonsense!"}, Name: "a"})
	if len(n.Nodes()) != 1 || n.Self().ID == "" || n.FirstInvitation() != "" {
		t.Errorf("nodes: %+v", n.Nodes())
	}
	if _, err := n.Invite(t.Context(), Invitation{TTL: time.Hour, Uses: 1}); err == nil {
		t.Error("it invites")
	}
	if err := n.RotateKey(t.Context()); err == nil {
		t.Error("it rotates")
	}
	called := make(chan struct{}, 8)
	n.Watch(func() { called <- struct{}{} })
	n.Update(func(s *Node) { s.State, s.ID = Draining, "x" })
	<-called
	if s := n.Self(); s.State != Draining || s.ID == "x" {
		t.Errorf("after an update: %+v", s)
	}
	if _, err := n.Identify(n.member().credentials.cert); err != nil {
		t.Errorf("its own certificate: %v", err)
	}
}

// TestWithoutDirectory wants a node to run that may not write.
func TestWithoutDirectory(t *testing.T) {
	cfg := config(t)
	file := filepath.Join(cfg.Dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Dir = filepath.Join(file, "mesh")
	if n := start(t, cfg); len(n.Nodes()) != 1 {
		t.Errorf("nodes: %+v", n.Nodes())
	}
}

func TestDirectoryInUse(t *testing.T) {
	cfg := config(t)
	n := start(t, cfg)
	other := cfg
	other.Bind = host()
	second := start(t, other) // a demonstration must not fail
	if second.Self().ID == n.Self().ID || second.storage.durable() {
		t.Error("two processes share an identity")
	}
	other.Bind, other.Join = host(), []string{n.invitation(Invitation{})}
	if err := failing(t, other); !errors.Is(err, ErrInUse) {
		t.Errorf("with an invitation: %v", err)
	}
	other.Bind, other.Join, other.Durable = host(), nil, true
	if err := failing(t, other); !errors.Is(err, ErrInUse) {
		t.Errorf("named for it: %v", err)
	}
	if err := Check(other); err != nil {
		t.Errorf("a check beside the node that runs: %v", err)
	}
}

// TestCheck wants to be told what Open would, and the directory left alone.
func TestCheck(t *testing.T) {
	cfg := config(t)
	cfg.Dir = filepath.Join(cfg.Dir, "mesh")
	if err := Check(cfg); err != nil {
		t.Errorf("a new node: %v", err)
	}
	if _, err := os.Stat(cfg.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the check made the directory: %v", err)
	}
	n := start(t, cfg)
	invitation := n.invitation(Invitation{})
	n.end()
	if err := Check(cfg); err != nil {
		t.Errorf("a member: %v", err)
	}
	invited := config(t)
	invited.Join = []string{invitation}
	if err := Check(invited); err != nil {
		t.Errorf("invited: %v", err)
	}
	invited.Join = []string{invitation[:len(invitation)-4]}
	if err := Check(invited); !errors.Is(err, ErrJoin) {
		t.Errorf("half an invitation: %v", err)
	}
	for _, file := range []string{keyFile, clusterFile} {
		path := filepath.Join(cfg.Dir, file)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, broken := range map[string][]byte{"empty": {}, "rubbish": []byte("rubbish")} {
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			told, refused := Check(cfg), failing(t, cfg)
			if told == nil || !strings.Contains(told.Error(), cfg.Dir) || !strings.Contains(told.Error(), file) {
				t.Errorf("%s %s: told %v, refused %v", what, file, told, refused)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(cfg.Dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	if err := Check(cfg); err == nil {
		t.Error("a member without its key is fine")
	}
}

// TestFirstInvitationAfterFailure wants the first start that succeeds to invite, and no later one.
func TestFirstInvitationAfterFailure(t *testing.T) {
	cfg := config(t)
	taken, err := net.Listen("tcp", netip.AddrPortFrom(cfg.Bind, cfg.LinkPort).String())
	if err != nil {
		t.Fatal(err)
	}
	_ = failing(t, cfg)
	taken.Close()
	n := start(t, cfg)
	if n.FirstInvitation() == "" {
		t.Error("nobody is invited after a start that failed")
	}
	n.end()
	if n = start(t, cfg); n.FirstInvitation() != "" {
		t.Error("invited twice")
	}
}

// TestRefusalNamesSource wants to know from where somebody tried to get in.
func TestRefusalNamesSource(t *testing.T) {
	cfg := config(t)
	var log lockedBuffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	n := start(t, cfg)
	other := config(t)
	other.Join = []string{n.invitation(Invitation{TTL: time.Minute, Uses: 1})}
	start(t, other)
	third := config(t)
	third.Join = other.Join
	if err := failing(t, third); !errors.Is(err, ErrRefused) {
		t.Errorf("an invitation that was used: %v", err)
	}
	if text := log.String(); !strings.Contains(text, "request refused at the admission port\" remote="+third.Bind.String()+":") || strings.Contains(text, `from=""`) {
		t.Errorf("the log says %s", text)
	}
}

// lockedBuffer is what several goroutines log into.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestJoin wants nodes to know each other, what they say of themselves, and that one left or died.
func TestJoin(t *testing.T) {
	nodes := cluster(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	if got, ok := a.Node(b.Self().ID); !ok || got.Name != t.Name() || got.Region != "test" || got.Planes != Signaling|Media ||
		len(got.Links) != 1 || got.Links[0] != b.Self().Links[0] || got.Authority {
		t.Errorf("b as a sees it: %+v", got)
	}
	b.Update(func(n *Node) { n.State, n.Load = Draining, 0.5 })
	eventually(t, 3*time.Second, func() string {
		for _, n := range []*testNode{a, c} {
			if got, _ := n.Node(b.Self().ID); got.State != Draining || got.Load != 0.5 {
				return "no news of b"
			}
		}
		return ""
	})
	changed := make(chan struct{}, 64)
	c.Watch(func() { changed <- struct{}{} })
	begin := time.Now()
	b.end()
	together(t, a, c)
	<-changed
	t.Logf("that b left was known everywhere after %v", time.Since(begin))
	if a.Resolve(b.Self().ID) != nil || a.Resolve(c.Self().ID) == nil {
		t.Error("links are resolved wrongly")
	}
}

// TestDeath kills a node without a word.
func TestDeath(t *testing.T) {
	nodes := cluster(t, 4)
	dead := nodes[3]
	if err := dead.transport.NetTransport.Shutdown(); err != nil { // it goes on, unheard
		t.Fatal(err)
	}
	begin := time.Now()
	eventually(t, 10*time.Second, func() string {
		for _, n := range nodes[:3] {
			if len(n.Nodes()) != 3 {
				return "still there"
			}
		}
		return ""
	})
	t.Logf("dead everywhere after %v", time.Since(begin))
}

// TestHeardThoughDead has a node stay that gossip calls dead, for as long as it is heard by other ways.
func TestHeardThoughDead(t *testing.T) {
	c, err := Open(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	var heard atomic.Bool
	heard.Store(true)
	c.Vouch(func(link.NodeID) bool { return heard.Load() })
	a := run(t, c)
	b, dead := join(t, a.invitation(Invitation{})), join(t, a.invitation(Invitation{}))
	together(t, a, b, dead)
	if err := dead.transport.NetTransport.Shutdown(); err != nil { // it goes on, unheard
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() string {
		if len(b.Nodes()) != 2 {
			return "still there"
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.doubts) != 1 {
			return "not called dead"
		}
		return ""
	})
	if len(a.Nodes()) != 3 {
		t.Error("gone, though it is heard")
	}
	heard.Store(false)
	eventually(t, 5*time.Second, func() string {
		if len(a.Nodes()) != 2 {
			return "still there"
		}
		return ""
	})
}

// TestRestart wants a node that was killed to be back soon, also from another address, and with everybody but one of its peers gone.
func TestRestart(t *testing.T) {
	a := start(t, config(t))
	cfg := config(t)
	cfg.Join = []string{a.invitation(Invitation{})}
	b := start(t, cfg)
	c := join(t, a.invitation(Invitation{}))
	together(t, a, b, c)
	b.end()
	together(t, a, c)
	a.end()
	cfg.Bind = host() // the invitation is used, and stays in the unit file
	again := start(t, cfg)
	if again.Self().ID != b.Self().ID {
		t.Error("another identity after a restart")
	}
	together(t, again, c)
}

// TestTwin copies a data directory.
func TestTwin(t *testing.T) {
	a := start(t, config(t))
	cfg := config(t)
	cfg.Join = []string{a.invitation(Invitation{})}
	b := start(t, cfg)
	together(t, a, b)
	twin := cfg
	twin.Dir, twin.Bind = t.TempDir(), host()
	for _, f := range []string{keyFile, clusterFile, peersFile} {
		eventually(t, 10*time.Second, func() string {
			content, err := os.ReadFile(filepath.Join(cfg.Dir, f))
			if err != nil {
				return err.Error()
			}
			if err := os.WriteFile(filepath.Join(twin.Dir, f), content, 0o600); err != nil {
				t.Fatal(err)
			}
			return ""
		})
	}
	other, err := Open(t.Context(), twin)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := other.Run(ctx); !errors.Is(err, ErrTwin) {
		t.Errorf("the copy: %v", err)
	}
	together(t, a, b)
}

// TestClockSetBack restarts a node whose clock was far ahead, so that others know newer news of it than it has.
func TestClockSetBack(t *testing.T) {
	a := start(t, config(t))
	cfg := config(t)
	cfg.Join = []string{a.invitation(Invitation{})}
	b := start(t, cfg)
	together(t, a, b)
	b.mu.Lock()
	ahead := b.sequence + 1<<36
	b.renewMetadata(ahead)
	b.mu.Unlock()
	b.Update(func(n *Node) { n.State = Draining })
	eventually(t, 5*time.Second, func() string {
		if a.table.sequence(b.id) <= ahead {
			return "no news"
		}
		return ""
	})
	b.end()
	together(t, a)
	b = start(t, cfg)
	together(t, a, b)
	if n, _ := a.Node(b.id); n.State != Ready {
		t.Errorf("old news of b: %+v", n)
	}
}

// TestEight starts eight nodes at once, with one invitation.
func TestEight(t *testing.T) {
	first := start(t, config(t))
	text := first.invitation(Invitation{Uses: 7})
	opened := make(chan *Cluster, 7)
	for range 7 {
		cfg := config(t)
		cfg.Join = []string{text}
		go func() {
			c, err := Open(t.Context(), cfg)
			if err != nil {
				t.Errorf("open: %v", err)
			}
			opened <- c
		}()
	}
	nodes := []*testNode{first}
	for range 7 {
		if c := <-opened; c != nil {
			nodes = append(nodes, run(t, c))
		}
	}
	together(t, nodes...)
	eventually(t, 15*time.Second, func() string { // everybody has probed everybody
		for _, n := range nodes {
			for _, o := range nodes {
				if _, ok := n.RTT(o.id); !ok && o != n {
					return "a round trip is not known"
				}
			}
		}
		return ""
	})
	if c := first.Self().Coordinate; c == nil || !c.IsValid() {
		t.Errorf("coordinate: %+v", c)
	}
}

// TestOutOfReach wants a member whose directory cannot be used to say so rather than to begin anew.
func TestOutOfReach(t *testing.T) {
	cfg := config(t)
	start(t, cfg).end()
	if err := os.WriteFile(filepath.Join(cfg.Dir, clusterFile), []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := failing(t, cfg); !strings.Contains(err.Error(), clusterFile) {
		t.Errorf("%v", err)
	}
	lock := filepath.Join(cfg.Dir, lockFile)
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := failing(t, cfg); !strings.Contains(err.Error(), "mesh directory") {
		t.Errorf("%v", err)
	}
}
