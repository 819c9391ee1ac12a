package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"cardea/signaling/janus"

	"github.com/coder/websocket"
)

// wsConn is one WebSocket connection. One goroutine reads; a second one writes while there is something to write.
type wsConn struct {
	transport *WebSocket
	api       API
	ws        *websocket.Conn
	source    *janus.Source
	remote    netip.Addr
	admin     bool            // it speaks the admin API
	ctx       context.Context // ends with the connection
	cancel    context.CancelFunc
	heard     atomic.Int64 // when something last came, nanoseconds of the Unix clock
	pinging   atomic.Bool

	mu      sync.Mutex
	queue   [][]byte // waiting to be written
	bytes   int      // of the queue
	writing bool     // a goroutine writes the queue
	dead    bool     // nothing more is sent
	leaving bool     // it is closed once the queue is written
}

// run reads requests until the connection is closed.
func (c *wsConn) run() {
	w := c.transport
	w.cfg.Metrics.Connections.Add(1)
	connected(w.cfg.Events, c.source, c.admin, c.remote)
	err := c.read()
	w.cfg.Log.Debug("connection closed", "remote", c.remote, "error", err)
	c.cut()
	w.mu.Lock()
	delete(w.all, c)
	w.mu.Unlock()
	c.api.Gone(c.source)
	disconnected(w.cfg.Events, c.source)
	w.cfg.Metrics.Connections.Add(-1)
}

func (c *wsConn) read() error {
	limiter := c.transport.callers.Load().limiter()
	for {
		b, err := c.message()
		if err != nil {
			return err
		}
		l, fault := janus.Parse(b)
		if fault != nil {
			c.transport.cfg.Metrics.Fault(fault.Code)
			c.send(errorBody(fault))
			l = []janus.Object{nil} // costs as much as a request
		}
		for _, o := range l {
			if !limiter.Allow() {
				c.transport.cfg.Metrics.RateLimited.Add(1)
				if err := limiter.Wait(c.ctx); err != nil {
					return fmt.Errorf("wait to read on: %w", err)
				}
			}
			if o != nil {
				c.api.Handle(c.ctx, janus.Request{Object: o, Source: c.source, Address: c.remote}, c.send)
			}
		}
	}
}

// message reads one message.
func (c *wsConn) message() ([]byte, error) {
	limit := c.transport.cfg.Limits.MaxMessage
	// The connection is closed from outside to end this, which is cheaper than a context that can be cancelled.
	_, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	c.heard.Store(time.Now().UnixNano())
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if int64(len(b)) > limit {
		c.transport.cfg.Metrics.Oversize.Add(1)
		c.refuse(limit)
		return nil, errTooLarge
	}
	return b, nil
}

// refuse tells the client that its message is too large, and closes the connection: the rest of the message is not
// worth reading.
func (c *wsConn) refuse(limit int64) {
	c.mu.Lock()
	c.dead = true // what waits is given up
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(c.ctx, c.transport.cfg.Limits.WriteTimeout)
	defer cancel()
	fault := &janus.Error{Code: janus.CodeInvalidJSON, Reason: fmt.Sprintf("Message larger than %d bytes", limit)}
	if c.ws.Write(ctx, websocket.MessageText, errorBody(fault)) == nil {
		_ = c.ws.Close(websocket.StatusMessageTooBig, "message too large")
	}
}

// send queues a message to the client. It never blocks: a client that is too far behind is cut.
func (c *wsConn) send(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return
	}
	if c.bytes > 0 && c.bytes+len(b) > c.transport.cfg.Limits.MaxQueue {
		c.transport.cfg.Metrics.Cut.Add(1)
		c.transport.cfg.Log.Info("client reads too slowly, connection cut", "remote", c.remote, "waiting", c.bytes)
		c.die()
		return
	}
	c.queue = append(c.queue, b)
	c.bytes += len(b)
	if !c.writing {
		c.writing = true
		c.transport.conns.Go(c.write)
	}
}

// write writes the queue until it is empty.
func (c *wsConn) write() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 || c.dead {
			leave := c.leaving && !c.dead
			c.writing, c.dead = false, c.dead || c.leaving
			c.queue, c.bytes = nil, 0
			c.mu.Unlock()
			if leave {
				_ = c.ws.Close(websocket.StatusServiceRestart, "claim the session at another node") // a client that is gone needs none
				c.cut()
			}
			return
		}
		batch := c.queue
		c.queue = nil
		c.mu.Unlock()
		for _, b := range batch {
			if err := c.writeOne(b); err != nil {
				if errors.Is(err, context.DeadlineExceeded) {
					c.transport.cfg.Metrics.Cut.Add(1)
				}
				c.cut()
				break
			}
			c.mu.Lock()
			c.bytes -= len(b)
			c.mu.Unlock()
		}
	}
}

func (c *wsConn) writeOne(b []byte) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.transport.cfg.Limits.WriteTimeout)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, b)
}

// bye closes the connection when what waits is written.
func (c *wsConn) bye() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || c.leaving {
		return
	}
	c.leaving = true
	if !c.writing {
		c.writing = true
		c.transport.conns.Go(c.write)
	}
}

// cut closes the connection at once.
func (c *wsConn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.die()
}

// die is cut with mu held.
func (c *wsConn) die() {
	if c.ctx.Err() != nil {
		return
	}
	c.dead = true
	c.cancel()
	c.transport.conns.Go(func() { _ = c.ws.CloseNow() }) // it may wait for the reader, or for TLS to write an alert
}

// ping asks the client whether it is there and cuts it if it is not.
func (c *wsConn) ping() {
	defer c.pinging.Store(false)
	ctx, cancel := context.WithTimeout(c.ctx, c.transport.cfg.PingTimeout)
	defer cancel()
	if err := c.ws.Ping(ctx); err != nil {
		c.cut()
		return
	}
	c.heard.Store(time.Now().UnixNano())
}
