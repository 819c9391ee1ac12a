package mesh

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/link"
)

// TestTraffic wants sums that only grow, also when what is read begins again.
func TestTraffic(t *testing.T) {
	var sum Traffic
	last := reading{row: link.Row{Forged: 5}} // of before the link
	for _, now := range []reading{
		{stats: link.LinkStats{In: 10, BytesIn: 1000, Early: 1, Unknown: 2}, row: link.Row{Forged: 7, Duplicates: 1}},
		{stats: link.LinkStats{In: 15, BytesIn: 1600, Early: 1, Unknown: 3}, row: link.Row{Forged: 7, Duplicates: 4}},
		{stats: link.LinkStats{In: 15, BytesIn: 1600, Early: 1, Unknown: 3}, row: link.Row{Forged: 1}},
		{stats: link.LinkStats{In: 16, BytesIn: 1700, Early: 1, Unknown: 3}},
	} {
		sum.grow(last, now)
		last = now
	}
	want := Traffic{DatagramsIn: 16, BytesIn: 1700, Unknown: 4, Forged: 3, Replayed: 4}
	if d := cmp.Diff(want, sum); d != "" {
		t.Error(d)
	}
}
