package node

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// A probe of another node that is under way when memberlist ends finds that out a second late.
func TestMain(m *testing.M) {
	if file := os.Getenv(victimConfig); file != "" {
		runVictim(file)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}
