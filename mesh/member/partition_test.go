package member

import (
	"bytes"
	"testing"
	"time"
)

// cut makes a node deaf to all but those with the same key: gossip cannot be read, and nobody is admitted.
func (n *testNode) cut(key []byte) (mend func()) {
	keep := n.member().ring.Keys[0]
	use := func(add, remove []byte) {
		for _, err := range []error{n.keyring.AddKey(add), n.keyring.UseKey(add)} {
			if err != nil {
				n.t.Error(err)
			}
		}
		if !bytes.Equal(add, remove) {
			if err := n.keyring.RemoveKey(remove); err != nil {
				n.t.Error(err)
			}
		}
	}
	hold := func(by int) {
		l := n.admission.limits
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open[0] += by
		l.open[1] += by
	}
	use(key, keep)
	hold(1 << 20)
	return func() {
		hold(-1 << 20)
		use(keep, key)
	}
}

// TestPartition cuts a cluster in two, and wants it to be one again.
func TestPartition(t *testing.T) {
	nodes := cluster(t, 4)
	left, right := nodes[:2], nodes[2:]
	var mend []func()
	for _, n := range right {
		mend = append(mend, n.cut(bytes.Repeat([]byte{1}, gossipKey)))
	}
	for _, n := range left {
		mend = append(mend, n.cut(n.member().ring.Keys[0]))
	}
	together(t, left...)
	together(t, right...)
	// So long that memberlist itself has forgotten the other side, in effect: it does not tell the dead anything by itself.
	<-time.After(3 * time.Second)
	for _, f := range mend {
		f()
	}
	begin := time.Now()
	together(t, nodes...)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("one cluster again after %v", took)
	} else {
		t.Logf("one cluster again after %v", took)
	}
}
