package storage

import (
	"context"
	"errors"
	"fmt"
)

// RecordInterruption writes the run and counts one interruption more on its dataset, both or neither. It returns how many there were since
// the last ForgiveInterruptions. decide sees that count and may change the row before it is written.
func (s *Store) RecordInterruption(ctx context.Context, r RunRow, decide func(count int64, r RunRow) RunRow) (RunRow, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return r, outOfSpace(fmt.Errorf("record interruption: %w", err))
	}
	defer tx.Rollback() // does nothing after Commit
	var count int64
	err = tx.QueryRowContext(ctx, `INSERT INTO interruptions (dataset_id, count) VALUES (?, 1)
		ON CONFLICT (dataset_id) DO UPDATE SET count = count + 1 RETURNING count`, r.DatasetID).Scan(&count)
	if err != nil {
		return r, outOfSpace(fmt.Errorf("record interruption: %w", err))
	}
	decided := decide(count, r)
	if err := updateRun(ctx, tx, decided); err != nil {
		return r, err
	}
	if err := tx.Commit(); err != nil {
		return r, outOfSpace(fmt.Errorf("record interruption: %w", err))
	}
	return decided, nil
}

// ForgiveInterruptions writes the run and lets the count of its dataset begin anew, both or neither.
func (s *Store) ForgiveInterruptions(ctx context.Context, r RunRow) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return outOfSpace(fmt.Errorf("forgive interruptions: %w", err))
	}
	defer tx.Rollback() // does nothing after Commit
	if err := execOn(ctx, tx, "forgive interruptions", -1, "DELETE FROM interruptions WHERE dataset_id = ?", r.DatasetID); err != nil {
		return err
	}
	if err := updateRun(ctx, tx, r); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return outOfSpace(fmt.Errorf("forgive interruptions: %w", err))
	}
	return nil
}

// Interruptions is how often runs on the dataset were interrupted since the last ForgiveInterruptions.
func (s *Store) Interruptions(ctx context.Context, dataset string) (int64, error) {
	count, err := queryRow(ctx, s, "count interruptions", scanCount, "SELECT count FROM interruptions WHERE dataset_id = ?", dataset)
	if errors.Is(err, ErrNoRow) {
		return 0, nil
	}
	return count, err
}
