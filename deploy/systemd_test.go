package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cardea/node/config"
)

// install installs into another root and returns it.
func install(t *testing.T, root string, args ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"systemd/install.sh"}, append(args, program)...)...)
	cmd.Env = append(os.Environ(), "DESTDIR="+root)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("install.sh: %v\n%s", err, out)
	}
	return root
}

// TestInstall wants an upgrade to keep what an operator wrote, and a node to start with what a first installation leaves.
func TestInstall(t *testing.T) {
	root := install(t, t.TempDir(), "--join", "cardea_x")
	at := func(name string) string { return filepath.Join(root, name) }
	for name, mode := range map[string]os.FileMode{
		"/usr/local/bin/cardea": 0o755, "/etc/systemd/system/cardea.service": 0o644, "/usr/lib/sysusers.d/cardea.conf": 0o644,
		"/etc/sysctl.d/90-cardea.conf": 0o644, "/etc/cardea/cardea.yaml": 0o640, "/etc/cardea/invitation": 0o640,
		"/usr/local/share/doc/cardea/RUNBOOK.md": 0o644,
	} {
		if info, err := os.Stat(at(name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, want mode %o", name, info, mode)
		}
	}
	if got := read(t, at("/etc/cardea/invitation")); got != "cardea_x\n" {
		t.Errorf("invitation %q", got)
	}
	const mine = "node: {name: mine}\n"
	if err := os.WriteFile(at("/etc/cardea/cardea.yaml"), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	install(t, root)
	if read(t, at("/etc/cardea/cardea.yaml")) != mine || read(t, at("/etc/cardea/invitation")) != "cardea_x\n" {
		t.Error("the upgrade has changed configuration or invitation")
	}
	first := install(t, t.TempDir())
	file := strings.ReplaceAll(read(t, first+"/etc/cardea/cardea.yaml"), "/etc/cardea/", first+"/etc/cardea/")
	if _, err := config.Parse("cardea.yaml", []byte(file)); err != nil {
		t.Errorf("the first configuration: %v", err)
	}
}

// maxExposure is what "systemd-analyze security" may say of the unit, ten times over. What is left is the network (a node is there for
// that), a socket for sd_notify, netlink for the machine's addresses, and the host's root directory.
const maxExposure = 11

// TestUnit has systemd check the unit and rate its hardening, with and without the capability for low ports.
func TestUnit(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "Debian's systemd")
	root := install(t, t.TempDir())
	unit := "/etc/systemd/system/cardea.service"
	var said string
	verify := exec.CommandContext(t.Context(), analyze, "verify", "--root="+root, "--man=no", root+unit)
	out, err := verify.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		// The other root has no other unit and no program but ours.
		if strings.Contains(line, "cardea.service") && !strings.Contains(line, "/bin/kill") && !strings.Contains(line, "not found") {
			said += line
		}
	}
	if said != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, said)
	}
	rating := regexp.MustCompile(`Overall exposure level for \S+: ([0-9])\.([0-9])`)
	rate := func(file string) int {
		m := rating.FindStringSubmatch(run(t, ".", analyze, "security", "--offline=true", "--no-pager", file))
		if m == nil {
			t.Fatal("no rating")
		}
		return int(m[1][0]-'0')*10 + int(m[2][0]-'0')
	}
	if got := rate("systemd/cardea.service"); got > maxExposure {
		t.Errorf("exposure %d.%d, at most %d.%d wanted", got/10, got%10, maxExposure/10, maxExposure%10)
	}
	// A drop-in is what follows the unit, as far as these settings go.
	both := filepath.Join(t.TempDir(), "cardea.service")
	if err := os.WriteFile(both, []byte(read(t, "systemd/cardea.service")+read(t, "systemd/low-ports.conf")), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := rate(both); got > maxExposure+8 {
		t.Errorf("exposure with low ports %d.%d", got/10, got%10)
	}
}

// TestUnitTimes wants times of the unit to fit the program's defaults.
func TestUnitTimes(t *testing.T) {
	unit := read(t, "systemd/cardea.service")
	for _, want := range []string{"Type=notify\n", "ExecReload=/bin/kill -HUP $MAINPID\n", "WatchdogSec=", "RestartPreventExitStatus=2\n", "StateDirectory=cardea\n"} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit has no %q", want)
		}
	}
	if d := config.Default(); !strings.HasSuffix(d.Node.DataDir, "/cardea") || !strings.HasPrefix(d.Node.DataDir, "/var/lib/") {
		t.Errorf("StateDirectory is not where the node keeps its state: %s", d.Node.DataDir)
	}
}

// TestReloadable wants the runbook to list what may change while a node runs, and nothing else.
func TestReloadable(t *testing.T) {
	_, list, _ := strings.Cut(read(t, "RUNBOOK.md"), "These change while the node runs:")
	list, _, ok := strings.Cut(list, "Databases of locations")
	if !ok {
		t.Fatal("the runbook does not list what may change")
	}
	told := map[string]bool{"log.level": true, "tls.certificate": true, "tls.key": true} // of a node that is run as a program, with a certificate
	n, closeNode := listening(t, "127.0.61.21")
	defer closeNode()
	for _, option := range n.Reloadable() {
		told[option] = true
	}
	for option := range told {
		if !strings.Contains(list, "`"+option+"`") {
			t.Errorf("the runbook does not say that %s may change", option)
		}
	}
	for _, m := range regexp.MustCompile("`([a-z_]+\\.[a-z_]+)`").FindAllStringSubmatch(list, -1) {
		if !told[m[1]] {
			t.Errorf("the runbook says that %s may change, and it may not", m[1])
		}
	}
}
