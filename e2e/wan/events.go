package wan

import "time"

// event is something that becomes due: the arrival of a packet, or, without a packet, the moment at which the bottleneck of
// a direction has sent the head of its queue.
type event struct {
	due    time.Duration
	number uint64 // in order of creation: events of one moment happen in that order
	way    *direction
	packet *packet
}

func (e *event) before(o *event) bool {
	return e.due < o.due || e.due == o.due && e.number < o.number
}

// events is a binary heap, the earliest first. container/heap would put every event into an interface, and so on the heap.
type events []event

func (h *events) push(e event) {
	q := append(*h, e)
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(&q[parent]) {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = e
	*h = q
}

// pop takes the earliest event out; there is one.
func (h *events) pop() event {
	q := *h
	first, last := q[0], q[len(q)-1]
	q[len(q)-1] = event{} // holds no packet beyond its life
	q = q[:len(q)-1]
	*h = q
	if len(q) == 0 {
		return first
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].before(&q[child]) {
			child++
		}
		if !q[child].before(&last) {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = last
	return first
}
