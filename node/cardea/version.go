package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"runtime"

	"cardea/node"
)

// printVersion prints the version of the program and of Go.
func printVersion(_ context.Context, args []string, out io.Writer) error {
	if err := parse(flag.NewFlagSet("version", flag.ContinueOnError), args, out, "Usage: cardea version\n\nPrints the versions of the program and of Go, and the system that it was built for.\n", nil); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "cardea %s %s %s/%s\n", node.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
