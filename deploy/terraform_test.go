package deploy

import (
	"os"
	"os/exec"
	"testing"
)

// TestTerraform has Terraform check the module and run its tests; the example needs its provider, and is only looked over.
func TestTerraform(t *testing.T) {
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("needs terraform, which no Debian package has")
	}
	t.Setenv("TF_CLI_CONFIG_FILE", os.DevNull)
	t.Setenv("CHECKPOINT_DISABLE", "1")
	if out, err := try(t, "terraform", terraform, "fmt", "-check", "-recursive", "."); err != nil {
		t.Fatalf("terraform fmt: %v\n%s", err, out)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("terraform")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-backend=false", "-input=false"}, {"validate"}, {"test"}} {
		if out, err := try(t, dir, terraform, append(args, "-no-color")...); err != nil {
			t.Fatalf("terraform %v: %v\n%s", args, err, out)
		}
	}
}
