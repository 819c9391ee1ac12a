package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	placeSuffix = ".cursor" // ends the names of cursors' files
	slotSize    = 24
)

// place is how far a cursor is, as its file says. Two slots are written in turn and in place: that needs no new block of a full disk, and
// a write that is torn by a power cut leaves the other.
type place struct {
	path           string
	file           *os.File
	turn           int64 // slot to be written next
	acked, highest uint64
}

// load reads the file, if there is one. Rubbish in it counts as none.
func (p *place) load(dir, name string) (known bool, err error) {
	p.path = filepath.Join(dir, name+placeSuffix)
	b, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	for i := int64(0); i < 2 && len(b) >= slotSize; i++ {
		if acked, highest, ok := parseSlot(b[:slotSize]); ok && (!known || acked > p.acked || acked == p.acked && highest > p.highest) {
			p.acked, p.highest, p.turn, known = acked, highest, 1-i, true
		}
		b = b[slotSize:]
	}
	return known, nil
}

// save writes the place if it has changed.
func (p *place) save(acked, highest uint64) error {
	switch {
	case p.file != nil && acked == p.acked && highest == p.highest:
		return nil
	case p.file == nil:
		f, err := os.OpenFile(p.path, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		p.file = f
	}
	if _, err := p.file.WriteAt(appendSlot(nil, acked, highest), p.turn*slotSize); err != nil {
		return fmt.Errorf("place of a cursor: %w", err)
	}
	p.acked, p.highest, p.turn = acked, highest, 1-p.turn
	return nil
}

// close lets go of the file.
func (p *place) close() {
	if p.file != nil {
		_ = p.file.Close() // what was written is written
		p.file = nil
	}
}

func appendSlot(b []byte, acked, highest uint64) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, acked)
	b = binary.LittleEndian.AppendUint64(b, highest)
	binary.LittleEndian.PutUint32(b[start:], crc32.Checksum(b[start+4:], castagnoli))
	return b
}

func parseSlot(b []byte) (acked, highest uint64, ok bool) {
	acked, highest = binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	return acked, highest, crc32.Checksum(b[4:], castagnoli) == binary.LittleEndian.Uint32(b) && acked <= highest && highest < 1<<62
}
