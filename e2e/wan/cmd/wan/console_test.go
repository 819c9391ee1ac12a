//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cardea/e2e/wan"
)

func TestConsole(t *testing.T) {
	if err := wan.Supported(); err != nil {
		t.Skip(err)
	}
	network, err := wan.New(t.Context(), wan.Regions())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := &console{network: network, out: &out}
	file := filepath.Join(t.TempDir(), "eu-us.pcap")
	for _, step := range []struct {
		line, want string // in the output, or the error
		fails      bool
	}{
		{line: ""},
		{line: "# a remark"},
		{line: "sites", want: "10.2.0.3"},
		{line: "help", want: "set PAIR NAME=VALUE..."},
		{line: "show", want: "ap>us  delay=110ms"},
		{line: "set eu us delay=5ms loss=1% burst=5"},
		{line: "show", want: "us>eu  delay=5ms loss=1% burst=5"},
		{line: "set eu>us loss=0 burst=0"},
		{line: "show", want: "eu>us  delay=5ms\n"},
		{line: "set us>eu loss=0 burst=0"},
		{line: "capture eu>us " + file},
		{line: "capture eu>us " + file, want: "one already", fails: true},
		{line: "capture eu us " + file, want: "SITE>SITE FILE", fails: true},
		{line: "capture eu>us " + filepath.Join(file, "x"), want: "not a directory", fails: true},
		{line: "ping eu us 1", want: "10.2.0.1: "},
		{line: "ping eu us zero", want: "not a number", fails: true},
		{line: "partition us"},
		{line: "ping eu us 1", want: "deadline exceeded"},
		{line: "heal"},
		{line: "ping eu us 1", want: "10.2.0.1: "},
		{line: "partition", want: "which sites", fails: true},
		{line: "partition mars", want: "no such site", fails: true},
		{line: "stats eu us", want: "eu>us"},
		{line: "stats", want: "packets delivered later than due"},
		{line: "stats eu mars", want: "not two sites", fails: true},
		{line: "set eu", want: "does not start with", fails: true},
		{line: "set eu eu loss=1%", want: "not two sites", fails: true},
		{line: "set eu us loss=2", want: "not a share", fails: true},
		{line: "run eu exit 3", want: "exit status 3", fails: true},
		{line: "run mars true", want: "run SITE COMMAND", fails: true},
		{line: "run eu true"},
		{line: "jump", want: "no command", fails: true},
	} {
		out.Reset()
		quit, err := c.execute(t.Context(), step.line)
		got := out.String()
		if err != nil {
			got = err.Error()
		}
		if quit || (err != nil) != step.fails || !strings.Contains(got, step.want) {
			t.Errorf("%q: quit %v, error %v, output\n%s\nwant %q", step.line, quit, err, out.String(), step.want)
		}
	}
	if quit, err := c.execute(t.Context(), "quit"); !quit || err != nil {
		t.Errorf("quit: %v, %v", quit, err)
	}
	start := time.Now()
	if err := c.close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("closing an idle network took %v", took)
	}
	info, err := os.Stat(file)
	if err != nil || info.Size() < 24+2*(16+36) {
		t.Errorf("capture of two pings: %v, %v", info, err)
	}
}
