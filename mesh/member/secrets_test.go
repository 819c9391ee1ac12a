package member

import (
	"bytes"
	"testing"
)

// TestSecrets wants all who have the gossip keys to find the same secrets, another for each purpose, and none of them the keys.
func TestSecrets(t *testing.T) {
	a := newSigner(t).a
	cluster := func(keys ...string) *Cluster {
		c := new(Cluster)
		r := ring{}
		for _, k := range keys {
			r.Keys = append(r.Keys, bytes.Repeat([]byte(k), gossipKey))
		}
		c.membership.Store(&membership{authority: a, ring: r})
		return c
	}
	get := func(c *Cluster, purpose string) [][]byte {
		t.Helper()
		s, err := c.Secrets(purpose)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, both := get(cluster("1"), "x"), get(cluster("2", "1"), "x")
	if len(one) != 1 || len(both) != 2 || !bytes.Equal(one[0], both[1]) || bytes.Equal(both[0], both[1]) {
		t.Errorf("%x %x", one, both)
	}
	if bytes.Equal(one[0], get(cluster("1"), "y")[0]) || bytes.Contains(one[0], []byte("1111")) {
		t.Error("a secret serves two purposes")
	}
}
