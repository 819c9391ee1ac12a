package janus

import (
	"context"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
)

// Request is one request of a client.
type Request struct {
	Object  Object
	Source  *Source
	Address netip.Addr // of the client, for bounds on addresses; may be invalid

	far bool // it came to another node
}

// verb handles one kind of request.
type verb func(c *call)

// Requests without a session, and those to a session or handle.
var (
	topVerbs = map[string]verb{
		"info": (*call).info, "ping": (*call).ping, "create": (*call).create,
	}
	sessionVerbs = map[string]verb{
		"keepalive": (*call).keepalive, "attach": (*call).attach, "destroy": (*call).destroy, "claim": (*call).claim,
		"detach": (*call).detach, "hangup": (*call).hangup, "message": (*call).message, "trickle": (*call).trickle,
	}
)

// What every request, and the attach request, must look like. Clients' requests are looked at for the id that create
// takes whatever they ask for, as Janus does.
var (
	envelope = [...]Param{
		{Name: "transaction", Type: String, Required: true},
		{Name: "janus", Type: String, Required: true},
		{Name: "id", Type: PosInt},
	}
	adminEnvelope = envelope[:2]
	attachParams  = [...]Param{
		{Name: "plugin", Type: String, Required: true},
		{Name: "opaque_id", Type: String},
		{Name: "loop_index", Type: PosInt},
	}
)

// maxOpaqueID bounds the texts of a client's that are kept with a handle, bytes.
const maxOpaqueID = 4096

// call is one request while it is handled.
type call struct {
	Request
	ctx         context.Context
	server      *Server
	name        string // the verb as the client wrote it
	sessionID   uint64 // 0 for none
	handleID    uint64 // 0 for none
	transaction *string
	session     *Session
	handle      *Handle // nil when the request is to the session
	reply       func([]byte)
	answered    atomic.Bool
}

// Handle handles one request. Reply is called exactly once, perhaps after Handle returned and from another goroutine,
// and must not block. Handle waits while too many messages wait for the same handle, at most until ctx is done; that
// is what slows a client down that sends faster than it is served.
func (s *Server) Handle(ctx context.Context, r Request, reply func(response []byte)) {
	c := &call{Request: r, ctx: ctx, server: s, reply: reply}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		s.metrics.Panics.Add(1)
		log := s.log
		if c.session != nil {
			log = c.session.log
		}
		log.Error("panic in a request", "panic", p, "verb", c.name, "stack", string(debug.Stack()))
		if !c.answered.Load() {
			c.answer(fail(CodeUnknown, "Internal error"))
		}
		if c.session != nil {
			s.end(c.session, endTimeout)
		}
	}()
	c.serve()
}

// serve does the checks in Janus's order and calls the verb.
func (c *call) serve() {
	o, s := c.Object, c.server
	c.sessionID, c.handleID = o.id("session_id"), o.id("handle_id")
	if err := o.Check(envelope[:]...); err != nil {
		c.answer(failure(elementError(err)))
		return
	}
	transaction := o.String("transaction")
	c.transaction = &transaction
	c.name = o.String("janus")
	name := strings.ToLower(c.name)
	s.metrics.request(name)
	if c.sessionID == 0 && c.handleID == 0 {
		if f := topVerbs[name]; f != nil {
			f(c)
			return
		}
		c.misplaced()
		return
	}
	if c.sessionID == 0 {
		c.answer(fail(CodeNoSession, "Invalid session"))
		return
	}
	if v := o["handle_id"]; c.handleID == 0 && is(v, Int) {
		c.answer(fail(CodeNoHandle, "Invalid handle"))
		return
	}
	if !c.admitted() {
		return
	}
	if c.session = s.find(c.sessionID); c.session == nil {
		if c.elsewhere(name) {
			return
		}
		if c.session == nil {
			c.unknownSession()
			return
		}
	}
	c.session.touch()
	if c.handleID != 0 {
		if c.handle = c.session.handle(c.handleID); c.handle == nil {
			c.answer(fail(CodeNoHandle, "No such handle %d in session %d", c.handleID, c.sessionID))
			return
		}
	}
	if f := sessionVerbs[name]; f != nil {
		f(c)
		return
	}
	c.answer(fail(CodeUnknownRequest, "Unknown request '%.64s'", c.name))
}

// admitted checks secret and token, and answers if neither will do.
func (c *call) admitted() bool {
	if c.server.Admits(c.Object.String("apisecret"), c.Object.String("token")) {
		return true
	}
	c.answer(fail(CodeUnauthorized, "Unauthorized request (wrong or missing secret/token)"))
	return false
}

// Admits tells whether a request with this secret or token may pass.
func (s *Server) Admits(secret, token string) bool { return s.auth.admit(secret, token) }

// answer sends the response.
func (c *call) answer(m *message) {
	m.Session, m.Transaction = c.sessionID, c.transaction
	c.send(m)
}

func (c *call) send(m *message) {
	if m.Error != nil {
		c.server.metrics.failed(m.Error.Code)
	}
	b, err := m.encode()
	if err != nil { // only what a plugin returned can be at fault
		c.server.log.Error("reply not encodable", "session", c.sessionID, "handle", c.handleID, "error", err)
		e := fail(CodePluginMessage, "Plugin's reply is not JSON")
		e.Session, e.Transaction = m.Session, m.Transaction
		b, _ = e.encode()
	}
	c.respond(b)
}

func (c *call) respond(b []byte) {
	c.answered.Store(true)
	c.reply(b)
}

func (c *call) success() { c.answer(&message{Janus: "success"}) }

// misplaced answers a request that does not belong at this level.
func (c *call) misplaced() {
	c.answer(fail(CodeInvalidPath, "Unhandled request '%.64s' at this path", c.name))
}

func (c *call) info() {
	b, err := encode(c.server.info(c.transaction))
	if err != nil {
		c.answer(fail(CodeUnknown, "Internal error"))
		return
	}
	c.respond(b)
}

func (c *call) ping() { c.answer(&message{Janus: "pong"}) }

func (c *call) create() {
	s := c.server
	if err := s.accepting(); err != nil {
		s.metrics.SessionsRefused.Add(1)
		s.log.Info("session refused", "error", err)
		c.answer(fail(CodeNotAccepting, "Currently not accepting new sessions"))
		return
	}
	if !c.admitted() {
		return
	}
	if !s.limits.allow(c.Address, time.Now()) {
		s.metrics.SessionsRefused.Add(1)
		c.answer(fail(CodeNotAccepting, "Too many new sessions from your address"))
		return
	}
	id, _ := c.Object.Uint("id")
	if id != 0 && s.cfg.Mesh != nil && s.find(id) == nil && !s.cfg.Mesh.Own(c.ctx, id, true) {
		c.sessionID = id
		c.answer(failure(errorf(CodeSessionConflict, "Session ID already in use")))
		return
	}
	x, err := s.create(id, c.Source)
	if err != nil {
		if err.Code == CodeSessionConflict {
			c.sessionID = id
		} else if id != 0 && s.cfg.Mesh != nil {
			s.cfg.Mesh.Disown(id)
		}
		c.answer(failure(err))
		return
	}
	x.client.Store(&c.Address)
	x.reportCreated(c.Source)
	if id == 0 && s.cfg.Mesh != nil {
		s.cfg.Mesh.Own(c.ctx, x.id, false)
	}
	x.log.Debug("session created", "address", c.Address, "transport", c.Source.Transport())
	c.answer(&message{Janus: "success", Data: identity{x.id}})
}

// identity is the data of the replies to create and attach.
type identity struct {
	ID uint64 `json:"id"`
}

func (c *call) keepalive() { c.answer(&message{Janus: "ack"}) }

func (c *call) attach() {
	if c.handle != nil {
		c.misplaced()
		return
	}
	if err := c.Object.Check(attachParams[:]...); err != nil {
		c.answer(failure(elementError(err)))
		return
	}
	name, token := c.Object.String("plugin"), c.Object.String("token")
	p := c.server.plugins[name]
	if p == nil {
		c.answer(fail(CodeNoPlugin, "No such plugin '%.128s'", name))
		return
	}
	if !c.server.auth.allows(token, name) {
		c.answer(fail(CodeForbiddenPlugin, "Provided token can't access plugin '%s'", name))
		return
	}
	opaque := c.Object.String("opaque_id")
	if len(opaque) > maxOpaqueID {
		c.answer(fail(CodeInvalidElement, "Invalid element value (opaque_id is longer than %d bytes)", maxOpaqueID))
		return
	}
	if len(token) > maxOpaqueID {
		token = "" // no token that was checked is that long, and this is for show only
	}
	h, fault := c.session.attach(p, opaque, token)
	if fault != nil {
		c.answer(failure(fault))
		return
	}
	h.log.Debug("handle attached", "plugin", name)
	c.answer(&message{Janus: "success", Data: identity{h.id}})
}

func (c *call) destroy() {
	if c.handle != nil {
		c.misplaced()
		return
	}
	c.server.end(c.session, endDestroyed)
	c.success()
}

func (c *call) claim() {
	if !c.session.claim(c.Source, c.success) {
		c.unknownSession()
		return
	}
	c.session.client.Store(&c.Address)
	c.server.metrics.SessionsClaimed.Add(1)
}

func (c *call) detach() {
	if c.handle == nil {
		c.misplaced()
		return
	}
	c.success()
	c.session.detach(c.handle)
}

func (c *call) hangup() {
	if c.handle == nil {
		c.misplaced()
		return
	}
	c.success()
	c.handle.HangUp("Janus API")
}

func (c *call) message() {
	if c.handle == nil {
		c.misplaced()
		return
	}
	if err := c.Object.Check(Param{Name: "body", Type: Objects, Required: true}); err != nil {
		c.answer(failure(elementError(err)))
		return
	}
	m := &Message{Transaction: *c.transaction, Body: c.Object.Object("body"), Token: c.Object.String("token")}
	jsep := c.Object["jsep"]
	if err := c.handle.request(c.ctx, func(ctx context.Context) { c.handle.message(ctx, m, jsep, c.answer) }); err != nil {
		c.answer(fail(CodeNoHandle, "No such handle %d in session %d", c.handleID, c.sessionID))
	}
}

func (c *call) trickle() {
	if c.handle == nil {
		c.misplaced()
		return
	}
	c.answer(c.handle.trickle(c.Object))
}
