package backup

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"filippo.io/age"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Target is where a backup is restored to.
type Target struct {
	Dir        string // new, or empty
	Identities []age.Identity
	Release    string
	// Key is the ledger's, made of the directory's secret.
	Key func(derive func(purpose string) [32]byte) ed25519.PrivateKey
	// Check judges the ledger of a directory.
	Check func(ctx context.Context, dir string) error
}

// Restored is what came of a restore.
type Restored struct {
	Manifest
	Frozen int // accounts, now
}

// Restore unpacks a backup and makes of it a directory that a server starts on. Until its end none does: the database in a backup has a barrier. What
// it made is removed again where it fails.
func Restore(ctx context.Context, path string, t Target) (r Restored, err error) {
	made, release, err := t.prepare()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if r.Manifest, err = t.unpack(ctx, path); err == nil {
		r.Frozen, err = t.settle(ctx, r.Manifest)
	}
	if err != nil {
		return r, errors.Join(full(err), t.clear(made))
	}
	return r, nil
}

// prepare takes a new or an empty directory, for this restore alone: another one that failed would remove what this one made.
func (t Target) prepare() (made bool, release func() error, err error) {
	if _, err := os.Stat(t.Dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(t.Dir, privateDirMode); err != nil {
			return false, nil, fmt.Errorf("make data directory: %w", err)
		}
		if err := syncDir(filepath.Dir(t.Dir)); err != nil {
			return false, nil, err
		}
		made = true
	}
	dir, err := os.Open(t.Dir)
	if err != nil {
		return false, nil, fmt.Errorf("look at data directory: %w", err)
	}
	if err := t.take(dir); err != nil {
		return false, nil, errors.Join(err, dir.Close())
	}
	return made, dir.Close, nil
}

func (t Target) take(dir *os.File) error {
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return refusal.New(refusal.Unavailable, "wait for it, or name another directory", "another restore to %s is under way", t.Dir)
	} else if err != nil {
		return fmt.Errorf("lock data directory: %w", err)
	}
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("look at data directory: %w", err)
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != lostAndFound }) {
		return refusal.New(refusal.InvalidArgument, "name a new directory, or an empty one", "%s is not empty, and a restore replaces nothing", t.Dir)
	}
	// SECURITY: keys come here.
	if err := dir.Chmod(privateDirMode); err != nil {
		return fmt.Errorf("restrict data directory to its owner: %w", err)
	}
	return nil
}

const lostAndFound = "lost+found"

// clear removes what a failed restore made; the directory was empty before.
func (t Target) clear(made bool) error {
	entries, err := os.ReadDir(t.Dir)
	if err != nil {
		return fmt.Errorf("remove an unfinished restore: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		if entry.Name() != lostAndFound {
			errs = append(errs, os.RemoveAll(filepath.Join(t.Dir, entry.Name())))
		}
	}
	if made {
		errs = append(errs, os.Remove(t.Dir))
	}
	return errors.Join(errs...)
}

func (t Target) unpack(ctx context.Context, path string) (m Manifest, err error) {
	root, err := os.OpenRoot(t.Dir)
	if err != nil {
		return m, fmt.Errorf("open data directory: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	folders := map[string]bool{".": true}
	m, err = read(path, t.Identities, func(name string, content io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		folder := filepath.Dir(filepath.FromSlash(name))
		if !folders[folder] {
			if err := root.MkdirAll(folder, privateDirMode); err != nil {
				return fmt.Errorf("unpack backup: %w", err)
			}
			folders[folder], folders[filepath.Dir(folder)] = true, true
		}
		return unpackFile(root, filepath.FromSlash(name), content)
	})
	if err != nil {
		return m, err
	}
	for folder := range folders {
		if err := syncDir(filepath.Join(t.Dir, folder)); err != nil {
			return m, err
		}
	}
	return m, nil
}

func unpackFile(root *os.Root, name string, content io.Reader) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateMode)
	if err != nil {
		return fmt.Errorf("unpack backup: %w", err)
	}
	_, err = io.Copy(file, content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("unpack backup: %w", err)
	}
	return nil
}

// settle makes the budgets what they may be, has the ledger judged, and only then lets servers start.
func (t Target) settle(ctx context.Context, m Manifest) (frozen int, err error) {
	store, err := storage.OpenRestored(ctx, t.Dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if store.Level() == storage.File {
		if err := m.holds(store.DeriveKey); err != nil {
			return 0, err
		}
	}
	// Where the key ended with the server there is nothing to freeze: no account goes on from there.
	if m.Kind == Snapshot && store.Level() == storage.File {
		if frozen, err = t.freeze(store); err != nil {
			return 0, err
		}
	}
	if err := t.Check(ctx, t.Dir); err != nil {
		return 0, err
	}
	return frozen, store.Lift(ctx)
}

// freeze takes every account out of use.
// PRIVACY: what was charged after a snapshot is in no copy that a restore has. An account that went on could give the same budget twice.
func (t Target) freeze(store *storage.Store) (frozen int, err error) {
	l, err := ledger.Open(store.Dir(), store.LedgerMark(), ledger.Writer{
		Key: t.Key(store.DeriveKey), Origin: receipt.Origin{Boot: storage.NewID(), Level: string(store.Level()), Release: t.Release},
	})
	if err != nil {
		return 0, refusal.New(refusal.Attestation, "take another backup: of this one nothing is used", "%s", err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return l.FreezeRestored()
}
