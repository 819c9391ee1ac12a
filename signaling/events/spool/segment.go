package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// segmentSuffix ends the names of segments.
const segmentSuffix = ".events"

// segment is a file with entries, as far as it can be read.
type segment struct {
	path  string
	base  uint64 // no entry has a lower number
	end   uint64 // no entry has this number or a higher one
	size  int64  // bytes, of whole records
	count uint64 // entries
}

func segmentPath(dir string, base uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x", base)+segmentSuffix)
}

// scan finds the segments in a directory, oldest first, and how many of them are damaged. Of those, what can be read counts;
// one without anything that can be read is left out.
func scan(dir string) (found []*segment, damaged int, err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, n := range names { // in the order of their names, so of their numbers
		number, is := strings.CutSuffix(n.Name(), segmentSuffix)
		base, err := strconv.ParseUint(number, 16, 64)
		if !is || err != nil || len(number) != 16 || !n.Type().IsRegular() {
			continue
		}
		g, err := scanSegment(filepath.Join(dir, n.Name()), base)
		if errors.Is(err, errDamaged) {
			damaged++
		} else if err != nil {
			return nil, 0, err
		}
		if g != nil {
			found = append(found, g)
		}
	}
	for i := 1; i < len(found); i++ {
		// A write that failed half may have left records that were then written to the next segment.
		found[i-1].end = min(found[i-1].end, found[i].base)
	}
	return slices.DeleteFunc(found, func(g *segment) bool { return g.end <= g.base }), damaged, nil
}

// scanSegment reads a segment through. It returns what there is up to the damage together with errDamaged.
func scanSegment(path string, base uint64) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rs, err := newRecords(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if rs.base != base {
		return nil, fmt.Errorf("%s: %w: another segment's", path, errDamaged)
	}
	g := &segment{path: path, base: base, end: base, size: headerSize}
	for {
		_, err := rs.next()
		switch {
		case errors.Is(err, io.EOF):
			return g, nil
		case errors.Is(err, errDamaged):
			return g, fmt.Errorf("%s: %w", path, err)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		g.end, g.size, g.count = rs.last+1, rs.read, g.count+1
	}
}

// reader reads one segment for a cursor. Its zero value reads none.
type reader struct {
	of   *segment
	file *os.File
	rs   *records
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close() // only read
	}
	*r = reader{}
}

// errUnopened says that a segment is there and cannot be opened, as when too many files are open: that may pass.
var errUnopened = errors.New("cannot be opened")

// read returns the next entry of a segment with a number not below from: errDamaged when there is none though there should be,
// an error of [fs.ErrNotExist] when the segment was removed meanwhile.
func (r *reader) read(g *segment, from uint64) (Entry, error) {
	if r.of != g || r.rs.last >= from {
		r.close()
		f, err := os.Open(g.path)
		if err != nil && !gone(err) {
			err = fmt.Errorf("%w: %w", errUnopened, err)
		}
		if err != nil {
			return Entry{}, err
		}
		rs, err := newRecords(f)
		if err != nil {
			_ = f.Close()
			return Entry{}, err
		}
		*r = reader{of: g, file: f, rs: rs}
	}
	for {
		e, err := r.rs.next()
		switch {
		case errors.Is(err, io.EOF):
			r.close() // more may be written to it
			return Entry{}, errDamaged
		case err != nil:
			r.close()
			return Entry{}, err
		case e.Seq >= from:
			return e, nil
		}
	}
}

// gone tells whether an error says that a segment was removed.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
