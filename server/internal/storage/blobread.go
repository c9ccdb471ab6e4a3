package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

// BlobFault says why a blob cannot be delivered.
type BlobFault string

// The faults. Each names what is wrong with the file, none what is in it.
const (
	BlobMissing   BlobFault = "it is not there"
	BlobWrongKey  BlobFault = "it was encrypted for another key"
	BlobDamaged   BlobFault = "it was changed or cut"
	BlobMisplaced BlobFault = "it belongs under another name"
	BlobKeyGone   BlobFault = "the key of its dataset was destroyed"
)

// BlobError is a blob that cannot be delivered.
type BlobError struct {
	Kind  string // of the blob: "dataset", "digests", "archive", "model", "weights"
	Fault BlobFault
	Err   error
}

func (e *BlobError) Error() string {
	text := fmt.Sprintf("stored %s cannot be read: %s", e.Kind, e.Fault)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *BlobError) Unwrap() error { return e.Err }

// blobReader decrypts while it reads and types every error.
type blobReader struct {
	kind    string
	file    io.Closer
	content io.Reader
}

// OpenBlob reads a blob. Every byte it returns is authentic and in its place, but only io.EOF says that there are no more: a reader must
// not use what it got before an error.
func (s *Store) OpenBlob(kind, id string) (io.ReadCloser, error) {
	return s.openBlob(kind, id, s.identity)
}

func (s *Store) openBlob(kind, id string, keys ...age.Identity) (io.ReadCloser, error) {
	path, err := s.blobPath(kind, id)
	if err != nil {
		return nil, &BlobError{Kind: kind, Fault: BlobMissing, Err: err}
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &BlobError{Kind: kind, Fault: BlobMissing, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open stored %s: %w", kind, err)
	}
	content, err := decrypt(kind, id, file, keys)
	if err != nil {
		file.Close()
		return nil, err
	}
	return &blobReader{kind: kind, file: file, content: content}, nil
}

func decrypt(kind, id string, file io.Reader, keys []age.Identity) (io.Reader, error) {
	content, err := age.Decrypt(file, keys...)
	if err != nil {
		var noMatch *age.NoIdentityMatchError
		if errors.As(err, &noMatch) {
			return nil, &BlobError{Kind: kind, Fault: BlobWrongKey, Err: err}
		}
		return nil, blobReadError(kind, err)
	}
	want := label(kind, id)
	got := make([]byte, len(want))
	n, err := io.ReadFull(content, got)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, blobReadError(kind, err)
	}
	// A shorter plaintext that ends well is somebody else's too.
	if n != len(want) || !bytes.Equal(got, want) {
		return nil, &BlobError{Kind: kind, Fault: BlobMisplaced}
	}
	return content, nil
}

// blobReadError tells a disk that cannot read from a file that does not hold what was written.
func blobReadError(kind string, err error) error {
	var system *fs.PathError
	if errors.As(err, &system) {
		return fmt.Errorf("read stored %s: %w", kind, err)
	}
	return &BlobError{Kind: kind, Fault: BlobDamaged, Err: err}
}

func (r *blobReader) Read(into []byte) (int, error) {
	n, err := r.content.Read(into)
	if err != nil && err != io.EOF {
		err = blobReadError(r.kind, err)
	}
	return n, err
}

func (r *blobReader) Close() error { return r.file.Close() }

// BlobMemfd decrypts a blob into a sealed file in memory and checks the digest of its content. The caller closes it.
func (s *Store) BlobMemfd(ctx context.Context, kind, id string, sha256 []byte) (*os.File, error) {
	blob, err := s.OpenBlob(kind, id)
	if err != nil {
		return nil, err
	}
	return memfdOf(ctx, kind, blob, sha256)
}

// memfdOf takes the blob over.
func memfdOf(ctx context.Context, kind string, blob io.ReadCloser, sha256 []byte) (*os.File, error) {
	defer blob.Close()
	memory, err := NewMemfd(kind)
	if err != nil {
		return nil, err
	}
	if err := fillMemfd(ctx, memory, kind, blob, sha256); err != nil {
		memory.Close()
		return nil, err
	}
	return memory, nil
}

func fillMemfd(ctx context.Context, memory *os.File, kind string, blob io.Reader, wantSHA256 []byte) error {
	digest := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(blob, buffer)
		digest.Write(buffer[:n])
		if _, err := memory.Write(buffer[:n]); err != nil {
			return outOfSpace(fmt.Errorf("hold stored %s in memory: %w", kind, err))
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if !bytes.Equal(digest.Sum(nil), wantSHA256) {
		return &BlobError{Kind: kind, Fault: BlobDamaged, Err: errors.New("its digest is another")}
	}
	return SealMemfd(memory)
}

// DeleteBlob removes a blob, durably. One that is not there is no error.
func (s *Store) DeleteBlob(kind, id string) error {
	path, err := s.blobPath(kind, id)
	if err != nil {
		return fmt.Errorf("delete stored %s: %w", kind, err)
	}
	err = s.files.remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete stored %s: %w", kind, err)
	}
	return s.files.syncDir(filepath.Dir(path))
}

// BlobIDs lists the committed blobs of a kind.
func (s *Store) BlobIDs(kind string) ([]string, error) {
	path, err := s.blobPath(kind, "0")
	if err != nil {
		return nil, fmt.Errorf("list stored %s: %w", kind, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list stored %s: %w", kind, err)
	}
	var ids []string
	for _, entry := range entries {
		if id, ok := strings.CutSuffix(entry.Name(), blobSuffix); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// BlobBytes is the size of a blob as it lies, a little more than what is in it.
func (s *Store) BlobBytes(kind, id string) (int64, error) {
	path, err := s.blobPath(kind, id)
	if err != nil {
		return 0, fmt.Errorf("look at stored %s: %w", kind, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("look at stored %s: %w", kind, err)
	}
	return info.Size(), nil
}

// SweepBlobs removes the blobs of a kind that are not wanted, those that what they were made for never came to need. Where it is not known
// of one, that one and those after it stay.
func (s *Store) SweepBlobs(kind string, wanted func(id string) (bool, error)) error {
	ids, err := s.BlobIDs(kind)
	if err != nil {
		return err
	}
	for _, id := range ids {
		keep, err := wanted(id)
		if err == nil && !keep {
			err = s.DeleteBlob(kind, id)
		}
		if err != nil {
			return fmt.Errorf("remove stored %s that nothing wants: %w", kind, err)
		}
	}
	return nil
}
