package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Source is what a backup is taken of, and how.
type Source struct {
	Dir        string // the data directory
	Kind       Kind
	Recipients []age.Recipient // none: it is not encrypted
	Release    string
	Now        func() time.Time
}

// Take writes a backup to a new file. Of a handover the directory is barred before the file has its name: there is never a file from which
// everything goes on while the directory still does.
func Take(ctx context.Context, s Source, path string) (m Manifest, err error) {
	if err := s.checkPlace(path); err != nil {
		return m, err
	}
	var held *storage.Held
	if s.Kind == Handover {
		if held, err = storage.Hold(s.Dir); err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, held.Release()) }()
	}
	staging, err := os.MkdirTemp(filepath.Dir(path), ".unfinished-backup-") // mode 0700
	if err != nil {
		return m, full(fmt.Errorf("make backup: %w", err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(staging)) }()
	temporary := filepath.Join(staging, "backup")
	if m, err = s.write(ctx, staging, temporary); err != nil {
		return m, full(err)
	}
	if held != nil {
		// PRIVACY: first, and durably: else the budgets could go on in two places.
		if err := held.HandOver(ctx); err != nil {
			return m, full(err)
		}
	}
	if err := os.Link(temporary, path); err != nil { // unlike a renaming it replaces nothing
		return m, fmt.Errorf("name backup: %w", err)
	}
	return m, syncDir(filepath.Dir(path))
}

func (s Source) checkPlace(path string) error {
	dir, err := filepath.EvalSymlinks(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return refusal.New(refusal.NotFound, "name the directory that the server was started with, with --data-dir", "%s is no data directory of a server", s.Dir)
	}
	if err != nil {
		return fmt.Errorf("look at data directory: %w", err)
	}
	into, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return refusal.New(refusal.InvalidArgument, "name a file in a folder that there is", "there is no folder for the backup: %s", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("look at data directory: %w", err)
	}
	if into, err = filepath.Abs(into); err != nil {
		return fmt.Errorf("look at folder of backup: %w", err)
	}
	if into == dir || strings.HasPrefix(into, dir+string(os.PathSeparator)) {
		return refusal.New(refusal.InvalidArgument, "name a file on another disk", "a backup inside the data directory goes where that goes")
	}
	if _, err := os.Lstat(path); err == nil {
		return refusal.New(refusal.InvalidArgument, "name a new file", "%s is there already", path)
	}
	return nil
}

// write copies the database first: the ledger and the audit log are appended to only, and what the copy names of them is in what they are by then.
func (s Source) write(ctx context.Context, staging, path string) (m Manifest, err error) {
	if err := storage.CopyDatabase(ctx, s.Dir, staging); err != nil {
		return m, err
	}
	peeked, err := storage.Peek(ctx, staging)
	if err != nil {
		return m, err
	}
	known, err := storage.Peek(ctx, s.Dir)
	if err != nil {
		return m, err
	}
	if known.Level == "" {
		return m, refusal.New(refusal.NotFound, "start a server on it first", "%s was never opened by a server to its end: there is nothing in it", s.Dir)
	}
	if known.Level == storage.File && known.Keys == nil {
		return m, refusal.New(refusal.Unavailable, "run the command as the user that the server runs as; without its key a directory cannot be restored",
			"the key of the data directory %s cannot be read", s.Dir)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateMode)
	if err != nil {
		return m, fmt.Errorf("make backup: %w", err)
	}
	defer file.Close() // again after it was closed in order, or after an error that says more
	written := sha256.New()
	sealed, err := s.sealed(io.MultiWriter(file, written))
	if err != nil {
		return m, err
	}
	w := &writer{archive: tar.NewWriter(sealed), at: positionOf(peeked), keys: known.Keys, manifest: Manifest{
		Form: form, Kind: s.Kind, Level: known.Level, Release: s.Release, UnixMS: s.Now().UnixMilli(), Records: peeked.Records,
	}}
	if err := w.all(ctx, staging, s); err != nil {
		return m, err
	}
	if err := errors.Join(w.archive.Close(), sealed.Close(), file.Sync(), file.Close()); err != nil {
		return m, fmt.Errorf("write backup: %w", err)
	}
	return w.manifest, s.readBack(path, hex.EncodeToString(written.Sum(nil)))
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (s Source) sealed(to io.Writer) (io.WriteCloser, error) {
	if len(s.Recipients) == 0 {
		return nopCloser{to}, nil
	}
	sealed, err := age.Encrypt(to, s.Recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt backup: %w", err)
	}
	return sealed, nil
}

// readBack reads what the disk has: as it was written, and where it is not encrypted, member by member.
func (s Source) readBack(path, want string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read backup back: %w", err)
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return fmt.Errorf("read backup back: %w", err)
	}
	if hex.EncodeToString(digest.Sum(nil)) != want {
		return damaged("the disk does not hold what was written")
	}
	if len(s.Recipients) > 0 {
		return nil // only who has the identity can
	}
	_, err = Verify(path)
	return err
}
