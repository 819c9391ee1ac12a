package janus

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds on what a handle may have waiting.
const (
	// maxRequests is the number of a client's messages to one handle that wait for their turn; more slow the
	// connection's reader down.
	maxRequests = 32
	// maxTasks is the number of all things that wait for their turn. A handle that is so far behind is stuck, and its
	// session is ended.
	maxTasks = 4096
	// taskTime bounds each call of a plugin.
	taskTime = 30 * time.Second
)

// Handle is a client's attachment to a plugin. All its methods are safe for concurrent use, but those that touch the
// PeerConnection (Answer, Offer, Accept, Publish, Subscribe) only make sense in order: call them from the methods of
// the handle's [Instance] or from a function given to [Handle.Do].
type Handle struct {
	id       uint64
	session  *Session
	plugin   *installed
	opaque   string
	token    string
	created  time.Time
	log      *slog.Logger
	instance Instance      // set once, before the handle is in its session's map
	requests chan struct{} // one token a client's message that waits; its capacity is the bound
	place    atomic.Pointer[place]
	kept     lastSnapshot

	mu      sync.Mutex
	tasks   []func(context.Context) // waiting, guarded by mu
	running bool                    // a goroutine works on the tasks, guarded by mu
	closed  bool                    // no more tasks are taken, guarded by mu

	peer peer
}

// ID returns the handle's id, unique in its session.
func (h *Handle) ID() uint64 { return h.id }

// Session returns the session that the handle belongs to.
func (h *Handle) Session() *Session { return h.session }

// OpaqueID returns the opaque id that the client attached with, "" for none.
func (h *Handle) OpaqueID() string { return h.opaque }

// Token returns the token that the client attached with, "" for none.
func (h *Handle) Token() string { return h.token }

// Created returns when the handle was attached.
func (h *Handle) Created() time.Time { return h.created }

// Log returns a logger that says which session and handle it is about.
func (h *Handle) Log() *slog.Logger { return h.log }

// Push sends an event with data to the session's client; transaction is that of the request it answers, "" if it
// answers none, and jsep is nil without one. It never blocks. Data must be encodable as JSON; what is not, or comes
// after the session is over, is dropped.
func (h *Handle) Push(transaction string, data any, jsep *JSEP) {
	h.notify(&message{Janus: "event", Transaction: optional(transaction), PluginData: h.pluginData(data), JSEP: jsep.wire()})
}

// Do runs f in the handle's turn, after everything that happened to the handle before: it is how one participant's
// goroutine touches another's handle. It returns at once; false says that the handle is gone and f will not run.
func (h *Handle) Do(f func(ctx context.Context)) bool {
	return h.enqueue(func(ctx context.Context) {
		defer h.changed()
		f(ctx)
	})
}

// TokensSigned tells whether the server checks signed tokens.
func (h *Handle) TokensSigned() bool { return h.session.server.auth.signed() }

// SignedToken tells whether token is valid and was signed for this handle's plugin with the given descriptor, such as
// "room=1234".
func (h *Handle) SignedToken(token, descriptor string) bool {
	return h.session.server.auth.verify(token, h.plugin.info.Package, descriptor)
}

func (h *Handle) pluginData(data any) *pluginData {
	return &pluginData{Plugin: h.plugin.info.Package, Data: data}
}

// notify sends an event of this handle to the session's client.
func (h *Handle) notify(m *message) {
	h.session.push(h.event(m))
}

// event encodes an event of this handle; nil when it cannot be.
func (h *Handle) event(m *message) []byte {
	m.Session, m.Sender = h.session.id, h.id
	if h.session.server.cfg.OpaqueIDInAPI {
		m.OpaqueID = h.opaque
	}
	b, err := m.encode()
	if err != nil {
		h.log.Error("event dropped", "error", err)
		return nil
	}
	return b
}

// enqueue adds a task to the handle's turn. False says that the handle takes none any more.
func (h *Handle) enqueue(task func(context.Context)) bool {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return false
	}
	stuck := len(h.tasks) >= maxTasks
	if !stuck {
		h.add(task)
	}
	h.mu.Unlock()
	if stuck {
		h.log.Error("handle does not keep up, ending its session", "waiting", maxTasks)
		h.session.server.end(h.session, endTimeout)
	}
	return !stuck
}

// add appends a task and starts the goroutine if there is none. Called with mu held.
func (h *Handle) add(task func(context.Context)) {
	h.tasks = append(h.tasks, task)
	if !h.running {
		h.running = true
		h.session.server.work.Add(1)
		go h.drain()
	}
}

// request enqueues a client's message, waiting while too many others wait.
func (h *Handle) request(ctx context.Context, task func(context.Context)) error {
	select {
	case h.requests <- struct{}{}:
	default:
		h.session.server.metrics.Waits.Add(1)
		select {
		case h.requests <- struct{}{}:
		case <-h.session.ctx.Done():
			return errHandle
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if !h.enqueue(func(ctx context.Context) {
		defer func() { <-h.requests }()
		task(ctx)
	}) {
		<-h.requests
		return errHandle
	}
	return nil
}

// drain works on the tasks until there are none.
func (h *Handle) drain() {
	defer h.session.server.work.Done()
	for {
		h.mu.Lock()
		if len(h.tasks) == 0 {
			h.tasks = nil // an idle handle keeps no queue
			h.running = false
			h.mu.Unlock()
			return
		}
		task := h.tasks[0]
		h.tasks[0] = nil
		h.tasks = h.tasks[1:]
		h.mu.Unlock()
		h.run(task)
	}
}

// run calls one task. A panic ends the session, nothing else.
func (h *Handle) run(task func(context.Context)) {
	ctx, cancel := context.WithTimeout(h.session.ctx, taskTime)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			h.session.server.metrics.Panics.Add(1)
			h.log.Error("panic, ending the session", "panic", r, "plugin", h.plugin.info.Package, "stack", string(debug.Stack()))
			h.session.server.end(h.session, endTimeout)
		}
	}()
	task(ctx)
}

// close detaches the handle in its turn, or leaves it to another node, and then calls done. Tasks that come after are
// refused; those that wait already come first.
func (h *Handle) close(moved bool, done func()) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	h.add(func(context.Context) {
		// The session's context may be cancelled already, and what is to be done still has to be.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(h.session.ctx), taskTime)
		defer cancel()
		defer done()
		if p, ok := h.instance.(Portable); ok && moved {
			h.release(ctx, p)
			return
		}
		defer h.notify(&message{Janus: "detached"})
		defer h.reportHandle("detached")
		defer h.instance.Detach(ctx)
		h.hangup(ctx, "", false)
	})
	h.mu.Unlock()
}

// abandon detaches a handle that no client ever knew of.
func (h *Handle) abandon() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.session.ctx), taskTime)
	defer cancel()
	h.instance.Detach(ctx)
}

// message passes one message to the plugin and answers it. It runs in the handle's turn.
func (h *Handle) message(ctx context.Context, m *Message, jsep any, answer func(*message)) {
	defer h.changed()
	failed := true // until answered: a panic is answered too
	defer func() {
		if failed {
			answer(fail(CodeUnknown, "Internal error"))
		}
	}()
	if jsep != nil {
		var err *Error
		if m.JSEP, err = h.receive(ctx, jsep); err != nil {
			failed = false
			answer(failure(err))
			return
		}
		h.reportJSEP("remote", m.JSEP)
	}
	data, handled := h.instance.Sync(ctx, m)
	failed = false
	if handled {
		r := &message{Janus: "success", Sender: h.id, PluginData: h.pluginData(data)}
		if h.session.server.cfg.OpaqueIDInAPI {
			r.OpaqueID = h.opaque
		}
		answer(r)
		return
	}
	answer(&message{Janus: "ack", Hint: h.plugin.info.Hint})
	h.instance.Async(ctx, m)
}
