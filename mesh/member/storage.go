package member

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cardea/relay/link/wire"
)

// Files in the mesh's directory. What belongs together is in one file, since one file can be replaced as a whole.
const (
	keyFile         = "node.key"         // the node's private key
	clusterFile     = "cluster.pem"      // certificate, pass, authority, gossip keys; the authority's key where it is held
	peersFile       = "peers.json"       // where other nodes were last
	invitationsFile = "invitations.json" // hashes of open invitations
	expulsionsFile  = "expulsions.json"  // those in force, as the authority signed them
	lockFile        = "lock"
)

// maxStateFile bounds what is read of any of them, bytes.
const maxStateFile = 1 << 20

// lockPatience is how long another process may take to let go of the directory, as one that is just being stopped does.
const lockPatience = 2 * time.Second

// ErrInUse says that another process uses the directory.
var ErrInUse = errors.New("another node uses this data directory")

// storage is the mesh's directory. The empty storage keeps nothing.
type storage struct {
	dir  string
	lock *os.File
}

// openStorage makes the directory if need be and locks it.
func openStorage(dir string) (*storage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("mesh directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory
		return nil, fmt.Errorf("mesh directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("mesh directory: %w", err)
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(20 * time.Millisecond) {
		err = tryLock(f)
		if err == nil {
			return &storage{dir, f}, nil
		}
		if !errors.Is(err, ErrInUse) || time.Now().After(deadline) {
			break
		}
	}
	_ = f.Close()
	return nil, fmt.Errorf("%s: %w", dir, err)
}

// IsMember tells whether a directory, as [Config] names one, belongs to a member, which needs no invitation.
func IsMember(dir string) bool { return holdsIdentity(dir) }

// holdsIdentity tells whether a directory belongs to a member.
func holdsIdentity(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, clusterFile))
	return err == nil
}

func (s *storage) close() {
	if s.lock != nil {
		_ = s.lock.Close() // which lets go of the lock
		s.lock = nil
	}
}

// durable tells whether anything is kept.
func (s *storage) durable() bool { return s.dir != "" }

// read returns a file's content, nil if there is none.
func (s *storage) read(name string) ([]byte, error) {
	if !s.durable() {
		return nil, nil
	}
	info, err := os.Stat(filepath.Join(s.dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the mesh's state: %w", err)
	case info.Size() > maxStateFile:
		return nil, fmt.Errorf("read the mesh's state: %s is longer than %d bytes", name, maxStateFile)
	}
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return nil, fmt.Errorf("read the mesh's state: %w", err)
	}
	return b, nil
}

// write replaces a file, so that a crash leaves the old content or the new.
func (s *storage) write(name string, content []byte) (err error) {
	if !s.durable() {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep the mesh's state: %w", err)
		}
	}()
	f, err := os.CreateTemp(s.dir, name+".*") // readable by its owner alone
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(s.dir, name))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only read
	return d.Sync()
}

// key returns the node's private key, a new one the first time.
func (s *storage) key() (ed25519.PrivateKey, error) {
	b, err := s.read(keyFile)
	if err != nil {
		return nil, err
	}
	if b != nil {
		return parseKey(b)
	}
	return s.newKey()
}

// newKey makes another private key for the node.
func (s *storage) newKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a node key: %w", err)
	}
	block, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, s.write(keyFile, block)
}

// Types of the blocks in PEM files.
const (
	blockKey         = "PRIVATE KEY"
	blockCertificate = "CERTIFICATE"
	blockPass        = "CARDEA PASS"
	blockAuthority   = "CARDEA AUTHORITY"
	blockRing        = "CARDEA GOSSIP KEYS"
)

func encodeKey(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), nil
}

func parseKey(b []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != blockKey {
		return nil, fmt.Errorf("%s: no private key in it", keyFile)
	}
	return parseKeyBlock(block.Bytes)
}

func parseKeyBlock(der []byte) (ed25519.PrivateKey, error) {
	any, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	key, ok := any.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("private key: not Ed25519")
	}
	return key, nil
}

// membership is what makes a node a member.
type membership struct {
	authority   *authority
	credentials credentials
	rawRing     []byte
	ring        ring
}

// encode returns the content of the cluster file.
func (m membership) encode() ([]byte, error) {
	var b []byte
	add := func(kind string, content []byte) {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})...)
	}
	add(blockCertificate, m.credentials.cert.Raw)
	add(blockPass, wire.Marshal(&m.credentials.pass))
	add(blockAuthority, m.authority.cert.Raw)
	add(blockRing, m.rawRing)
	if m.authority.key != nil {
		key, err := encodeKey(m.authority.key)
		if err != nil {
			return nil, err
		}
		b = append(b, key...)
	}
	return b, nil
}

// parseMembership is the inverse of encode. It checks the ring, but not whether the credentials are still good.
func parseMembership(b []byte) (membership, error) {
	var m membership
	var cert, passed, root, keys []byte
	var key ed25519.PrivateKey
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			break
		}
		b = rest
		switch block.Type {
		case blockCertificate:
			cert = block.Bytes
		case blockPass:
			passed = block.Bytes
		case blockAuthority:
			root = block.Bytes
		case blockRing:
			keys = block.Bytes
		case blockKey:
			var err error
			if key, err = parseKeyBlock(block.Bytes); err != nil {
				return m, fmt.Errorf("%s: %w", clusterFile, err)
			}
		}
	}
	var err error
	if m.authority, err = openAuthority(root, key); err != nil {
		return m, fmt.Errorf("%s: %w", clusterFile, err)
	}
	if m.credentials.cert, err = x509.ParseCertificate(cert); err != nil {
		return m, fmt.Errorf("%s: %w", clusterFile, err)
	}
	if err = wire.Unmarshal(passed, &m.credentials.pass); err != nil {
		return m, fmt.Errorf("%s: %w", clusterFile, err)
	}
	m.rawRing = keys
	if m.ring, err = parseRing(keys, m.authority); err != nil {
		return m, fmt.Errorf("%s: %w", clusterFile, err)
	}
	return m, nil
}

// membership reads the cluster file; ok is false if there is none.
func (s *storage) membership() (m membership, ok bool, err error) {
	b, err := s.read(clusterFile)
	if b == nil || err != nil {
		return m, false, err
	}
	m, err = parseMembership(b)
	return m, err == nil, err
}

func (s *storage) saveMembership(m membership) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	return s.write(clusterFile, b)
}

// readJSON reads a file into v, which stays as it is if there is none.
func (s *storage) readJSON(name string, v any) error {
	b, err := s.read(name)
	if b == nil || err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (s *storage) writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return s.write(name, append(b, '\n'))
}
