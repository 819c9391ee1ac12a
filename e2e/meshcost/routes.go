package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"cardea/mesh/route"
	"cardea/relay/link"
)

// nodeID returns an id as long as real ones.
func nodeID(i int) link.NodeID { return link.NodeID(fmt.Sprintf("abcdefghij%06d", i)) }

// measureRoutes fills a routing table and tells a neighbour's row.
func measureRoutes(_ context.Context, _ use, s *sizes) error {
	const count = 1000
	now := time.Now()
	nodes, edges := make([]route.Node, count), make([]route.Edge, 0, count)
	for i := range nodes {
		nodes[i] = route.Node{ID: nodeID(i), Region: "region"}
		if i > 1 { // 0 and 1 are the two that talk
			rtt := time.Duration(i%200)*time.Millisecond + 1234*time.Microsecond
			edges = append(edges, route.Edge{To: nodeID(i), RTT: rtt, Queue: 321 * time.Microsecond, Loss: 0.0012, Late: 0.00012, Up: true})
		}
	}
	teller := route.New(nodeID(1))
	teller.SetNodes(nodes)
	teller.SetRow(nodeID(1), edges, now)
	row := teller.Tell(route.NewTelling(nodeID(0)), now)
	for _, m := range row {
		s.rowEntry += float64(len(m)) / float64(len(edges))
	}

	before := heap()
	table := route.New(nodeID(0))
	table.SetNodes(nodes)
	known := heap()
	for _, m := range row {
		if err := table.Hear(nodeID(1), m, now); err != nil {
			return err
		}
	}
	heard := heap()
	runtime.KeepAlive(table)
	s.nodeMemory += (known - before) / count
	s.rowMemory = (heard - known) / float64(len(edges))
	return nil
}
