package peer

import (
	"slices"

	"cardea/relay/data"
)

// ear is a listener of a channel that is no client of this node.
type ear struct{ hear func(m data.Message) }

// NewChannel returns a channel whose publisher is on another node. Who makes it publishes it in the directory, and gives
// it every message of the publisher with [Channel.Say].
func NewChannel() *Channel { return &Channel{elsewhere: true} }

// Elsewhere says that the channel's publisher is on another node: who carries messages between nodes must not carry these on.
func (c *Channel) Elsewhere() bool { return c.elsewhere }

// Listen has every message that the publisher says from now on given to f, until stop is called; f is not running any more
// when stop returns. f is called by whoever speaks, for several messages at a time if several speak. It must neither wait nor
// call the channel or stop, and must not change the message's bytes but may keep them.
func (c *Channel) Listen(f func(m data.Message)) (stop func()) {
	e := &ear{hear: f}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ears = append(c.ears, e)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if i := slices.Index(c.ears, e); i >= 0 {
			c.ears = slices.Delete(c.ears, i, i+1)
		}
	}
}
