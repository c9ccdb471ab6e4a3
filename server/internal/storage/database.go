package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	_ "modernc.org/sqlite" // the driver named below
)

// ErrNoRow is wrapped where a row that was asked for is not there.
var ErrNoRow = errors.New("no such row")

// pragmas hold for every connection. busy_timeout comes first: the ones after it may have to wait for a lock themselves.
var pragmas = []string{
	"busy_timeout(10000)",
	"journal_mode(WAL)",
	"synchronous(FULL)", // a commit is on disk when it returns, as the ledger's acknowledged position must be
	"foreign_keys(1)",
	"secure_delete(1)", // what an owner deleted is not left readable in free pages
}

const maxConnections = 4

func databaseURL(path string) string {
	query := url.Values{
		"_pragma":    pragmas,
		"_txlock":    {"immediate"}, // a transaction that will write waits at its start, where it can, not at its first write
		"_dqs":       {"0"},
		"_defensive": {"1"},
	}
	location := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	return location.String()
}

func openDatabase(ctx context.Context, path string) (db *sql.DB, created bool, err error) {
	// SECURITY: made here so that it, and the files that SQLite derives from it, have this mode from the first byte on.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, privateMode)
	if err != nil {
		return nil, false, outOfSpace(fmt.Errorf("make database: %w", err))
	}
	if err := file.Close(); err != nil {
		return nil, false, fmt.Errorf("make database: %w", err)
	}
	db, err = sql.Open("sqlite", databaseURL(path))
	if err != nil {
		return nil, false, fmt.Errorf("open database: %w", err)
	}
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	created, err = migrate(ctx, db, migrations[:])
	if err != nil {
		return nil, false, errors.Join(outOfSpace(err), db.Close())
	}
	return db, created, nil
}

// migrate brings the database to the form of the last of steps, all in one transaction, and says whether it was new: an upgrade that was
// interrupted, or found no room, leaves what the release before it still opens.
func migrate(ctx context.Context, db *sql.DB, steps []string) (created bool, err error) {
	var version, application int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, fmt.Errorf("read database version: %w", err)
	}
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&application); err != nil {
		return false, fmt.Errorf("read database version: %w", err)
	}
	switch {
	case version == 0:
	case application != applicationID:
		return false, refusal.New(refusal.InvalidArgument, "choose another data directory", "%s in the data directory belongs to another program", DatabaseFile)
	case version > len(steps):
		return false, refusal.New(refusal.VersionMismatch, "start the release that wrote it, or a later one",
			"the data directory was written by a newer release: its database has version %d, this release knows versions up to %d", version, len(steps))
	}
	if version == len(steps) {
		return false, nil
	}
	if err := migrateFrom(ctx, db, steps, version); err != nil {
		return false, fmt.Errorf("bring database from version %d to version %d: %w", version, len(steps), err)
	}
	return version == 0, nil
}

func migrateFrom(ctx context.Context, db *sql.DB, steps []string, version int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	for _, step := range steps[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	for _, statement := range []string{
		fmt.Sprintf("PRAGMA user_version = %d", len(steps)), // part of the transaction, like the steps
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// exec runs one statement that must change exactly one row, or any number where want is negative.
func (s *Store) exec(ctx context.Context, what string, want int64, statement string, args ...any) error {
	return execOn(ctx, s.db, what, want, statement, args...)
}

// executor is a *sql.DB or a *sql.Tx.
type executor interface {
	ExecContext(ctx context.Context, statement string, args ...any) (sql.Result, error)
}

func execOn(ctx context.Context, db executor, what string, want int64, statement string, args ...any) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	// A statement that began is not given up: the driver says that it was cancelled also where it has written. How long it may wait for a
	// lock is bounded (busy_timeout).
	result, err := db.ExecContext(context.WithoutCancel(ctx), statement, args...)
	if err != nil {
		return outOfSpace(fmt.Errorf("%s: %w", what, err))
	}
	changed, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if want >= 0 && changed != want {
		return fmt.Errorf("%s: %w", what, ErrNoRow)
	}
	return nil
}

// scanner is a *sql.Row or a *sql.Rows.
type scanner interface{ Scan(into ...any) error }

func queryRow[Row any](ctx context.Context, s *Store, what string, scan func(scanner) (Row, error), statement string, args ...any) (Row, error) {
	row, err := scan(s.db.QueryRowContext(ctx, statement, args...))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoRow
	}
	if err != nil {
		return row, fmt.Errorf("%s: %w", what, err)
	}
	return row, nil
}

func scanCount(row scanner) (count int64, err error) { return count, row.Scan(&count) }

func queryRows[Row any](ctx context.Context, s *Store, what string, scan func(scanner) (Row, error), statement string, args ...any) ([]Row, error) {
	return queryRowsWhile(ctx, s, what, scan, func(Row) bool { return true }, statement, args...)
}

// queryRowsWhile returns rows up to the first that is not wanted any more; neither that one nor those after it are kept in memory.
func queryRowsWhile[Row any](ctx context.Context, s *Store, what string, scan func(scanner) (Row, error), wanted func(Row) bool, statement string, args ...any) ([]Row, error) {
	found, err := s.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer found.Close()
	var rows []Row
	for found.Next() {
		row, err := scan(found)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		if !wanted(row) {
			return rows, nil
		}
		rows = append(rows, row)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return rows, nil
}
