package storage

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"filippo.io/age"
)

var (
	blobKindForm = regexp.MustCompile(`^[a-z]{1,32}$`)
	blobIDForm   = regexp.MustCompile(`^[a-z0-9]{1,64}$`)
)

const blobSuffix = ".age"

// blobPath is where a blob lies. SECURITY: kind and id become file names, so nothing but these letters is let through.
func (s *Store) blobPath(kind, id string) (string, error) {
	if !blobKindForm.MatchString(kind) || !blobIDForm.MatchString(id) {
		return "", errors.New("malformed blob name")
	}
	return filepath.Join(s.dir, blobFolder, kind, id+blobSuffix), nil
}

// label opens every blob's plaintext. SECURITY: encryption alone would let whoever can write to the disk exchange two blobs.
func label(kind, id string) []byte { return []byte("bastionlab blob 1\n" + kind + "\n" + id + "\n") }

// BlobWriter writes one blob. It becomes visible at Commit; anything else leaves nothing. It is used by one goroutine.
type BlobWriter struct {
	store     *Store
	kind      string
	path      string
	temporary string
	recipient age.Recipient
	file      blobFile
	sealed    io.WriteCloser
	digest    hash.Hash
	size      int64
	done      bool
}

// CreateBlob begins a blob under a name that no other has, encrypted for the server's key.
func (s *Store) CreateBlob(kind, id string) (*BlobWriter, error) {
	return s.createBlob(kind, id, s.identity.Recipient())
}

func (s *Store) createBlob(kind, id string, recipient age.Recipient) (*BlobWriter, error) {
	path, err := s.blobPath(kind, id)
	if err != nil {
		return nil, fmt.Errorf("create stored %s: %w", kind, err)
	}
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := s.takeName(path); err != nil {
		return nil, fmt.Errorf("create stored %s: %w", kind, err)
	}
	b := &BlobWriter{store: s, kind: kind, path: path, temporary: temporaryName(path), recipient: recipient, digest: sha256.New()}
	if err := b.begin(id); err != nil {
		b.Abort()
		return nil, outOfSpace(fmt.Errorf("create stored %s: %w", kind, err))
	}
	return b, nil
}

func (b *BlobWriter) begin(id string) error {
	file, err := b.store.files.create(b.temporary)
	if err != nil {
		return err
	}
	b.file = file
	if b.sealed, err = age.Encrypt(b.file, b.recipient); err != nil {
		return err
	}
	_, err = b.sealed.Write(label(b.kind, id))
	return err
}

// Write takes more of the content. After an error the blob is gone and Commit fails.
func (b *BlobWriter) Write(content []byte) (int, error) {
	if b.done {
		return 0, fmt.Errorf("write stored %s: %w", b.kind, os.ErrClosed)
	}
	if err := leaveReserve(b.store.files, filepath.Dir(b.path), len(content)); err != nil {
		b.Abort()
		return 0, outOfSpace(fmt.Errorf("write stored %s: %w", b.kind, err))
	}
	n, err := b.sealed.Write(content)
	b.digest.Write(content[:n])
	b.size += int64(n)
	if err != nil {
		b.Abort()
		return n, outOfSpace(fmt.Errorf("write stored %s: %w", b.kind, err))
	}
	return n, nil
}

// Commit makes the blob durable and visible, and returns digest and size of its content.
func (b *BlobWriter) Commit() (sha256 []byte, size int64, err error) {
	if b.done {
		return nil, 0, fmt.Errorf("commit stored %s: %w", b.kind, os.ErrClosed)
	}
	if err := b.commit(); err != nil {
		b.Abort()
		return nil, 0, outOfSpace(fmt.Errorf("commit stored %s: %w", b.kind, err))
	}
	b.done = true
	b.store.leaveName(b.path)
	return b.digest.Sum(nil), b.size, nil
}

func (b *BlobWriter) commit() error {
	if err := b.sealed.Close(); err != nil {
		return err
	}
	// The content is synced before the name exists, and the name before anyone is told of it.
	if err := b.file.Sync(); err != nil {
		return err
	}
	if err := b.file.Close(); err != nil {
		return err
	}
	b.file = nil
	if err := b.store.files.rename(b.temporary, b.path); err != nil {
		return err
	}
	if err := b.store.files.syncDir(filepath.Dir(b.path)); err != nil {
		// Whether the name lasts is not known, so it must not stay: the caller will be told that there is no blob.
		return errors.Join(err, b.store.files.remove(b.path))
	}
	return nil
}

// Abort drops the blob. It does nothing after Commit or another Abort.
func (b *BlobWriter) Abort() {
	if b.done {
		return
	}
	b.done = true
	if b.file != nil {
		b.file.Close() // its content is not wanted
	}
	// What cannot be removed now is removed at the next Open.
	_ = b.store.files.remove(b.temporary)
	b.store.leaveName(b.path)
}

// takeName makes sure that one writer has the name and that no blob is replaced.
func (s *Store) takeName(path string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	if s.blobsInWork[path] {
		return fs.ErrExist
	}
	s.blobsInWork[path] = true
	return nil
}

func (s *Store) leaveName(path string) {
	s.writing.Lock()
	defer s.writing.Unlock()
	delete(s.blobsInWork, path)
}
