package spool

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// victimDir names the spool of a process that is to be killed.
const victimDir = "SPOOL_VICTIM"

// victim appends numbers for ever, going on from what the spool has seen, and delivers them to standard output. It says "from N" for
// the first, "kept N" when everything from there to number N is on disk, and "got N" for what a cursor hands out.
func victim(dir string) {
	s, err := Open(Config{Dir: dir, MaxDisk: 64 << 20})
	check(err)
	c, err := s.Cursor("c", all)
	check(err)
	_, err = s.Cursor("stuck", all) // keeps everything on disk
	check(err)
	go func() { check(s.Run(context.Background())) }()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Printf(format, args...)
		check(err)
	}
	go func() {
		s.mu.Lock()
		n := s.next
		s.mu.Unlock()
		say("from %d\n", n)
		for ; ; n += 10 {
			for i := range uint64(10) {
				s.Append(Entry{Kind: session, Time: at, Value: strconv.AppendUint(nil, n+i, 10)})
			}
			for {
				s.mu.Lock()
				kept := s.stored
				s.mu.Unlock()
				say("kept %d\n", kept-1)
				if kept+1000 > n {
					break
				}
				time.Sleep(time.Millisecond)
			}
		}
	}()
	for {
		batch, err := c.Next(context.Background(), 16, 1<<20)
		check(err)
		for _, e := range batch {
			say("got %s\n", e.Value)
		}
		c.Ack(batch[len(batch)-1].Seq)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestKilled kills a process with kill -9 again and again. Whatever it said was on disk must have been delivered in the end, by a
// cursor that kept up and by one that never did.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	got, kept := map[uint64]int{}, map[uint64]bool{}
	for range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$") //nolint:gosec // this program
		cmd.Env = append(os.Environ(), victimDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		from := uint64(0)
		for lines := 0; in.Scan(); lines++ {
			var word string
			var n uint64
			if _, err := fmt.Sscan(in.Text(), &word, &n); err != nil {
				continue // the last line may be cut
			}
			switch word {
			case "from":
				from = n
			case "kept":
				for ; from <= n; from++ {
					kept[from] = true
				}
			case "got":
				got[n]++
			}
			if lines == 2000 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
	}
	s := open(t, Config{Dir: dir})
	c, stuck := cursor(t, s, "c", all), cursor(t, s, "stuck", all)
	for _, v := range drain(t, c, true) {
		n, _ := strconv.ParseUint(v, 10, 64)
		got[n]++
	}
	late := map[string]bool{}
	for _, v := range drain(t, stuck, true) {
		late[v] = true
	}
	var missing, missingLate, again int
	for n := range kept {
		if got[n] == 0 {
			missing++
		} else if got[n] > 1 {
			again++
		}
		if !late[strconv.FormatUint(n, 10)] {
			missingLate++
		}
	}
	t.Logf("%d on disk over 5 kills, %d delivered more than once", len(kept), again)
	if len(kept) < 1000 || missing > 0 || missingLate > 0 {
		t.Errorf("of %d on disk %d were not delivered, %d not to the cursor that waited", len(kept), missing, missingLate)
	}
}
