package route

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"cardea/relay/link"
)

// large is the table of one of 1,000 nodes, 50 of which are its neighbours with 50 links each.
func large(region string) (table *Table, nodes []Node, own []Edge) {
	rng := rand.New(rand.NewPCG(1, 2))
	id := func(i int) link.NodeID { return link.NodeID(fmt.Sprintf("node%012d", i)) }
	for i := range 1000 {
		c := coordinate.NewCoordinate(coordinate.DefaultConfig())
		c.Error = 0.1
		for d := range c.Vec {
			c.Vec[d] = rng.Float64() * 0.1
		}
		nodes = append(nodes, Node{ID: id(i), Region: region, Coordinate: c})
		if region != "" {
			nodes[i].Region = fmt.Sprint(region, i%10)
		}
	}
	table = New(id(0))
	table.SetNodes(nodes)
	links := func() (row []Edge) {
		for range 50 {
			row = append(row, up(id(1+rng.IntN(999)), time.Duration(rng.IntN(200))*ms))
		}
		return row
	}
	own = links()
	table.SetRow(id(0), own, start)
	for _, e := range own {
		table.SetRow(e.To, links(), start)
	}
	return table, nodes, own
}

// BenchmarkParents asks anew for another origin each time, which costs what it costs after a change.
func BenchmarkParents(b *testing.B) {
	table, nodes, own := large("region")
	for i := 0; b.Loop(); i++ {
		if i%900 == 0 {
			table.SetRow(nodes[0].ID, own, start)
		}
		table.Parents(nodes[1+i%900].ID, start)
	}
}

// BenchmarkKeep has nothing changed.
func BenchmarkKeep(b *testing.B) {
	table, nodes, _ := large("region")
	for b.Loop() {
		table.Keep(nodes[500].ID, nodes[1].ID, start)
	}
}

func BenchmarkNext(b *testing.B) {
	table, nodes, _ := large("region")
	for b.Loop() {
		table.Next(nodes[500].ID, start)
	}
}

func BenchmarkSetRow(b *testing.B) {
	table, nodes, own := large("region")
	for b.Loop() {
		table.SetRow(nodes[0].ID, own, start)
	}
}

// BenchmarkTell is one link's share of a second in which nothing notable happened.
func BenchmarkTell(b *testing.B) {
	table, nodes, own := large("region")
	telling := NewTelling(own[0].To)
	for b.Loop() {
		table.SetRow(nodes[0].ID, own, start)
		table.Tell(telling, start)
	}
}

// BenchmarkSetNodes has nodes with names of their regions, BenchmarkSetNodesNameless none.
func BenchmarkSetNodes(b *testing.B) {
	table, nodes, _ := large("region")
	for b.Loop() {
		table.SetNodes(nodes)
	}
}

func BenchmarkSetNodesNameless(b *testing.B) {
	table, nodes, _ := large("")
	for b.Loop() {
		table.SetNodes(nodes)
	}
}
