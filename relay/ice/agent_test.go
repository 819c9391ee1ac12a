package ice

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"pgregory.net/rapid"
)

// at converts a time since the test's beginning to an agent's clock, which may well stand below zero.
func at(d time.Duration) int64 { return int64(d) - int64(time.Hour) }

func path(n int) Path {
	return Path{Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 5000), Socket: 1}
}

// client makes checks as a browser does.
type client struct {
	t          rapid.TB
	agent      *Agent
	ufrag, pwd string // of the agent, as the client knows them
}

func newClient(t rapid.TB, a *Agent) *client {
	c := &client{t: t, agent: a}
	c.learn()
	return c
}

func (c *client) learn() { c.ufrag, c.pwd = c.agent.Credentials() }

type useCandidate struct{}

func (useCandidate) AddTo(m *stun.Message) error { m.Add(stun.AttrUseCandidate, nil); return nil }

type attribute struct {
	typ   stun.AttrType
	value []byte
}

func (a attribute) AddTo(m *stun.Message) error { m.Add(a.typ, a.value); return nil }

func priority(p uint32) attribute {
	return attribute{stun.AttrPriority, binary.BigEndian.AppendUint32(nil, p)}
}

// check sends a check on path n with the priority 1000-n, so that path 1 is the best.
func (c *client) check(n int, now time.Duration, nominate bool, more ...stun.Setter) (changed bool, err error) {
	c.t.Helper()
	setters := []stun.Setter{
		stun.BindingRequest, stun.TransactionID, stun.NewUsername(c.ufrag + ":them"), priority(uint32(1000 - n)),
	}
	if nominate {
		setters = append(setters, useCandidate{})
	}
	setters = append(setters, more...)
	setters = append(setters, stun.NewShortTermIntegrity(c.pwd), stun.Fingerprint)
	return c.send(stun.MustBuild(setters...), n, now)
}

func (c *client) send(msg *stun.Message, n int, now time.Duration) (changed bool, err error) {
	c.t.Helper()
	var m Message
	if err := Parse(msg.Raw, &m); err != nil {
		c.t.Fatal(err)
	}
	resp, changed, err := c.agent.HandleBinding(&m, path(n), at(now), nil)
	if msg.Type != stun.BindingRequest {
		if resp != nil {
			c.t.Fatal("reply to what is no request")
		}
		return changed, err
	}
	got := &stun.Message{Raw: resp}
	if e := got.Decode(); e != nil {
		c.t.Fatal(e)
	}
	if (err == nil) != (got.Type == stun.BindingSuccess) {
		c.t.Fatalf("reply %v with error %v", got.Type, err)
	}
	if err == nil && stun.NewShortTermIntegrity(c.pwd).Check(got) != nil {
		c.t.Fatal("reply not authentic")
	}
	return changed, err
}

func (c *client) mustCheck(n int, now time.Duration, nominate bool) (changed bool) {
	c.t.Helper()
	changed, err := c.check(n, now, nominate)
	if err != nil {
		c.t.Fatal(err)
	}
	return changed
}

func (c *client) wantSelected(n int) {
	c.t.Helper()
	p, ok := c.agent.Selected()
	if ok != (n > 0) || ok && p != path(n) {
		c.t.Fatalf("selected %v %v, want path %d", p, ok, n)
	}
}

func (c *client) wantState(now time.Duration, want State) {
	c.t.Helper()
	if got := c.agent.State(at(now)); got != want {
		c.t.Fatalf("%v: state %v, want %v", now, got, want)
	}
}

func TestCredentials(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		ufrag, pwd := NewAgent(Config{}, 0).Credentials()
		if len(ufrag) != ufragLen || len(pwd) != pwdLen || strings.Trim(ufrag+pwd, iceChars) != "" || seen[ufrag] {
			t.Fatalf("credentials %q %q", ufrag, pwd)
		}
		seen[ufrag] = true
	}
}

func TestRefusals(t *testing.T) {
	c := newClient(t, NewAgent(Config{}, at(0)))
	good := stun.NewShortTermIntegrity(c.pwd)
	name := stun.NewUsername(c.ufrag + ":them")
	for _, x := range []struct {
		name    string
		setters []stun.Setter
		want    error
		code    int
		signed  bool
	}{
		{"no username", []stun.Setter{good}, ErrBadRequest, 400, false},
		{"no colon", []stun.Setter{stun.NewUsername(c.ufrag), good}, ErrBadRequest, 400, false},
		{"no integrity", []stun.Setter{name}, ErrBadRequest, 400, false},
		{"wrong username", []stun.Setter{stun.NewUsername("x:y"), good}, ErrUnauthenticated, 401, false},
		{"empty username", []stun.Setter{stun.NewUsername(":y"), stun.NewShortTermIntegrity("")}, ErrBadRequest, 400, false},
		{"wrong password", []stun.Setter{name, stun.NewShortTermIntegrity("x")}, ErrUnauthenticated, 401, false},
		{"unknown attribute", []stun.Setter{name, attribute{0x7123, nil}, good}, ErrUnknownAttribute, 420, true},
		{"controlled", []stun.Setter{name, attribute{stun.AttrICEControlled, make([]byte, 8)}, good}, ErrRoleConflict, 487, true},
	} {
		msg := stun.MustBuild(append([]stun.Setter{stun.BindingRequest, stun.TransactionID, useCandidate{}}, x.setters...)...)
		var m Message
		if err := Parse(msg.Raw, &m); err != nil {
			t.Fatal(x.name, err)
		}
		resp, changed, err := c.agent.HandleBinding(&m, path(1), at(0), nil)
		var got Message
		if e := Parse(resp, &got); e != nil {
			t.Fatal(x.name, e)
		}
		if !errors.Is(err, x.want) || changed || got.ErrorCode != x.code || got.HasIntegrity() != x.signed {
			t.Errorf("%s: %v, changed %v, reply %+v", x.name, err, changed, got)
		}
	}
	for typ, want := range map[stun.MessageType]error{
		stun.BindingSuccess: ErrUnexpected, stun.BindingError: ErrUnexpected,
		stun.NewType(stun.MethodBinding, stun.ClassIndication):                           nil,
		stun.NewType(stun.MethodAllocate, stun.ClassRequest):                             ErrUnexpected,
		stun.NewType(stun.MethodChannelBind|stun.Method(0xF00), stun.ClassErrorResponse): ErrUnexpected,
	} {
		msg := stun.MustBuild(typ, stun.TransactionID, name, good)
		var m Message
		if err := Parse(msg.Raw, &m); err != nil {
			t.Fatal(err)
		}
		if resp, _, err := c.agent.HandleBinding(&m, path(1), at(0), nil); resp != nil || !errors.Is(err, want) {
			t.Errorf("%v: %d bytes, %v", typ, len(resp), err)
		}
	}
	c.wantSelected(0)
	c.wantState(0, New)
}

func TestNomination(t *testing.T) {
	type step struct {
		path     int
		at       time.Duration
		nominate bool
		selected int
	}
	for name, steps := range map[string][]step{
		"regular": {
			{2, 0, false, 0}, {1, 10 * time.Millisecond, false, 0}, {2, 100 * time.Millisecond, true, 2}, {1, time.Second, false, 2},
		},
		"browser nominates a worse path when its network changes": {
			{1, 0, true, 1},
			{1, 2 * time.Second, true, 1},
			{3, 3 * time.Second, false, 1},
			{3, 3100 * time.Millisecond, true, 3},
			{3, 4 * time.Second, true, 3},
			{1, 9 * time.Second, true, 1},
		},
		"aggressive: the best of those nominated in turn": {
			{2, 0, true, 2},
			{1, 20 * time.Millisecond, true, 1},
			{3, 40 * time.Millisecond, true, 3},
			{2, time.Second, true, 2},
			{1, 1020 * time.Millisecond, true, 1},
			{3, 1040 * time.Millisecond, true, 1},
			{2, 2 * time.Second, true, 1},
			{1, 2020 * time.Millisecond, true, 1},
			{3, 2040 * time.Millisecond, true, 1},
		},
		"there and back again": {
			{1, 0, true, 1}, {2, time.Second, true, 2}, {1, 2 * time.Second, true, 1}, {2, 3 * time.Second, true, 1}, {2, 4 * time.Second, true, 2},
		},
		"never nominated: the best heard lately": {
			{1, 0, false, 0},
			{2, time.Millisecond, false, 0},
			{3, 1900 * time.Millisecond, false, 0},
			{3, 2100 * time.Millisecond, false, 3},
			{2, 3 * time.Second, false, 3},
			{1, 4 * time.Second, true, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, NewAgent(Config{}, at(0)))
			before := 0
			for i, s := range steps {
				if got, want := c.mustCheck(s.path, s.at, s.nominate), s.selected != before; got != want {
					t.Fatalf("step %d: changed %v, want %v", i, got, want)
				}
				c.wantSelected(s.selected)
				before = s.selected
			}
		})
	}
}

func TestStates(t *testing.T) {
	c := newClient(t, NewAgent(Config{}, at(0)))
	c.wantState(time.Minute, New)
	c.agent.SetRemote("them", "secret", at(time.Minute))
	start := time.Minute
	c.wantState(start+14*time.Second, Checking)
	c.wantState(start+15*time.Second, Failed)
	c.agent.SetComplete()
	c.wantState(start+4*time.Second, Checking)
	c.wantState(start+5*time.Second, Failed)
	c.agent.SetRemote("them", "secret", at(start+4*time.Second)) // repeated: no new start
	c.wantState(start+5*time.Second, Failed)
	c.mustCheck(1, start+4900*time.Millisecond, false)
	c.wantState(start+5*time.Second, Checking) // it is trying
	c.wantState(start+9900*time.Millisecond, Failed)
	c.mustCheck(1, start+20*time.Second, true) // late, but welcome
	c.wantState(start+20*time.Second, Connected)
	c.agent.Touch(at(start + 24*time.Second))
	c.wantState(start+28*time.Second, Connected)
	c.wantState(start+29*time.Second, Disconnected)
	c.wantState(start+43*time.Second, Disconnected)
	c.wantState(start+44*time.Second, Failed)
	c.mustCheck(2, start+50*time.Second, false) // any valid check is a sign of life
	c.wantState(start+50*time.Second, Connected)
	c.wantSelected(2) // and nothing has come from elsewhere for long
}

// TestMove follows a client that nominates once and then comes from elsewhere: after a check or two if its candidate is the
// same, as behind a NAT that forgot it, else when the selected path has been silent for long.
func TestMove(t *testing.T) {
	same := func(c *client, n int, now time.Duration) bool {
		c.t.Helper()
		changed, err := c.send(stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername(c.ufrag+":them"), priority(999),
			stun.NewShortTermIntegrity(c.pwd), stun.Fingerprint), n, now)
		if err != nil {
			c.t.Fatal(err)
		}
		return changed
	}
	c := newClient(t, NewAgent(Config{}, at(0)))
	c.agent.SetRemote("them", "secret", at(0))
	c.mustCheck(1, 0, true) // its priority is 999
	if same(c, 7, time.Second) {
		t.Error("moved with the first check from elsewhere")
	}
	c.mustCheck(1, 1100*time.Millisecond, false) // both are in use
	if same(c, 7, 2*time.Second) {
		t.Error("moved though the selected path is alive")
	}
	if same(c, 8, 3*time.Second) || !same(c, 8, 4*time.Second) {
		t.Error("did not move with the second check since the selected path fell silent")
	}
	c.wantSelected(8)
	c.mustCheck(2, 5*time.Second, false)
	if c.mustCheck(2, 8*time.Second, false) {
		t.Error("moved to another candidate without a word after 4 s")
	}
	if !c.mustCheck(2, 9*time.Second, false) {
		t.Error("stays with a path that has been silent for 5 s")
	}
}

// TestForgetTheOnlyPath gives a client whose only connection broke the time of a new attempt.
func TestForgetTheOnlyPath(t *testing.T) {
	c := newClient(t, NewAgent(Config{}, at(0)))
	c.agent.SetRemote("them", "secret", at(0))
	c.agent.SetComplete()
	c.mustCheck(1, 0, true)
	c.agent.Touch(at(time.Minute))
	if !c.agent.Forget(path(1)) {
		t.Fatal("the selected path was forgotten without a change")
	}
	c.wantState(time.Minute+14*time.Second, Checking)
	c.mustCheck(2, time.Minute+14*time.Second, true)
	c.wantState(time.Minute+14*time.Second, Connected)
	c.agent.Forget(path(2))
	c.wantState(time.Minute+29*time.Second, Failed)
}

func TestRestart(t *testing.T) {
	c := newClient(t, NewAgent(Config{}, at(0)))
	c.agent.SetRemote("them", "secret", at(0))
	c.mustCheck(1, 0, true)
	old := *c
	ufrag, pwd := c.agent.Restart(at(10 * time.Second))
	if ufrag == old.ufrag || pwd == old.pwd || c.agent.Former(at(10*time.Second)) != old.ufrag {
		t.Fatal("credentials did not change, or the old ones are forgotten")
	}
	c.learn()
	// The silent client gets time again, but is not connected by it.
	c.wantState(11*time.Second, Disconnected)
	c.wantState(29*time.Second, Disconnected)
	c.wantState(30*time.Second, Failed)
	old.mustCheck(1, 11*time.Second, true)
	old.wantSelected(1)
	old.mustCheck(2, 11*time.Second, true) // until the new ones are used, it may still nominate with the old ones
	c.wantSelected(2)
	c.mustCheck(3, 12*time.Second, false)
	old.mustCheck(1, 12*time.Second, true)
	c.wantSelected(2)
	// Another restart before the former one was finished keeps the credentials that the client last used.
	second := *c
	c.agent.Restart(at(13 * time.Second))
	c.learn()
	if c.agent.Former(at(13*time.Second)) != second.ufrag {
		t.Fatal("wrong credentials kept")
	}
	c.agent.Restart(at(13 * time.Second))
	c.learn()
	if c.agent.Former(at(13*time.Second)) != second.ufrag {
		t.Fatal("credentials never used were kept in place of used ones")
	}
	if !c.mustCheck(3, 14*time.Second, true) {
		t.Fatal("not reported")
	}
	c.wantSelected(3)
	if c.agent.Former(at(14*time.Second)) != "" {
		t.Fatal("former credentials still valid")
	}
	if _, err := second.check(1, 14*time.Second, true); !errors.Is(err, ErrUnauthenticated) {
		t.Fatal(err)
	}
	if n := len(c.agent.table); n != 1 {
		t.Fatalf("%d paths left", n)
	}
}

func TestRestartWithoutNomination(t *testing.T) {
	c := newClient(t, NewAgent(Config{}, at(0)))
	c.mustCheck(1, 0, true)
	c.agent.Restart(at(time.Second))
	c.learn()
	c.mustCheck(3, 2*time.Second, false)
	c.mustCheck(2, 3*time.Second, false)
	c.wantSelected(1)
	c.mustCheck(3, 4*time.Second, false)
	c.wantSelected(2)
}

func TestRestartExpires(t *testing.T) {
	c := newClient(t, NewAgent(Config{}, at(0)))
	c.mustCheck(1, 0, true)
	c.agent.Restart(at(0))
	if _, err := c.check(1, 29*time.Second, true); err != nil {
		t.Fatal(err)
	}
	if _, err := c.check(1, 30*time.Second, true); !errors.Is(err, ErrUnauthenticated) {
		t.Fatal(err)
	}
	c.wantSelected(1)
}

func TestForget(t *testing.T) {
	c := newClient(t, NewAgent(Config{}, at(0)))
	c.mustCheck(2, 0, true)
	c.mustCheck(1, time.Millisecond, false)
	c.mustCheck(3, 2*time.Millisecond, false)
	if c.agent.Forget(path(1)) || c.agent.Forget(path(9)) {
		t.Fatal("reported a change")
	}
	if !c.agent.Forget(path(2)) {
		t.Fatal("change not reported")
	}
	c.wantSelected(3)
	c.agent.Forget(path(3))
	c.wantSelected(0)
}

func TestPathsAreBounded(t *testing.T) {
	c := newClient(t, NewAgent(Config{}, at(0)))
	c.mustCheck(0, 0, true)
	for i := range 200 {
		c.mustCheck(1+i, time.Duration(i+1)*time.Millisecond, false)
	}
	c.wantPath(path(0))
	if len(c.agent.table) != maxPaths || c.agent.table.find(path(0)) == nil || c.agent.table.find(path(200)) == nil {
		t.Fatalf("%d paths", len(c.agent.table))
	}
}

func (c *client) wantPath(p Path) {
	c.t.Helper()
	if got, ok := c.agent.Selected(); !ok || got != p {
		c.t.Fatalf("selected %v", got)
	}
}

// Whatever happens: a nominated path that was never nominated before becomes the selected one, the selected path is in
// the table, and the table is bounded.
func TestAgentProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClient(t, NewAgent(Config{}, at(0)))
		now := time.Duration(0)
		nominated := map[int]bool{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond
			before, had := c.agent.Selected()
			changed := false
			switch rapid.IntRange(0, 12).Draw(t, "what") {
			case 0:
				c.agent.Restart(at(now))
				if rapid.Bool().Draw(t, "told") {
					c.learn()
				}
			case 1:
				changed = c.agent.Forget(path(rapid.IntRange(1, 40).Draw(t, "gone")))
			case 2:
				c.agent.Touch(at(now))
			default:
				n, nominate := rapid.IntRange(1, 40).Draw(t, "path"), rapid.Bool().Draw(t, "nominate")
				var err error
				changed, err = c.check(n, now, nominate)
				current, _ := c.agent.Credentials()
				if err == nil && nominate && c.ufrag == current && !nominated[n] {
					nominated[n] = true
					c.wantPath(path(n))
				}
			}
			after, has := c.agent.Selected()
			if changed != (had != has || before != after) {
				t.Fatalf("changed %v: %v %v to %v %v", changed, before, had, after, has)
			}
			if has && c.agent.table.find(after) == nil || len(c.agent.table) > maxPaths {
				t.Fatalf("table %v without %v", c.agent.table, after)
			}
			if has && c.agent.State(at(now)) < Connected {
				t.Fatal("selected and not connected")
			}
		}
	})
}

// Checks come every second from thousands of clients.
func TestCheckDoesNotAllocate(t *testing.T) {
	a := NewAgent(Config{}, 0)
	ufrag, pwd := a.Credentials()
	raw := stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ufrag+":them"), priority(1),
		useCandidate{}, stun.NewShortTermIntegrity(pwd), stun.Fingerprint).Raw
	reply := make([]byte, 0, ReplyLen)
	var m Message
	if n := testing.AllocsPerRun(100, func() {
		if Parse(raw, &m) != nil {
			t.Fatal("parse")
		}
		if _, _, err := a.HandleBinding(&m, path(1), 1, reply); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkHandleBinding(b *testing.B) {
	a := NewAgent(Config{}, 0)
	ufrag, pwd := a.Credentials()
	raw := stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ufrag+":them"), priority(1),
		useCandidate{}, stun.NewShortTermIntegrity(pwd), stun.Fingerprint).Raw
	reply := make([]byte, 0, ReplyLen)
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if Parse(raw, &m) != nil {
			b.Fatal("parse")
		}
		if _, _, err := a.HandleBinding(&m, path(1), 1, reply); err != nil {
			b.Fatal(err)
		}
	}
}
