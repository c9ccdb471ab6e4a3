package storage

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
)

// AuditMark is how far the audit log certainly went, kept in another file than the log itself so that a log that lost its end is noticed.
type AuditMark struct{ store *Store }

// AuditMark returns the mark of this directory's audit log.
func (s *Store) AuditMark() AuditMark { return AuditMark{s} }

const auditMarkFact = "audit mark"

// Marked is the position last set, or zeros where there is none yet.
func (m AuditMark) Marked() (lines int64, head []byte, err error) {
	value, known, err := m.store.Fact(context.Background(), auditMarkFact)
	if err != nil || !known {
		return 0, nil, err
	}
	if len(value) != 8+32 {
		return 0, nil, fmt.Errorf("read the audit log's mark: it has %d bytes", len(value))
	}
	return int64(binary.BigEndian.Uint64(value)), value[8:], nil
}

// SetMark sets the position, durably.
func (m AuditMark) SetMark(lines int64, head []byte) error {
	return m.store.SetFact(context.Background(), auditMarkFact, append(binary.BigEndian.AppendUint64(nil, uint64(lines)), head...))
}

// PeekAuditMark reads the mark without holding the directory: a server may run on it meanwhile.
func PeekAuditMark(dir string) (lines int64, head []byte, err error) {
	db, _, err := peekDatabase(dir)
	if err != nil {
		return 0, nil, err
	}
	defer db.Close()
	return AuditMark{&Store{db: db}}.Marked()
}

// Room says why no more should be written by whoever can do without: the last of the disk is the ledger's and the database's.
func (s *Store) Room() error { return leaveReserve(s.files, filepath.Clean(s.dir), 0) }
