package janus

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
)

// AdminPlugin is a [Plugin] that answers requests of the admin API (message_plugin).
type AdminPlugin interface {
	Plugin
	// Admin answers one request; body is nil when the operator sent none. It is safe for concurrent use.
	Admin(ctx context.Context, body Object) any
}

// AdminConfig is what an [Admin] is made of.
type AdminConfig struct {
	// Secret must come with every request ("admin_secret") but info and ping. It must be set: the admin API shows and
	// ends everybody's calls.
	Secret string
	// Level is the level of the node's log, which set_log_level changes. nil means that it cannot be changed.
	Level *slog.LevelVar
	// Transports answer query_transport, by the package names of the transports.
	Transports map[string]func(request Object) any
	// EventHandlers are what query_eventhandler reaches, by the package names of event handlers.
	EventHandlers map[string]EventHandler
	// STUN asks a STUN server (RFC 8489) for the address that it sees this node at, from a local port or from any if
	// that is 0. nil makes test_stun fail.
	STUN func(ctx context.Context, server netip.AddrPort, localPort uint16) (netip.AddrPort, error)
}

// Admin is Janus's admin API: an operator's view of a [Server], and what an operator can do to it. A transport gives
// requests to [Admin.Handle]; no events come of them. Safe for concurrent use.
//
// Everything that Janus lets an operator ask is answered. What this server does not have (captures of packets,
// loggers) is refused in Janus's words, and settings it has fixed are told as they are, whatever the request
// wanted them to be.
type Admin struct {
	server *Server
	cfg    AdminConfig
	level  atomic.Int64 // Janus's, as last set
	switches
}

// NewAdmin makes the admin API of a server.
func NewAdmin(s *Server, cfg AdminConfig) (*Admin, error) {
	if cfg.Secret == "" {
		return nil, errors.New("janus: no admin secret")
	}
	a := &Admin{server: s, cfg: cfg}
	a.level.Store(janusLevel(cfg.Level))
	a.timestamps.Store(true)
	a.colors.Store(true)
	return a, nil
}

// adminVerb is one kind of request.
type adminVerb struct {
	params []Param
	run    func(c *adminCall) (object, *Error)
}

type object = map[string]any

// The requests without a session, those to a session and those to a handle. info and ping are not among them: they need
// no secret.
var (
	adminTopVerbs     = merge(settingVerbs, queryVerbs, tokenVerbs)
	adminSessionVerbs = map[string]adminVerb{
		"destroy_session":     {nil, (*adminCall).destroySession},
		"set_session_timeout": {[]Param{{Name: "timeout", Type: Int, Required: true}}, (*adminCall).setOneTimeout},
		"list_handles":        {nil, (*adminCall).listHandles},
	}
	adminHandleVerbs = map[string]adminVerb{
		"detach_handle":   {nil, (*adminCall).detachHandle},
		"hangup_webrtc":   {nil, (*adminCall).hangupWebRTC},
		"handle_info":     {[]Param{{Name: "plugin_only", Type: Bool}}, (*adminCall).handleInfo},
		"start_pcap":      {captureParams, (*adminCall).startCapture},
		"start_text2pcap": {captureParams, (*adminCall).startCapture},
		"stop_pcap":       {nil, (*adminCall).stopCapture},
		"stop_text2pcap":  {nil, (*adminCall).stopCapture},
	}
)

func merge(tables ...map[string]adminVerb) map[string]adminVerb {
	all := map[string]adminVerb{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

// adminCall is one request while it is handled.
type adminCall struct {
	Object
	ctx                 context.Context
	admin               *Admin
	server              *Server
	name                string // the verb as the operator wrote it
	sessionID, handleID uint64 // 0 for none
	transaction         *string
	session             *Session // nil when the request is to the server
	handle              *Handle  // nil when the request is not to a handle
}

// Gone does nothing: no session belongs to a connection of the admin API.
func (a *Admin) Gone(*Source) {}

// Handle handles one request and calls reply exactly once before it returns. It may wait for the media plane or the
// network, at most until ctx is done.
func (a *Admin) Handle(ctx context.Context, r Request, reply func(response []byte)) {
	c := &adminCall{Object: r.Object, ctx: ctx, admin: a, server: a.server}
	a.server.metrics.AdminRequests.Add(1)
	reply(c.answer(r.Address))
}

// answer returns the reply to the request.
func (c *adminCall) answer(from netip.Addr) (b []byte) {
	defer func() {
		if p := recover(); p != nil {
			c.server.metrics.Panics.Add(1)
			c.server.log.Error("panic in an admin request", "panic", p, "verb", c.name, "stack", string(debug.Stack()))
			b = c.failure(errorf(CodeUnknown, "Internal error"))
		}
	}()
	fields, fault := c.serve(from)
	if fault != nil {
		return c.failure(fault)
	}
	if fields["janus"] == nil {
		fields["janus"] = "success"
	}
	fields["transaction"] = c.transaction
	if c.sessionID != 0 {
		fields["session_id"] = c.sessionID
	}
	b, err := encode(fields)
	if err != nil { // only what a plugin returned can be at fault
		c.server.log.Error("admin reply not encodable", "verb", c.name, "error", err)
		return c.failure(errorf(CodePluginMessage, "Plugin's reply is not JSON"))
	}
	return b
}

func (c *adminCall) failure(e *Error) []byte {
	c.server.metrics.failed(e.Code)
	m := failure(e)
	m.Session, m.Transaction = c.sessionID, c.transaction
	b, _ := m.encode() // nothing in it can fail
	return b
}

// serve does the checks in Janus's order and calls the verb.
func (c *adminCall) serve(from netip.Addr) (object, *Error) {
	c.sessionID, c.handleID = c.id("session_id"), c.id("handle_id")
	if err := c.Check(adminEnvelope...); err != nil {
		return nil, elementError(err)
	}
	transaction := c.String("transaction")
	c.transaction = &transaction
	c.name = c.String("janus")
	name := strings.ToLower(c.name)
	top := c.sessionID == 0 && c.handleID == 0
	switch {
	case top && name == "info":
		return c.info()
	case top && name == "ping":
		return object{"janus": "pong"}, nil
	case !top && (c.sessionID == 0 || c.handleID == 0 && is(c.Object["handle_id"], Int)):
		return nil, errorf(CodeNoSession, "Invalid session")
	case !equal(c.String("admin_secret"), c.admin.cfg.Secret):
		c.server.log.Warn("admin request without the secret refused", "verb", c.name, "address", from)
		return nil, errorf(CodeUnauthorized, "Unauthorized request (wrong or missing secret/token)")
	case top:
		return c.call(adminTopVerbs[name])
	}
	if c.session = c.server.find(c.sessionID); c.session == nil {
		return nil, errorf(CodeNoSession, "No such session %d", c.sessionID)
	}
	if c.handleID == 0 {
		return c.call(adminSessionVerbs[name])
	}
	if c.handle = c.session.handle(c.handleID); c.handle == nil {
		return nil, errorf(CodeNoHandle, "No such handle %d in session %d", c.handleID, c.sessionID)
	}
	return c.call(adminHandleVerbs[name])
}

// call checks the request's fields and runs the verb; that of an unknown request is empty.
func (c *adminCall) call(v adminVerb) (object, *Error) {
	if v.run == nil {
		return nil, errorf(CodeInvalidPath, "Unhandled request '%.64s' at this path", c.name)
	}
	if err := c.Check(v.params...); err != nil {
		return nil, elementError(err)
	}
	return v.run(c)
}

// info is the same as in the API of the clients.
func (c *adminCall) info() (object, *Error) {
	b, err := encode(c.server.info(c.transaction))
	if err != nil {
		return nil, errorf(CodeUnknown, "Internal error")
	}
	l, fault := Parse(b)
	if fault != nil {
		return nil, fault
	}
	return l[0], nil
}
