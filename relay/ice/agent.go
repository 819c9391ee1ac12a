package ice

import (
	"errors"
	"net/netip"
	"time"
)

// Path is one way to a client: where it sends from and what it reaches us by.
type Path struct {
	Remote netip.AddrPort
	Socket int32 // index of the UDP socket; meaningless over TCP
	Conn   *Conn // the TCP connection, nil for UDP
}

// Config holds the times of an [Agent]. Zero values mean the defaults, which are those Janus's clients know.
type Config struct {
	// CompleteTimeout is how long after the start ICE may go without any check before it has failed, if the client
	// said that it has no more candidates. Shorter gives up on slow mobile clients, longer keeps dead peers.
	// Default 5 s.
	CompleteTimeout time.Duration
	// ConnectTimeout is how long after the start a path must have been selected in any case. Default 15 s.
	ConnectTimeout time.Duration
	// DisconnectTimeout is the silence after which a connected client counts as disconnected. Browsers check a good
	// path every 2.5 s, so less than 5 s reports what is none. Default 5 s.
	DisconnectTimeout time.Duration
	// FailTimeout is how long a client may stay disconnected before ICE has failed. It is the time a client has for
	// changing its network. Default 15 s.
	FailTimeout time.Duration
	// NominateTimeout is how long valid checks may come in without a nomination before the best path is selected all
	// the same. Default 2 s.
	NominateTimeout time.Duration
	// RestartTimeout is how long the former credentials stay valid after a restart if nothing is selected with the
	// new ones. Default 30 s.
	RestartTimeout time.Duration
}

// withDefaults returns the configuration with zero values replaced.
func (c Config) withDefaults() Config {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&c.CompleteTimeout, 5*time.Second)
	set(&c.ConnectTimeout, 15*time.Second)
	set(&c.DisconnectTimeout, 5*time.Second)
	set(&c.FailTimeout, 15*time.Second)
	set(&c.NominateTimeout, 2*time.Second)
	set(&c.RestartTimeout, 30*time.Second)
	return c
}

// State is where ICE stands.
type State uint8

// The states of an [Agent].
const (
	New          State = iota // the remote credentials are not known
	Checking                  // no path is selected yet
	Connected                 // a path is selected and the client was heard lately
	Disconnected              // a path is selected and the client is silent
	Failed                    // given up, though a check that comes after all still connects
)

// String names the state as the W3C does.
func (s State) String() string {
	switch s {
	case New:
		return "new"
	case Checking:
		return "checking"
	case Connected:
		return "connected"
	case Disconnected:
		return "disconnected"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// Errors of [Agent.HandleBinding].
var (
	// ErrUnexpected says that the message is no Binding request: a lite agent asks nothing and so expects no answers.
	ErrUnexpected = errors.New("not a binding request")
	// ErrBadRequest says that a check lacks username or integrity.
	ErrBadRequest = errors.New("check without username or integrity")
	// ErrUnauthenticated says that username or integrity are wrong.
	ErrUnauthenticated = errors.New("check with wrong credentials")
	// ErrUnknownAttribute says that a check demands what is not known here.
	ErrUnknownAttribute = errors.New("check with unknown attributes")
	// ErrRoleConflict says that the client believes to be controlled.
	ErrRoleConflict = errors.New("client in the controlled role")
)

// Agent is the node's end of ICE for one client. It is a pure state machine: now is always nanoseconds of one
// monotonic clock. It is not safe for concurrent use.
type Agent struct {
	cfg     Config
	current credentials
	former  credentials // valid during a restart; ufrag is empty otherwise
	remote  credentials // of the client; a lite agent only tells restarts by it

	generation uint32 // counts restarts
	start      int64  // of the present attempt; meaningful if started
	restarted  int64
	firstCheck int64 // the first valid check with the current credentials, or never
	heard      int64 // the last valid check or authenticated packet
	started    bool
	complete   bool

	table    pathTable
	selected Path
	chosen   bool // selected is valid
	settled  bool // it was selected with the current credentials
}

// NewAgent makes an agent with fresh credentials.
func NewAgent(cfg Config, now int64) *Agent {
	return &Agent{cfg: cfg.withDefaults(), current: newCredentials(), start: now, heard: now, firstCheck: never}
}

// Credentials returns the local ufrag and password; after a restart, the new ones.
func (a *Agent) Credentials() (ufrag, pwd string) { return a.current.ufrag, a.current.pwd }

// Former returns the local ufrag from before a restart as long as checks with it are still accepted, else "". Whoever
// keeps a table of ufrags should look from time to time.
func (a *Agent) Former(now int64) string {
	if a.former.ufrag != "" && now-a.restarted >= int64(a.cfg.RestartTimeout) {
		a.former = credentials{}
	}
	return a.former.ufrag
}

// Restart makes new credentials (RFC 8445 section 9). The former ones, and the path selected with them, stay valid
// until a path has been selected with the new ones, or until Config.RestartTimeout.
func (a *Agent) Restart(now int64) (ufrag, pwd string) {
	if a.former.ufrag == "" || a.firstCheck != never {
		a.former = a.current
	} // else the client never used the current ones, and those before them stay the former ones
	a.current = newCredentials()
	a.generation++
	a.restarted, a.start = now, now
	a.firstCheck = never
	a.complete, a.settled = false, false
	return a.Credentials()
}

// SetRemote tells the client's credentials, with which the attempt to connect starts. Repeating the present ones
// changes nothing.
func (a *Agent) SetRemote(ufrag, pwd string, now int64) {
	if a.started && a.remote.ufrag == ufrag && a.remote.pwd == pwd {
		return
	}
	a.remote = credentials{ufrag: ufrag, pwd: pwd}
	a.start, a.started, a.complete = now, true, false
}

// SetComplete says that the client has no more candidates to offer, so that failure may be declared earlier.
func (a *Agent) SetComplete() { a.complete = true }

// Touch says that an authenticated packet of the client came in, which proves its consent to receive (RFC 7675) as
// well as a check does.
func (a *Agent) Touch(now int64) { a.heard = max(a.heard, now) }

// Heard returns when the last valid check or authenticated packet came, on the clock that all calls are told.
func (a *Agent) Heard() int64 { return a.heard }

// Selected returns the path to send on.
func (a *Agent) Selected() (Path, bool) { return a.selected, a.chosen }

// Forget drops a path that is no more, as when its TCP connection was closed. If it was the selected one, the last
// heard of the others takes its place until the client nominates; changed tells whether Selected changed.
func (a *Agent) Forget(p Path) (changed bool) {
	a.table.remove(p)
	if !a.chosen || a.selected != p {
		return false
	}
	a.selected, a.chosen, a.settled = Path{}, false, false
	if e := a.table.latest(); e != nil {
		a.selected, a.chosen = e.path, true
	} else { // the client has the time of a new attempt for finding another one
		a.start, a.complete = max(a.start, a.heard), false
	}
	return true
}

// State tells where ICE stands. Before a path is selected it is failed after Config.ConnectTimeout, or after
// Config.CompleteTimeout if the client has no more candidates and no check came for as long; afterwards, when nothing
// was heard for DisconnectTimeout and then FailTimeout more. Failed is not final: see [Agent.HandleBinding].
func (a *Agent) State(now int64) State {
	if a.chosen {
		silence := now - a.heard
		if a.generation > 0 && silence > int64(a.cfg.DisconnectTimeout) {
			// A restart gives a silent client its time anew, but does not make it connected.
			silence = max(now-max(a.heard, a.restarted), int64(a.cfg.DisconnectTimeout))
		}
		switch {
		case silence < int64(a.cfg.DisconnectTimeout):
			return Connected
		case silence < int64(a.cfg.DisconnectTimeout+a.cfg.FailTimeout):
			return Disconnected
		}
		return Failed
	}
	if !a.started {
		return New
	}
	elapsed := now - a.start
	quiet := a.firstCheck == never || now-a.heard >= int64(a.cfg.CompleteTimeout)
	if elapsed >= int64(a.cfg.ConnectTimeout) || a.complete && quiet && elapsed >= int64(a.cfg.CompleteTimeout) {
		return Failed
	}
	return Checking
}

// HandleBinding takes a parsed message that came by the given path. The reply to send back there is appended to reply
// (see [ReplyLen]); resp is nil if there is none. changed says that Selected returns another path now. The error tells
// why a message was refused, which may well come with a reply; it is for counting, and no reason to close anything,
// because anybody may send such messages.
//
// It must be called with Binding requests and indications whose username names this agent (see [Username]). Checks
// are welcome in every state, also before SetRemote and after Failed.
func (a *Agent) HandleBinding(m *Message, from Path, now int64, reply []byte) (resp []byte, changed bool, err error) {
	if m.Method == MethodBinding && m.Class == Indication {
		return nil, false, nil // a keepalive, which proves nothing
	}
	if m.Method != MethodBinding || m.Class != Request {
		return nil, false, ErrUnexpected
	}
	local, _ := Username(m)
	if len(local) == 0 || !m.HasIntegrity() {
		return AppendFailure(reply, m, CodeBadRequest, nil), false, ErrBadRequest
	}
	cred := &a.current
	if string(local) != cred.ufrag && string(local) == a.Former(now) {
		cred = &a.former
	}
	if string(local) != cred.ufrag || !m.Authentic(cred.key) {
		return AppendFailure(reply, m, CodeUnauthenticated, nil), false, ErrUnauthenticated
	}
	if m.unknowns > 0 {
		return AppendFailure(reply, m, CodeUnknownAttribute, cred.key), false, ErrUnknownAttribute
	}
	if m.Controlled {
		// A lite agent is always controlled (RFC 8445 section 6.1.1): the client has to give way.
		return AppendFailure(reply, m, CodeRoleConflict, cred.key), false, ErrRoleConflict
	}
	resp = AppendSuccess(reply, m, from.Remote, cred.key)
	return resp, a.check(m, from, cred == &a.current, now), nil
}

// check takes note of a valid check and decides whether it changes the selected path.
func (a *Agent) check(m *Message, from Path, current bool, now int64) (changed bool) {
	a.heard = max(a.heard, now)
	e := a.table.touch(from, m.Priority, now, a.selected, a.chosen)
	if !current {
		// The client still speaks of the time before the restart: its word counts until it speaks of the new one.
		if e.generation != a.generation {
			e.generation = a.generation - 1
		}
		return m.UseCandidate && a.firstCheck == never && a.nominate(e, now)
	}
	if a.firstCheck == never {
		a.firstCheck = now
	}
	e.generation = a.generation
	switch {
	case m.UseCandidate:
		changed = a.nominate(e, now)
	case !a.settled && now-a.firstCheck >= int64(a.cfg.NominateTimeout):
		// Valid checks for a while and no nomination: take the best there is.
		changed = a.choose(a.table.best(a.generation, now-int64(a.cfg.NominateTimeout)))
	case a.moved(e, now):
		changed = a.choose(e)
	default:
		return false
	}
	if !a.settled {
		a.settled, a.former = true, credentials{}
		a.table.prune(a.generation)
	}
	return changed
}

// nominate obeys a USE-CANDIDATE. The latest one counts, since clients nominate anew when their network changes. But a
// client that nominates several paths in turn (aggressive nomination, RFC 5245 section 8.1.1.2) means the one of the
// highest priority.
func (a *Agent) nominate(e *pathEntry, now int64) (changed bool) {
	before := e.nominated
	e.nominated = now
	if a.chosen && a.selected != e.path {
		s := a.table.find(a.selected)
		inTurn := s != nil && before != never && s.nominated >= before && now-before < int64(nominationWindow)
		if inTurn && s.generation == e.generation && s.priority > e.priority {
			return false
		}
	}
	return a.choose(e)
}

// moved tells whether the client sends from elsewhere now without saying so, as behind a NAT that forgot it: not every
// client nominates with each check. On the selected path nothing came for long, or, where the client's candidate is the same,
// since the other one was first heard.
func (a *Agent) moved(e *pathEntry, now int64) bool {
	if !a.settled || !a.chosen || a.selected == e.path {
		return false
	}
	s := a.table.find(a.selected)
	return s == nil || now-s.heard >= int64(a.cfg.DisconnectTimeout) ||
		e.priority == s.priority && e.first > s.heard && e.first < now
}

func (a *Agent) choose(e *pathEntry) (changed bool) {
	changed = !a.chosen || a.selected != e.path
	a.selected, a.chosen = e.path, true
	return changed
}
