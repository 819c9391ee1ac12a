package node

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"cardea/node/config"
)

// TestCertificateFollows wants a renewed certificate in use within a minute, and files that do not fit together left alone.
func TestCertificateFollows(t *testing.T) {
	dir := t.TempDir()
	cfg := config.TLS{}
	cfg.Certificate, cfg.Key = writeCertificate(t, dir, 1)
	synctest.Test(t, func(t *testing.T) {
		pair, err := readCertificate(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := newCertificate(pair)
		serial := func() int64 {
			synctest.Wait()
			return c.pair.Load().Leaf.SerialNumber.Int64()
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.follow(ctx, cfg, quiet()) }()
		time.Sleep(lookAtFiles + time.Second)
		if got := serial(); got != 1 {
			t.Errorf("certificate %d before it was renewed", got)
		}
		whole, err := os.ReadFile(cfg.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(cfg.Key, whole[:len(whole)/2], 0o600); err != nil { // somebody is writing
			t.Fatal(err)
		}
		time.Sleep(2 * lookAtFiles)
		if got := serial(); got != 1 {
			t.Errorf("certificate %d from half a file", got)
		}
		writeCertificate(t, dir, 2)
		time.Sleep(lookAtFiles)
		if got := serial(); got != 2 {
			t.Errorf("certificate %d after it was renewed", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
