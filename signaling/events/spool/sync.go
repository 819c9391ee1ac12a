package spool

import (
	"os"
	"sync/atomic"
)

// syncQueue bounds the files that wait to be synced. Beyond, writes wait as well.
const syncQueue = 4

// syncer makes what was written survive a power cut. It does so beside the writer: a sync may take long, and a kill -9 would take what
// is not written meanwhile.
type syncer struct {
	spool  *Spool
	jobs   chan syncJob
	failed atomic.Bool // since it was last looked at
}

// syncJob is a file to be synced.
type syncJob struct {
	file  *os.File
	fresh bool // it was made, and its directory not synced
	last  bool // nothing more is written to it
}

// run does jobs until there are no more to come.
func (y *syncer) run() {
	for j := range y.jobs {
		err := y.spool.cfg.sync(j.file)
		if err == nil && j.fresh {
			err = syncDir(y.spool.cfg.Dir)
		}
		if j.last {
			_ = j.file.Close() // synced, or not to be relied on
		}
		if err != nil {
			y.failed.Store(true)
			y.spool.mu.Lock()
			y.spool.stats.DiskFailures++
			y.spool.mu.Unlock()
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
