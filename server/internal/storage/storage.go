// Package storage keeps what must outlive the server: rows in SQLite, blobs in encrypted files, keys in files of their own, all in one
// data directory that one server at a time holds.
//
// Invariants: a blob is visible whole or not at all; what Commit or an Insert returned for is on disk; a blob that was changed, cut,
// moved to another name or encrypted for another key is refused, never delivered; payload memfds are sealed before anyone else sees them.
// Records are never written to disk in the clear. A dataset's row that was changed on the disk is refused; other rows have no
// code. The key of a deleted dataset is destroyed before its blobs are removed. At the level "memory" the server's key is in no file, and everything of earlier starts that it does not open is removed.
//
// Non-goals: no budget arithmetic (the ledger has it; SQLite only keeps the ledger's last acknowledged position), no judgement about who
// may do what, no proto types: rows hold the encoded messages of those who own them.
package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"
)

// Store is an open data directory. Its methods may be called concurrently.
type Store struct {
	dir      string
	level    Level
	lock     *os.File
	db       *sql.DB
	identity *age.X25519Identity
	files    fileSystem
	created  bool
	now      func() time.Time

	writing sync.Mutex
	// blobsInWork are the names that a BlobWriter holds, guarded by writing.
	blobsInWork map[string]bool
}

const (
	// DatabaseFile is the name of the database in the data directory.
	DatabaseFile   = "bastionlab.db"
	blobFolder     = "blobs"
	keyFolder      = "keys"
	blobKeyFile    = "blobs.agekey"
	lockFile       = "lock"
	privateDirMode = 0o700
	privateMode    = 0o600
)

// Open takes hold of the data directory, creating it where there is none, and brings its database to this release's form. A directory
// that another server holds, that a newer release wrote, whose key is missing or that is of another level is refused.
func Open(ctx context.Context, dir string, level Level) (*Store, error) {
	return openBehind(ctx, dir, level, "")
}

// openBehind is Open, for a directory with a barrier of this kind.
func openBehind(ctx context.Context, dir string, level Level, barrier Barrier) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	if err := prepareDirectory(dir); err != nil {
		return nil, err
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, level: level, now: time.Now, lock: lock, files: osFiles{}, blobsInWork: map[string]bool{}}
	if err := s.open(ctx, barrier); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, barrier Barrier) error {
	for _, folder := range []string{keyFolder, blobFolder} {
		if err := makeFolder(filepath.Join(s.dir, folder)); err != nil {
			return err
		}
	}
	if err := s.removeLeftovers(); err != nil {
		return err
	}
	var err error
	if s.db, s.created, err = openDatabase(ctx, filepath.Join(s.dir, DatabaseFile)); err != nil {
		return err
	}
	if err := s.checkBarrier(ctx, barrier); err != nil {
		return err
	}
	if err := s.holdLevel(ctx); err != nil {
		return err
	}
	return s.openKey(ctx)
}

// Close gives the directory back. Blob writers that are still open lose their blobs.
func (s *Store) Close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	errs = append(errs, s.lock.Close()) // closing is unlocking, and so comes last
	return errors.Join(errs...)
}

// Dir is the data directory's absolute path.
func (s *Store) Dir() string { return s.dir }

// KeyDir is the folder, mode 0700, for key files of other packages.
func (s *Store) KeyDir() string { return filepath.Join(s.dir, keyFolder) }

// Created says whether this Open made the database: the moment for decisions that hold for the directory's life.
func (s *Store) Created() bool { return s.created }
