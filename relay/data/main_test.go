package data

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/pion/sctp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lossy drops the packets written to it for which drop is true.
type lossy struct {
	net.Conn
	drop func(packet []byte) bool
}

func (l *lossy) Write(b []byte) (int, error) {
	if l.drop(b) {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

// end is an association under test and what its handlers saw.
type end struct {
	*Association
	conn net.Conn

	mu       sync.Mutex
	ready    int
	opened   []*Channel
	closed   []*Channel
	messages []received
	err      error
}

type received struct {
	Label, Data string
	Text        bool
}

// newEnd starts an association over conn whose handlers note what happens. In a synctest bubble it is closed by close.
func newEnd(conn net.Conn, cfg Config) *end {
	e := &end{conn: conn}
	note := func(f func()) {
		e.mu.Lock()
		defer e.mu.Unlock()
		f()
	}
	cfg.Conn = conn
	cfg.OnReady = func() { note(func() { e.ready++ }) }
	cfg.OnOpen = func(c *Channel) { note(func() { e.opened = append(e.opened, c) }) }
	cfg.OnClose = func(c *Channel) { note(func() { e.closed = append(e.closed, c) }) }
	cfg.OnEnd = func(err error) { note(func() { e.err = err }) }
	onMessage := cfg.OnMessage
	cfg.OnMessage = func(c *Channel, m []byte, text bool) {
		note(func() { e.messages = append(e.messages, received{c.Label(), string(m), text}) })
		if onMessage != nil {
			onMessage(c, m, text)
		}
	}
	e.Association = New(cfg)
	return e
}

// take returns the messages received since it was last called.
func (e *end) take() []received {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.messages
	e.messages = nil
	return m
}

func (e *end) openings() (opened, closed []*Channel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.opened, e.closed
}

// state returns how often the association was ready and why it ended.
func (e *end) state() (ready int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ready, e.err
}

func (e *end) close() {
	e.Close()
	_ = e.conn.Close()
}

// bubble runs f with two associations over a pipe, the DTLS client first, established unless SCTP cannot be.
func bubble(t *testing.T, client, server Config, f func(t *testing.T, client, server *end)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		client.Client = true
		x, y := newEnd(a, client), newEnd(b, server)
		synctest.Wait()
		f(t, x, y)
		x.close()
		y.close()
	})
}

// foreign runs f with an association, the DTLS server, whose other end is pion's.
func foreign(t *testing.T, cfg Config, f func(t *testing.T, e *end, theirs *sctp.Association)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		e := newEnd(a, cfg)
		theirs, err := sctp.ClientWithOptions(sctp.WithNetConn(b), sctp.WithLoggerFactory(silence), sctp.WithMaxMessageSize(1<<20))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f(t, e, theirs)
		e.close()
		_ = theirs.Close()
	})
}
