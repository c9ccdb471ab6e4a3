package storage

import (
	"context"
	"errors"
	"fmt"
)

// Fact reads a small thing that holds for the whole directory, such as the mode it was created in.
func (s *Store) Fact(ctx context.Context, name string) (value []byte, known bool, err error) {
	scan := func(row scanner) (value []byte, err error) { return value, row.Scan(&value) }
	value, err = queryRow(ctx, s, "read fact", scan, "SELECT value FROM facts WHERE name = ?", name)
	if errors.Is(err, ErrNoRow) {
		return nil, false, nil
	}
	return value, err == nil, err
}

// SetFact records or replaces a fact.
func (s *Store) SetFact(ctx context.Context, name string, value []byte) error {
	return setFact(ctx, s.db, name, value)
}

func setFact(ctx context.Context, on executor, name string, value []byte) error {
	return execOn(ctx, on, "write fact", 1,
		"INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, notNull(value))
}

// notNull keeps an empty value apart from a missing one.
func notNull(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// LedgerMark is the last acknowledged position of the ledger, kept in another file than the ledger itself so that a ledger that lost its
// end is noticed.
type LedgerMark struct{ store *Store }

// LedgerMark returns the mark of this directory's ledger.
func (s *Store) LedgerMark() LedgerMark { return LedgerMark{s} }

type ledgerPosition struct {
	records, bytes int64
	chain          []byte
}

// Acknowledged is the position last acknowledged, or zeros where there is none yet.
func (m LedgerMark) Acknowledged() (records, bytes int64, chain []byte, err error) {
	scan := func(row scanner) (p ledgerPosition, err error) { return p, row.Scan(&p.records, &p.bytes, &p.chain) }
	p, err := queryRow(context.Background(), m.store, "read ledger mark", scan, "SELECT records, bytes, chain FROM ledger_mark WHERE only = 1")
	if errors.Is(err, ErrNoRow) {
		return 0, 0, nil, nil
	}
	return p.records, p.bytes, p.chain, err
}

// Forget takes the mark away, durably, for a ledger that begins anew.
func (m LedgerMark) Forget() error {
	return m.store.exec(context.Background(), "forget ledger mark", -1, "DELETE FROM ledger_mark")
}

// Acknowledge moves the mark, durably, and never back. It takes no context: a charge is not given up halfway because its caller left.
func (m LedgerMark) Acknowledge(records, bytes int64, chain []byte) error {
	err := m.store.exec(context.Background(), "write ledger mark", 1, `INSERT INTO ledger_mark (only, records, bytes, chain) VALUES (1, ?, ?, ?)
		ON CONFLICT (only) DO UPDATE SET records = excluded.records, bytes = excluded.bytes, chain = excluded.chain
		WHERE excluded.records >= records AND excluded.bytes >= bytes`, records, bytes, notNull(chain))
	if errors.Is(err, ErrNoRow) {
		return fmt.Errorf("write ledger mark: it would move back")
	}
	return err
}
