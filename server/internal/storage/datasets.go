package storage

import (
	"context"
	"database/sql"
	"fmt"
)

// DatasetRow is a dataset that can be listed and trained on. Its limit and what was spent are the ledger's.
type DatasetRow struct {
	ID            string
	Owner         string
	TestOf        string // the training set that this is the test set of, or empty
	CreatedUnixMS int64
	Card          []byte // bastionlab.v1.Dataset: what others see, without the figures that can change
	Records       int64  // PRIVACY: the true count, which never leaves the server
	RecordBytes   int64
	BlobSHA256    []byte
	BlobBytes     int64
	Permissions   []byte // bastionlab.v1.Permissions; of a test set they are not looked at: it has its training set's
}

// InsertDataset makes the dataset visible.
func (s *Store) InsertDataset(ctx context.Context, d DatasetRow) error {
	return s.exec(ctx, "insert dataset", 1, `INSERT INTO datasets
		(id, owner, test_of, created_unix_ms, card, records, record_bytes, blob_sha256, blob_bytes, permissions, seal) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		d.ID, d.Owner, sql.NullString{String: d.TestOf, Valid: d.TestOf != ""}, d.CreatedUnixMS, notNull(d.Card),
		d.Records, d.RecordBytes, notNull(d.BlobSHA256), d.BlobBytes, notNull(d.Permissions), s.sealOf(d))
}

// Dataset returns one row, or an error that wraps ErrNoRow.
func (s *Store) Dataset(ctx context.Context, id string) (DatasetRow, error) {
	return queryRow(ctx, s, "read dataset", s.scanDataset, datasetColumns+" WHERE id = ?", id)
}

// TestSetOf returns the row of a training set's test set, or an error that wraps ErrNoRow.
func (s *Store) TestSetOf(ctx context.Context, id string) (DatasetRow, error) {
	return queryRow(ctx, s, "read test set", s.scanDataset, datasetColumns+" WHERE test_of = ?", id)
}

// Datasets lists all rows, newest first, test sets included.
func (s *Store) Datasets(ctx context.Context) ([]DatasetRow, error) {
	return queryRows(ctx, s, "list datasets", s.scanDataset, datasetColumns+" ORDER BY number DESC")
}

// CountDatasets counts an owner's rows, test sets included.
func (s *Store) CountDatasets(ctx context.Context, owner string) (int64, error) {
	return queryRow(ctx, s, "count datasets", scanCount, "SELECT count(*) FROM datasets WHERE owner = ?", owner)
}

// SetPermissions replaces what a dataset's owner lets others do.
func (s *Store) SetPermissions(ctx context.Context, id string, permissions []byte) error {
	d, err := s.Dataset(ctx, id)
	if err != nil {
		return fmt.Errorf("write permissions: %w", err)
	}
	// All else in a row stays as it was made, so that nothing is lost of what changed meanwhile.
	d.Permissions = permissions
	return s.exec(ctx, "write permissions", 1, "UPDATE datasets SET permissions = ?, seal = ? WHERE id = ?", notNull(permissions), s.sealOf(d), id)
}

// DeleteDataset deletes the row, and with a training set its test set's, and destroys the keys of both: no blob of theirs can be read any
// more, wherever a copy of it lies. That is durable when it returns.
func (s *Store) DeleteDataset(ctx context.Context, id string) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return outOfSpace(fmt.Errorf("delete dataset: %w", err))
	}
	defer tx.Rollback() // does nothing after Commit
	// The keys of both first: with the row goes what names the test set.
	const keys = "DELETE FROM dataset_keys WHERE dataset_id = ?1 OR dataset_id IN (SELECT id FROM datasets WHERE test_of = ?1)"
	if err := execOn(ctx, tx, "destroy key of dataset", -1, keys, id); err != nil {
		return err
	}
	if err := execOn(ctx, tx, "delete dataset", 1, "DELETE FROM datasets WHERE id = ?", id); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return outOfSpace(fmt.Errorf("delete dataset: %w", err))
	}
	s.emptyLog(ctx)
	return nil
}

const datasetColumns = "SELECT id, owner, test_of, created_unix_ms, card, records, record_bytes, blob_sha256, blob_bytes, permissions, seal FROM datasets"

func (s *Store) scanDataset(row scanner) (d DatasetRow, err error) {
	var testOf sql.NullString
	var seal []byte
	err = row.Scan(&d.ID, &d.Owner, &testOf, &d.CreatedUnixMS, &d.Card, &d.Records, &d.RecordBytes, &d.BlobSHA256, &d.BlobBytes, &d.Permissions, &seal)
	if err != nil {
		return DatasetRow{}, err
	}
	d.TestOf = testOf.String
	if err := s.checkSeal(d, seal); err != nil {
		return DatasetRow{}, err
	}
	return d, nil
}
