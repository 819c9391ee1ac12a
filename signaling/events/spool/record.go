package spool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// Entry is one event as it is kept.
type Entry struct {
	// Kind is the bit of the entry's type, by which cursors select.
	Kind uint16
	// Time is when it happened; microseconds are kept.
	Time time.Time
	// Key says what the entry is about: order matters among entries of one key. At most [MaxKey] bytes.
	Key string
	// Value is what is delivered. It must not be changed any more.
	Value []byte
	// Seq is the entry's number, rising from 1, and Run the process that gave it. [Spool.Append] sets both.
	Seq uint64
	Run uint64
	// Bare says that its JSON does not bear its ID, as [Config.Bare] has it.
	Bare bool
}

// ID names the entry among all that nodes ever make, by the process and the number in it. It stays the same when an entry is
// delivered again, and by whichever way.
func (e *Entry) ID() string { return fmt.Sprintf("%014x-%d", e.Run, e.Seq) }

// AppendJSON appends the value as it is delivered: a JSON object, whose first member "id" is the entry's ID unless it is bare. A value
// that is no object is left as it is.
func (e *Entry) AppendJSON(dst []byte) []byte {
	if e.Bare || len(e.Value) < len("{}") || e.Value[0] != '{' {
		return append(dst, e.Value...)
	}
	dst = append(append(append(dst, `{"id":"`...), e.ID()...), '"')
	if e.Value[1] != '}' {
		dst = append(dst, ',')
	}
	return append(dst, e.Value[1:]...)
}

// Bounds of an entry, bytes. A value fits into one Kafka message of a broker's default size (1 MB).
const (
	MaxKey   = 1 << 10
	MaxValue = 768 << 10
)

// entryCost is what an entry takes in memory beside key and value.
const entryCost = 96

func (e *Entry) cost() int64 { return entryCost + int64(len(e.Key)+len(e.Value)) }

const (
	headerSize = 24
	frameSize  = 8  // length and checksum
	fixedSize  = 20 // of a body
	maxBody    = fixedSize + MaxKey + MaxValue
	version    = 1
)

var magic = [4]byte{'C', 'D', 'E', 'V'}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that what a file holds is not what was written, or not all of it.
var errDamaged = errors.New("damaged")

// runBits is how many bits of a run a header has room for: enough that no two processes ever have the same.
const runBits = 56

// header is the beginning of a segment.
type header struct {
	run  uint64
	base uint64
}

// bytes returns the header as it stands in a segment.
func (h header) bytes() []byte {
	b := append(make([]byte, 0, headerSize), magic[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.run<<8|version)
	b = binary.LittleEndian.AppendUint64(b, h.base)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseHeader(b []byte) (header, error) {
	if len(b) != headerSize || [4]byte(b) != magic || crc32.Checksum(b[:20], castagnoli) != binary.LittleEndian.Uint32(b[20:]) {
		return header{}, errDamaged
	}
	if b[4] != version {
		return header{}, fmt.Errorf("version %d of segments is not known", b[4])
	}
	return header{run: binary.LittleEndian.Uint64(b[4:]) >> 8, base: binary.LittleEndian.Uint64(b[12:])}, nil
}

// appendRecord appends an entry as it stands in a segment.
func appendRecord(b []byte, e *Entry) []byte {
	body := fixedSize + len(e.Key) + len(e.Value)
	b = binary.LittleEndian.AppendUint32(b, uint32(body)) //nolint:gosec // at most maxBody
	sum := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, e.Seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Time.UnixMicro())) //nolint:gosec // two's complement, both ways
	b = binary.LittleEndian.AppendUint16(b, e.Kind)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.Key))) //nolint:gosec // at most MaxKey
	b = append(b, e.Key...)
	b = append(b, e.Value...)
	binary.LittleEndian.PutUint32(b[sum:], crc32.Checksum(b[sum+4:], castagnoli))
	return b
}

// parseBody returns the entry in a body whose checksum is right. The value is a part of the body.
func parseBody(b []byte) (Entry, error) {
	if len(b) < fixedSize {
		return Entry{}, errDamaged
	}
	key := int(binary.LittleEndian.Uint16(b[18:]))
	if key > MaxKey || fixedSize+key > len(b) || len(b)-fixedSize-key > MaxValue {
		return Entry{}, errDamaged
	}
	return Entry{
		Seq:  binary.LittleEndian.Uint64(b),
		Time: time.UnixMicro(int64(binary.LittleEndian.Uint64(b[8:]))), //nolint:gosec // two's complement, both ways
		Kind: binary.LittleEndian.Uint16(b[16:]),
		Key:  string(b[fixedSize : fixedSize+key]), Value: b[fixedSize+key:],
	}, nil
}

// records reads a segment from its beginning.
type records struct {
	header
	r    *bufio.Reader
	last uint64 // sequence number of the record before
	read int64  // bytes of whole records read, the header included
}

// readBuffer is how much of a segment is read at a time.
const readBuffer = 64 << 10

// newRecords reads the header. It fails with errDamaged if there is none.
func newRecords(r io.Reader) (*records, error) {
	rs := &records{r: bufio.NewReaderSize(r, readBuffer), read: headerSize}
	var b [headerSize]byte
	if _, err := io.ReadFull(rs.r, b[:]); err != nil {
		return nil, shortOr(err)
	}
	var err error
	rs.header, err = parseHeader(b[:])
	return rs, err
}

// next returns the next entry; io.EOF after the last one, errDamaged if what follows is none.
func (rs *records) next() (Entry, error) {
	var frame [frameSize]byte
	if _, err := io.ReadFull(rs.r, frame[:]); errors.Is(err, io.EOF) {
		return Entry{}, io.EOF
	} else if err != nil {
		return Entry{}, shortOr(err)
	}
	length := binary.LittleEndian.Uint32(frame[:])
	if length < fixedSize || length > maxBody {
		return Entry{}, errDamaged
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(rs.r, body); err != nil {
		return Entry{}, shortOr(err)
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(frame[4:]) {
		return Entry{}, errDamaged
	}
	e, err := parseBody(body)
	if err != nil {
		return Entry{}, err
	}
	if e.Seq < rs.base || e.Seq <= rs.last {
		return Entry{}, errDamaged // of another segment, or repeated
	}
	e.Run, rs.last = rs.run, e.Seq
	rs.read += frameSize + int64(length)
	return e, nil
}

// shortOr returns errDamaged for a file that ends too early, and any other error as it is.
func shortOr(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errDamaged
	}
	return err
}
