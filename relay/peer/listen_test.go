package peer

import (
	"slices"
	"testing"

	"cardea/relay/data"
)

func TestListen(t *testing.T) {
	c := NewChannel()
	if own := new(Channel); !c.Elsewhere() || own.Elsewhere() {
		t.Error("channels of other nodes are not told from those of this one")
	}
	var first, second []string
	stop := c.Listen(func(m data.Message) { first = append(first, m.Label+string(m.Data)) })
	defer c.Listen(func(m data.Message) { second = append(second, m.Label+string(m.Data)) })()
	c.Say(data.Message{Label: "a", Data: []byte("1")})
	c.muted.Store(true)
	c.Say(data.Message{Label: "b", Data: []byte("2")})
	c.muted.Store(false)
	stop()
	stop()
	c.Say(data.Message{Label: "c", Data: []byte("3")})
	if !slices.Equal(first, []string{"a1"}) || !slices.Equal(second, []string{"a1", "c3"}) {
		t.Errorf("%q, %q", first, second)
	}
}
