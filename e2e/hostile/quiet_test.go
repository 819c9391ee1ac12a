package hostile

import (
	"context"
	"testing"
	"time"
)

// TestNothing is the measure of the others: a call that nobody attacks.
func TestNothing(t *testing.T) {
	s := open(t, "127.0.0.41", nil)
	s.attack(func(context.Context) { s.rest(2 * time.Second) })
}
