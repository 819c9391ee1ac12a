// Command meshcost reckons what a mesh costs each node, from three nodes to a thousand and from no room to a million: bytes
// a second of gossip and of control between nodes, and memory. It prints tables and says which part is the largest and how it grows.
//
// Nothing of what goes over the wire is typed in. The sizes are measured first, in this process and in some seconds ([measure]): memberlist
// with metadata of a real member and the real settings, an idle relay link over loopback, notices on it, rows of the routing
// table, and what two nodes' mesh/room say to each other. How often things are said and to how many follows from the settings of the
// packages ([settings], which a test compares with their sources) and from what is assumed of the use ([use], the command's
// options). The formulas are in [reckon], term by term.
//
// Media is not in it: it is what the rooms' users send, not what the mesh costs. Bytes are what one node sends, UDP and IP headers
// included; in the mean it receives as much.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "meshcost:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	u := use{}
	fs := flag.NewFlagSet("meshcost", flag.ContinueOnError)
	fs.Float64Var(&u.occupied, "occupied", 0.1, "share of the rooms that somebody is in")
	fs.Float64Var(&u.participants, "participants", 5, "participants of such a room")
	fs.Float64Var(&u.spread, "spread", 3, "nodes that they are on")
	fs.DurationVar(&u.stay, "stay", 20*time.Minute, "how long a participant stays")
	fs.Float64Var(&u.changes, "changes", 4, "how often an entry changes meanwhile, coming and going included")
	fs.DurationVar(&u.life, "life", time.Hour, "how long a room that somebody is in exists, if it is not permanent")
	fs.Float64Var(&u.drift, "drift", 1, "how often a minute a link's figures move notably")
	fs.IntVar(&u.record, "record", 400, "bytes of a room's record")
	fs.IntVar(&u.entry, "entry", 300, "bytes of a participant's entry")
	nodes := fs.String("nodes", "3 10 50 200 1000", "numbers of nodes")
	rooms := fs.String("rooms", "0 1000 100000 1000000", "numbers of rooms")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ns, err := numbers(*nodes)
	if err != nil {
		return fmt.Errorf("nodes: %w", err)
	}
	rs, err := numbers(*rooms)
	if err != nil {
		return fmt.Errorf("rooms: %w", err)
	}
	s, err := measure(ctx, u)
	if err != nil {
		return err
	}
	return report(out, s, u, ns, rs)
}

func numbers(text string) (list []float64, err error) {
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, err := strconv.Atoi(f)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is no number", f)
		}
		list = append(list, float64(n))
	}
	return list, nil
}

func report(out io.Writer, s sizes, u use, nodes, rooms []float64) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "Sizes, measured just now:")
	for _, m := range s.list() {
		fmt.Fprintf(w, "%s\t  %s\t\n", format(m.value, m.unit), m.name)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nPer node, with %.0f %% of the rooms in use, %.3g participants on %.3g nodes in each:\n", 100*u.occupied, u.participants, u.spread)
	fmt.Fprintln(w, "nodes\trooms\tlinks\tgossip\tcontrol\tmemory\tmost of the bytes\tmost of the memory\t")
	for _, n := range nodes {
		for _, r := range rooms {
			c := reckon(s, u, n, r)
			fmt.Fprintf(w, "%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t%s\t%s\t\n", n, r, c.links,
				format(c.gossip.sum(), "B/s"), format(c.control.sum(), "B/s"), format(c.memory.sum(), "B"),
				append(c.gossip, c.control...).largest(), c.memory.largest())
		}
	}
	if err := w.Flush(); err != nil || len(nodes) == 0 || len(rooms) == 0 {
		return err
	}
	n, r := nodes[len(nodes)-1], rooms[len(rooms)-1]
	fmt.Fprintf(out, "\nTerm by term at %.0f nodes and %.0f rooms; and by what it is multiplied with twice the nodes, and twice the rooms:\n", n, r)
	c, moreNodes, moreRooms := reckon(s, u, n, r), reckon(s, u, 2*n, r), reckon(s, u, n, 2*r)
	show := func(unit string, at, nodes, rooms terms) {
		for i, t := range at {
			fmt.Fprintf(w, "%s\tx%.2f\tx%.2f\t  %s\t\n", format(t.value, unit), ratio(nodes[i].value, t.value), ratio(rooms[i].value, t.value), t.name)
		}
	}
	show("B/s", c.gossip, moreNodes.gossip, moreRooms.gossip)
	show("B/s", c.control, moreNodes.control, moreRooms.control)
	show("B", c.memory, moreNodes.memory, moreRooms.memory)
	return w.Flush()
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 1
	}
	return a / b
}

// format writes a number of bytes with three digits.
func format(v float64, unit string) string {
	prefix := ""
	for _, p := range []string{"k", "M", "G"} {
		if v < 1000 {
			break
		}
		v, prefix = v/1000, p
	}
	return fmt.Sprintf("%.3g %s%s", v, prefix, unit)
}
