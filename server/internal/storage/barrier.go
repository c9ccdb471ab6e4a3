package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Barrier is why no server may start on a directory. It is in the database, so that it goes wherever the budget's position goes.
type Barrier string

// The barriers.
const (
	// InBackup is in every backup's database: what is unpacked by hand has not been through what a restore does to the budgets.
	InBackup Barrier = "in backup"
	// HandedOver is in a directory whose budgets went on elsewhere, or will.
	HandedOver Barrier = "handed over"
)

const barrierFact = "barrier"

// checkBarrier refuses a directory with another barrier than the one that is known of.
// PRIVACY: two servers on copies of one directory are two budgets of the same records.
func (s *Store) checkBarrier(ctx context.Context, known Barrier) error {
	value, _, err := s.Fact(ctx, barrierFact)
	if err != nil {
		return err
	}
	switch found := Barrier(value); found {
	case known:
		return nil
	case "":
		return refusal.New(refusal.InvalidArgument, "start a server on it as it is", "%s is no unfinished restore", s.dir)
	case InBackup:
		return stillInBackup(s.dir)
	default:
		return refusal.New(refusal.Unavailable, "start the server on the directory that the backup was restored to; if there is none, restore the backup, or make it again with `bastionlab backup --handover`",
			"the data directory %s was handed over with a backup, and its budgets go on there", s.dir)
	}
}

func stillInBackup(dir string) error {
	return refusal.New(refusal.Unavailable, "put the backup back with `bastionlab restore`, into a new directory",
		"the data directory %s is the content of a backup, or of a restore that was not finished", dir)
}

// OpenRestored is Open for a directory that came out of a backup. No server starts on it until Lift.
func OpenRestored(ctx context.Context, dir string) (*Store, error) {
	peeked, err := Peek(ctx, dir)
	if err != nil {
		return nil, err
	}
	// What marks it as a data directory is no part of a backup: until now a server took it for somebody else's.
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, privateMode)
	if err != nil {
		return nil, outOfSpace(fmt.Errorf("make lock of data directory: %w", err))
	}
	if err := lock.Close(); err != nil {
		return nil, fmt.Errorf("make lock of data directory: %w", err)
	}
	return openBehind(ctx, dir, peeked.Level, InBackup)
}

// Lift takes the barrier away, durably.
func (s *Store) Lift(ctx context.Context) error {
	return s.exec(ctx, "lift barrier of data directory", 1, "DELETE FROM facts WHERE name = ?", barrierFact)
}

// CopyDatabase writes the database of a directory as it is at one moment into another folder, with the barrier of a backup. A server may run on the
// directory meanwhile. What was deleted is in no page of the copy.
func CopyDatabase(ctx context.Context, dir, into string) error {
	db, _, err := peekDatabase(dir)
	if err != nil {
		return err
	}
	defer db.Close()
	path := filepath.Join(into, DatabaseFile)
	// SECURITY: made here so that it has this mode from the first byte on.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateMode)
	if err != nil {
		return outOfSpace(fmt.Errorf("copy database: %w", err))
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return outOfSpace(fmt.Errorf("copy database: %w", err))
	}
	return setBarrier(ctx, dir, path, InBackup)
}

// setBarrier puts a barrier into the database at a path, that of a directory or the copy of it, and leaves it as one file.
func setBarrier(ctx context.Context, dir, path string, barrier Barrier) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("set barrier of data directory: %w", err)
	}
	query := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(DELETE)", "synchronous(FULL)"}}
	location := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", location.String())
	if err != nil {
		return fmt.Errorf("set barrier of data directory: %w", err)
	}
	return errors.Join(bar(ctx, db, dir, barrier), db.Close())
}

func bar(ctx context.Context, db *sql.DB, dir string, barrier Barrier) error {
	// PRIVACY: what came out of a backup and was not restored has its budgets still. As a handover it would give them again.
	if value, _, err := (&Store{db: db}).Fact(ctx, barrierFact); err != nil {
		return err
	} else if Barrier(value) == InBackup {
		return stillInBackup(dir)
	}
	// PRIVACY: releases before this form of the database know of no barrier; that of the form they know.
	if _, err := migrate(ctx, db, migrations[:]); err != nil && !writtenByNewer(err) {
		return outOfSpace(err)
	}
	return setFact(ctx, db, barrierFact, []byte(barrier))
}

// writtenByNewer says whether a database is of a release after this one, which knows of barriers.
func writtenByNewer(err error) bool {
	var refused *refusal.Error
	return errors.As(err, &refused) && refused.Kind == refusal.VersionMismatch
}

// Held is a directory that no server can run on meanwhile.
type Held struct {
	dir  string
	lock *os.File
}

// Hold takes a data directory that no server runs on.
func Hold(dir string) (*Held, error) {
	db, dir, err := peekDatabase(dir)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, fmt.Errorf("look at data directory: %w", err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	return &Held{dir, lock}, nil
}

// HandOver keeps every server from starting on the directory from now on, durably.
func (h *Held) HandOver(ctx context.Context) error {
	return setBarrier(ctx, h.dir, filepath.Join(h.dir, DatabaseFile), HandedOver)
}

// Release lets go of the directory.
func (h *Held) Release() error { return h.lock.Close() }
