package mesh

import "testing"

func (w *world) testRolling(t *testing.T) {}
