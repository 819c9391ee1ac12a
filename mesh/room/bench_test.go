package room

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"cardea/relay/link"
)

// BenchmarkSetNodes is what a change of membership costs a node, for each record that it keeps: it holds the lock meanwhile.
func BenchmarkSetNodes(b *testing.B) {
	for _, nodes := range []int{3, 1000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			const records = 10_000
			now := time.Now()
			ids := simIDs(nodes)
			c := newCore(ids[0], now, rand.New(rand.NewPCG(1, 1)), &Metrics{}, slog.New(slog.DiscardHandler))
			c.setNodes(now, ids, nil)
			for i, n := 0, 0; n < records; i++ {
				rec := (&record{id: fmt.Sprint("videoroom/", i), born: 5, stamp: 5}).seal()
				if c.mine(rec) {
					n++
					c.put(nil, rec)
				}
			}
			sets := [][]link.NodeID{ids[:nodes-1], ids}
			i := 0
			for b.Loop() {
				c.setNodes(now, sets[i%2], nil)
				i++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
		})
	}
}
