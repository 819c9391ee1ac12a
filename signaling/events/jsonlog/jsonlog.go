// Package jsonlog writes events to a file, one JSON object a line.
//
// The file is opened anew when it was renamed or removed, so that logrotate needs to tell nobody; without it, the file is
// renamed itself when it has become too long. What a crash or a full disk cut off is ended by a line feed before anything follows, and what was cut
// off is written again: a reader skips lines that are no JSON.
package jsonlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
)

// Config configures a [Log].
type Config struct {
	// Path names the file. It is made if need be, readable by its owner alone; its directory is not.
	Path string
	// MaxSize is the length in bytes from which on the file is renamed to Path.1, and that to Path.2; 0 never does.
	MaxSize int64
	// Keep is how many renamed files are kept; 0 keeps none.
	Keep int
}

// Log appends events to a file.
type Log struct {
	cfg  Config
	file *os.File
	torn bool // the last line has no end
	text []byte
}

var _ sink.Sink = (*Log)(nil)

// New makes a log. It does not open the file.
func New(cfg Config) *Log { return &Log{cfg: cfg} }

// Send implements [sink.Sink].
func (l *Log) Send(ctx context.Context, batch []spool.Entry) (int, error) {
	if err := l.open(); err != nil {
		return 0, fmt.Errorf("log of events: %w", err)
	}
	file := l.file
	// A pipe that nobody reads makes a write wait; files know no deadlines, nor need them.
	_ = file.SetWriteDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(0, 1)) })
	defer stop()
	l.text = l.text[:0]
	if l.torn {
		l.text = append(l.text, '\n')
	}
	start := len(l.text)
	for i := range batch {
		l.text = append(batch[i].AppendJSON(l.text), '\n')
	}
	n, err := l.file.Write(l.text)
	if n > 0 {
		l.torn = l.text[n-1] != '\n'
	}
	if err != nil {
		l.Close()
		return bytes.Count(l.text[min(start, n):n], []byte{'\n'}), fmt.Errorf("log of events: %w", err)
	}
	return len(batch), nil
}

// Close implements [sink.Sink].
func (l *Log) Close() {
	if l.file != nil {
		_ = l.file.Close() // what was written is written
		l.file = nil
	}
}

// open sees to it that the file of that name is open and not too long.
func (l *Log) open() error {
	if l.file != nil && !l.named() {
		l.Close()
	}
	for range 2 {
		if l.file == nil {
			if err := l.openFile(); err != nil {
				return err
			}
		}
		info, err := l.file.Stat()
		if err != nil {
			return err
		}
		if l.cfg.MaxSize <= 0 || info.Size() < l.cfg.MaxSize || !info.Mode().IsRegular() {
			return nil
		}
		l.Close()
		if err := l.rename(); err != nil {
			return err
		}
	}
	return nil
}

// named tells whether the open file is still the one of that name.
func (l *Log) named() bool {
	open, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(l.cfg.Path)
	return err == nil && os.SameFile(open, there)
}

func (l *Log) openFile() error {
	f, err := os.OpenFile(l.cfg.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrInvalid) { // a pipe may be for writing alone
		f, err = os.OpenFile(l.cfg.Path, os.O_WRONLY|os.O_APPEND, 0o600)
	}
	if err != nil {
		return err
	}
	l.file = f // of a pipe it is still known whether the last line has an end
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if l.torn = false; info.Size() == 0 {
		return nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err == nil {
		l.torn = last[0] != '\n'
	}
	return nil
}

// rename makes room for a new file.
func (l *Log) rename() error {
	if l.cfg.Keep <= 0 {
		return os.Remove(l.cfg.Path)
	}
	for i := l.cfg.Keep; i > 1; i-- {
		if err := os.Rename(l.old(i-1), l.old(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Rename(l.cfg.Path, l.old(1))
}

func (l *Log) old(i int) string { return l.cfg.Path + "." + strconv.Itoa(i) }
