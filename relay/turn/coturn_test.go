package turn

import (
	"context"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// coturn's own client, from which ours differs in what it asks for and in how strictly it looks at answers.
func TestCoturnClient(t *testing.T) {
	uclient, err := exec.LookPath("turnutils_uclient")
	if err != nil {
		t.Skip("turnutils_uclient (package coturn) is not installed: the server was not tried with coturn's client")
	}
	if testing.Short() {
		t.Skip("takes some ten seconds")
	}
	cfg := testConfig()
	cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	n := start(t, cfg)
	peer := strconv.Itoa(int(echoPair(t).Port()))
	udp := strconv.Itoa(int(n.media().Port()))
	tcp := strconv.Itoa(int(addrPort(n.tcp.Addr()).Port()))
	long := []string{"-u", "ann", "-w", "pw"}
	rest := []string{"-u", "eve", "-W", testSecret}
	for name, args := range map[string][]string{
		"UDP, channels":      append([]string{"-c", "-p", udp}, long...),
		"UDP, indications":   append([]string{"-c", "-s", "-p", udp}, long...),
		"UDP, REST secret":   append([]string{"-c", "-p", udp}, rest...),
		"UDP, even port":     append([]string{"-p", udp}, long...),
		"TCP, channels":      append([]string{"-c", "-t", "-p", tcp}, long...),
		"TCP, indications":   append([]string{"-c", "-s", "-t", "-p", tcp}, long...),
		"UDP, small packets": append([]string{"-c", "-l", "30", "-p", udp}, long...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			args := append([]string{"-e", "127.0.0.1", "-r", peer, "-n", "20", "-m", "4", "-z", "5"}, args...)
			out, err := exec.CommandContext(ctx, uclient, append(args, "127.0.0.1")...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			lost := regexp.MustCompile(`Total lost packets (\d+)`).FindAllSubmatch(out, -1)
			received := regexp.MustCompile(`tot_recv_msgs=(\d+)`).FindAllSubmatch(out, -1)
			if len(lost) == 0 || string(lost[len(lost)-1][1]) != "0" || len(received) == 0 ||
				string(received[len(received)-1][1]) == "0" {
				t.Fatalf("packets were lost, or none arrived:\n%s", out)
			}
		})
	}
}
