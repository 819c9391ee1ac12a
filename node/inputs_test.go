package node

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cardea/node/config"
	"cardea/node/store"
)

// TestCheck wants each fault told in a line with its option and its file, the same by a start, and nothing made by either.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, 1)
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	_, otherKey := writeCertificate(t, other, 2)
	rubbish := filepath.Join(dir, "rubbish")
	if err := os.WriteFile(rubbish, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.Mkdir(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, store.File), make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(c *config.Config)
		want   []string // a part of each line; none: it is right
	}{
		{"right", func(c *config.Config) { c.TLS = config.TLS{Certificate: cert, Key: key} }, nil},
		{"no files", func(c *config.Config) {
			c.TLS = config.TLS{Certificate: cert, Key: "nowhere"}
			c.Geo.Databases = []string{"nobody.mmdb", rubbish}
		}, []string{"tls.key: open nowhere: ", "geo.databases: database of locations: open nobody.mmdb: ", "geo.databases: database of locations: " + rubbish + ": "}},
		{"no certificate", func(c *config.Config) { c.TLS = config.TLS{Certificate: rubbish, Key: key} }, []string{"tls.certificate: " + rubbish + ": no certificate in it"}},
		{"no key", func(c *config.Config) { c.TLS = config.TLS{Certificate: cert, Key: rubbish} }, []string{"tls.key: " + rubbish + ": no PEM block in it"}},
		{"another's key", func(c *config.Config) { c.TLS = config.TLS{Certificate: cert, Key: otherKey} }, []string{"tls.key: " + otherKey + ", with the certificate in " + cert + ": private key does not match"}},
		{"events", func(c *config.Config) {
			c.Events.Kafka.Brokers, c.Events.Kafka.TLS, c.Events.Kafka.CA = []string{"127.0.0.1:1"}, true, rubbish
			c.Events.Kafka.Certificate, c.Events.Kafka.Key = "nowhere", key
			c.Events.Webhook.URL, c.Events.Webhook.Secret = "http://127.0.0.1:1/", "whsec_?"
		}, []string{"events.kafka.ca: " + rubbish + ": no certificate in it", "events.kafka.certificate: open nowhere: ", "events.webhook: "}},
		{"zone", func(c *config.Config) {
			c.DNS.Zone, c.DNS.Records = "edge.example", []string{"good TXT x", "bad NONSENSE x", "elsewhere.org. TXT x"}
		}, []string{"dns.records[1]: ", "dns.records[2]: "}},
		{"registry", func(c *config.Config) {
			c.Registry.Redis, c.Registry.Entries = "redis://127.0.0.1:1", []config.RegistryEntry{{Key: "{{.Nothing}}", Value: "x"}}
		}, []string{"registry.entries: "}},
		{"invitation", func(c *config.Config) { c.Mesh.Join = []config.Secret{"cardea_half"} }, []string{"mesh.join: "}},
		{"no directory", func(c *config.Config) { c.Node.DataDir = filepath.Join(rubbish, "data") }, []string{"node.data_dir: " + rubbish + " is not a directory"}},
		{"broken store", func(c *config.Config) { c.Node.DataDir = broken }, []string{"node.data_dir: open " + filepath.Join(broken, store.File) + ": "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := new(config.Default())
			c.Node.Bind, c.Node.DataDir = netip.MustParseAddr("127.0.7.70"), filepath.Join(dir, "data")
			tt.change(c)
			warnings, err := Check(c)
			if _, missing := os.Stat(filepath.Join(dir, "data")); !errors.Is(missing, fs.ErrNotExist) {
				t.Errorf("the check made the data directory: %v", missing)
			}
			if len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("found nothing")
			}
			lines := strings.Split(err.Error(), "\n")
			for i, want := range tt.want {
				if len(lines) != len(tt.want) || !strings.Contains(lines[i], want) {
					t.Fatalf("%q, want lines with %q", lines, tt.want)
				}
			}
			n, refused := Listen(t.Context(), c, quiet())
			if refused == nil {
				n.Close()
			}
			if refused == nil || refused.Error() != err.Error() {
				t.Errorf("a start says %v, the check %v", refused, err)
			}
		})
	}
}

// TestOutOfDate wants warnings of certificates that nobody will take.
func TestOutOfDate(t *testing.T) {
	c := new(config.Default())
	c.Node.DataDir = t.TempDir()
	c.TLS.Certificate, c.TLS.Key = writeCertificate(t, t.TempDir(), 1)
	pair, err := readCertificate(c.TLS)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]string{
		pair.Leaf.NotBefore.Add(-time.Second): "is not valid before ", pair.Leaf.NotBefore: "", pair.Leaf.NotAfter: "",
		pair.Leaf.NotAfter.Add(time.Second): "expired on " + pair.Leaf.NotAfter.UTC().Format(time.DateOnly),
	} {
		if got := outOfDate(pair, at); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("at %v: %q", at, got)
		}
	}
	// A start does with what it warns of.
	c.Events.Log.File = "/dev/null/events.json"
	warnings, err := Check(c)
	if err != nil || len(warnings) != 1 || !strings.HasPrefix(warnings[0].String(), "events.log.file: /dev/null is not a directory") {
		t.Errorf("warnings %v, %v", warnings, err)
	}
}
