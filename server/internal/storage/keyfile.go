package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// recipientFact remembers which key the directory's blobs are encrypted for.
const recipientFact = "blob-recipient"

// loadBlobKey reads the key of the blobs, and makes one where the directory never had one. A key that went missing is never replaced: the
// blobs would be lost without a word.
func (s *Store) loadBlobKey(ctx context.Context) (*age.X25519Identity, error) {
	path := filepath.Join(s.dir, keyFolder, blobKeyFile)
	known, remembered, err := s.Fact(ctx, recipientFact)
	if err != nil {
		return nil, err
	}
	content, err := ReadKeyFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && remembered:
		return nil, refusal.New(refusal.Unavailable, "put the key file back from a backup", "the key of the stored data, %s, is missing", path)
	case errors.Is(err, fs.ErrNotExist):
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, fmt.Errorf("make key of stored data: %w", err)
		}
		content = []byte(identity.String() + "\n")
		if err := CreateKeyFile(path, content); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	}
	identity, err := age.ParseX25519Identity(strings.TrimSpace(string(content)))
	if err != nil {
		// SECURITY: the parser's error could quote the file, and so the key.
		return nil, refusal.New(refusal.Unavailable, "put the key file back from a backup", "the key of the stored data, %s, is damaged", path)
	}
	recipient := []byte(identity.Recipient().String())
	if !remembered {
		return identity, s.SetFact(ctx, recipientFact, recipient)
	}
	if !bytes.Equal(known, recipient) {
		return nil, refusal.New(refusal.Unavailable, "put the right key file back from a backup",
			"the key in %s is not the one that the stored data is encrypted for", path)
	}
	return identity, nil
}

// ReadKeyFile reads a key file and refuses one that others than its owner may read.
func ReadKeyFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	// SECURITY: a key that a group or the world may read is no secret any more.
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, refusal.New(refusal.Unavailable, "find out who could read it, then run chmod 600 on it",
			"the key file %s is open to others than its owner", path)
	}
	content, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return content, nil
}

// CreateKeyFile writes a key to a new file that only its owner may read, durably, and refuses to replace one.
func CreateKeyFile(path string, content []byte) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("create key: %w", fs.ErrExist)
	}
	return ReplaceKeyFile(path, content)
}

// ReplaceKeyFile writes a key to a file that only its owner may read, durably; one that is there is replaced whole or not at all.
func ReplaceKeyFile(path string, content []byte) error {
	// Written beside and renamed: a crash never leaves half a key under the real name.
	temporary := temporaryName(path)
	// SECURITY: O_EXCL and 0600: nobody can have put a file, a link or a wider mode there before.
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateMode)
	if err != nil {
		return outOfSpace(fmt.Errorf("write key: %w", err))
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return outOfSpace(fmt.Errorf("write key: %w", errors.Join(err, os.Remove(temporary))))
	}
	return osFiles{}.syncDir(filepath.Dir(path))
}
