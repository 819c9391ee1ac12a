package mesh

import "testing"

func (w *world) testStrangers(t *testing.T) {}
