package farewell

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Hold is how long a request waits at most; proxies cut what is silent for a minute.
const Hold = 50 * time.Second

// Watch is who watches. It is safe for concurrent use.
type Watch struct {
	known func(session uint64) bool
	most  int

	mu     sync.Mutex
	closed bool
	waits  map[uint64]*wait // by session
	serial uint64
}

// wait is one request that waits.
type wait struct {
	serial uint64
	answer chan bool // has room for one: whether to move
}

// New makes a watch for sessions that are known, of at most so many at a time.
func New(known func(session uint64) bool, most int) *Watch {
	return &Watch{known: known, most: most, waits: make(map[uint64]*wait)}
}

// ServeHTTP lets a client wait that asked by GET.
func (w *Watch) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	head := rw.Header()
	head.Set("Cache-Control", "no-store")
	session, err := strconv.ParseUint(r.URL.Query().Get("session"), 10, 64)
	if err != nil || !w.known(session) {
		http.Error(rw, "no such session here", http.StatusNotFound)
		return
	}
	x := w.enter(session)
	if x == nil {
		head.Set("Retry-After", "60")
		http.Error(rw, "too many watch already", http.StatusServiceUnavailable)
		return
	}
	timer := time.NewTimer(Hold)
	defer timer.Stop()
	move := false
	select {
	case move = <-x.answer:
	case <-timer.C:
	case <-r.Context().Done():
	}
	w.leave(session, x)
	select {
	case move = <-x.answer: // it was told at the last moment, and counts as told
	default:
	}
	if !move {
		rw.WriteHeader(http.StatusNoContent)
		return
	}
	head.Set("Content-Type", "application/json")
	_, _ = rw.Write([]byte("{\"move\":true}\n")) // a client that is gone does not move
}

// enter takes a request in, in place of an older one for the same session; nil if it is one too many.
func (w *Watch) enter(session uint64) *wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.waits[session]
	if w.closed || old == nil && len(w.waits) >= w.most {
		return nil
	}
	if old != nil {
		old.answer <- false
	}
	w.serial++
	x := &wait{serial: w.serial, answer: make(chan bool, 1)}
	w.waits[session] = x
	return x
}

func (w *Watch) leave(session uint64, x *wait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waits[session] == x {
		delete(w.waits, session)
	}
}

// Waiting returns the sessions whose clients wait, the longest waiting first.
func (w *Watch) Waiting() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]uint64, 0, len(w.waits))
	for session := range w.waits {
		all = append(all, session)
	}
	slices.SortFunc(all, func(a, b uint64) int {
		if w.waits[a].serial < w.waits[b].serial {
			return -1
		}
		return 1
	})
	return all
}

// Tell tells the client of a session that it should move; false if it does not wait any more.
func (w *Watch) Tell(session uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.waits[session]
	if x == nil {
		return false
	}
	delete(w.waits, session)
	x.answer <- true
	return true
}

// Run waits until ctx ends, and then lets all go: a server that ends waits for them.
func (w *Watch) Run(ctx context.Context) error {
	<-ctx.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for session, x := range w.waits {
		delete(w.waits, session)
		x.answer <- false
	}
	return nil
}
