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
	"syscall"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// writer writes the members of a backup.
type writer struct {
	archive  *tar.Writer
	at       position
	keys     func(purpose string) [32]byte // nil: the directory's key is in no file
	manifest Manifest
}

func (w *writer) all(ctx context.Context, staging string, s Source) error {
	copied, err := storage.Content(staging) // the database is no part of it
	if err != nil {
		return err
	}
	if len(copied) > 0 && !(len(copied) == 1 && copied[0] == "backup") {
		return fmt.Errorf("make backup: the copy of the database is not one file: %v", copied)
	}
	if err := w.add(staging, storage.DatabaseFile); err != nil {
		return err
	}
	// The ledger next: where the key ends with the server, a restart puts it aside.
	if w.at.records > 0 {
		if err := w.add(s.Dir, ledger.FileName); err != nil {
			return err
		}
	}
	paths, err := storage.Content(s.Dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if path == ledger.FileName {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := w.add(s.Dir, path)
		if errors.Is(err, fs.ErrNotExist) && storage.IsBlob(path) && s.Kind == Snapshot {
			w.manifest.Gone = append(w.manifest.Gone, slashed(path))
		} else if err != nil {
			return err
		}
	}
	return w.end()
}

// add copies one file, as long as it is at this moment.
func (w *writer) add(dir, path string) error {
	file, err := os.OpenFile(filepath.Join(dir, path), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("read for backup: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read for backup: %w", err)
	}
	size := info.Size()
	if bytes, cut := w.at.cut(path); cut {
		size = bytes
	}
	name := slashed(path)
	if err := w.archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: privateMode, ModTime: info.ModTime()}); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	seen := &tail{digest: sha256.New()}
	if n, err := io.Copy(w.archive, io.TeeReader(io.LimitReader(file, size), seen)); err != nil {
		return fmt.Errorf("write backup: %w", err)
	} else if n != size {
		return refusal.New(refusal.Unavailable, "take the backup again", "%s became shorter while it was copied", name)
	}
	if path == ledger.FileName {
		if err := seen.fits(w.at); err != nil {
			return err
		}
	}
	w.manifest.Files = append(w.manifest.Files, File{Path: name, Bytes: size, SHA256: hex.EncodeToString(seen.digest.Sum(nil))})
	return nil
}

func (w *writer) end() (err error) {
	if w.keys != nil && w.manifest.Level == storage.File {
		if w.manifest.Seal, err = w.manifest.sealed(w.keys); err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
	}
	encoded, err := w.manifest.encode()
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if len(encoded) > maxManifestBytes {
		return fmt.Errorf("write backup: %d files are more than a backup holds", len(w.manifest.Files))
	}
	if err := w.archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: manifestName, Size: int64(len(encoded)), Mode: privateMode}); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if _, err := w.archive.Write(encoded); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder of backup: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// full says what a full disk is.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w (%w)", refusal.New(refusal.Unavailable, "make room there, or name another disk", "there is no room for the backup, and nothing of it was kept"), err)
	}
	return err
}
