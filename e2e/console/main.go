// Command console serves the console of a mesh that does not exist: 100 nodes in 34 cities, 10,000 rooms, people who come and go and
// networks that are good and bad. The tests of its pages in a browser (tests/console.test.js) start it, and so may who wants
// to see them. It prints the address it listens on, and ends when its standard input does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"cardea/node/console"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "address to listen on")
	password := flag.String("password", "", "password of operators; without one the pages only show")
	nodes := flag.Int("nodes", 100, "nodes of the mesh")
	rooms := flag.Int("rooms", 10_000, "rooms of the mesh")
	unplaced := flag.Bool("unplaced", false, "nobody knows where nodes are")
	flag.Parse()
	if err := run(*address, newWorld(*nodes, *rooms, *unplaced), *password); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string, w *world, password string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: console.New(console.Config{
		Access: func() console.Access {
			return console.Access{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		},
		Page:    &console.Page{Version: "fake"},
		Metrics: http.NotFoundHandler(),
		Ready:   func() error { return nil },
		Status:  func() console.Status { return console.Status{Node: w.nodes[0].Name, Ready: true, Version: "fake"} },
		Rooms:   func(context.Context) []console.Room { return w.list() },
		Room: func(_ context.Context, _, room string, p console.ParticipantRange) (console.RoomView, bool) {
			return w.look(room, p, time.Now())
		},
		Peer: func(uint64, uint64) (console.Peer, bool) { return console.Peer{}, false },
		Mesh: &console.Mesh{
			Nodes:    func() []console.MeshNode { return nil },
			Streams:  func(context.Context) []console.MeshStream { return nil },
			Overview: func(context.Context) console.Overview { return w.overview(time.Now()) },
		},
		Operator: console.Operator{Password: password, Drain: w.drain, Kick: w.kick},
	})}
	fmt.Println(listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
