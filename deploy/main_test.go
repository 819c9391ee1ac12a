package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"cardea/node/config"
)

// tool returns the path of a program, or skips the test with the name of the package that has it.
func tool(t *testing.T, name, from string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s (%s): \"make deploycheck\" installs it", name, from)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program in a folder and returns what it printed; it must succeed.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	out, err := try(t, dir, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return out
}

// try is run for what may fail; a failure is what the program said on standard error.
func try(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = errors.Join(err, errors.New(stderr.String()))
	}
	return stdout.String(), err
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parseYAML reads one document into v; a key that v does not know is a fault.
func parseYAML(t *testing.T, name string, v any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(read(t, name)))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Fatalf("%s: more than one document: %v", name, err)
	}
}

// checkEnvironment wants variables that are options of a node, with values of their kinds. Files they name need not be here.
func checkEnvironment(t *testing.T, where string, env map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir()) // no cardea.yaml
	var environ []string
	for k, v := range env {
		if strings.HasSuffix(k, "_FILE") {
			if err := os.WriteFile("secret", []byte("# none\nsecret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if v = "secret"; k == "CARDEA_MESH_JOIN_FILE" {
				v = os.DevNull
			}
		}
		if strings.HasPrefix(k, "CARDEA_") {
			environ = append(environ, k+"="+v)
		}
	}
	if len(environ) == 0 {
		t.Fatalf("%s: no option of a node is set", where)
	}
	if _, _, err := new(config.Sources).Load(environ); err != nil {
		t.Errorf("%s: %v", where, err)
	}
}

// TestYAML wants tidy YAML, the chart's templates left out.
func TestYAML(t *testing.T) {
	run(t, ".", tool(t, "yamllint", "Debian's yamllint"), "--strict", "-c", ".yamllint.yaml", ".")
}

// TestShell wants scripts without traps.
func TestShell(t *testing.T) {
	run(t, ".", tool(t, "shellcheck", "Debian's shellcheck"), "dist.sh", "systemd/install.sh")
}
