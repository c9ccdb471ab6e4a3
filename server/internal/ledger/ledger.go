// Package ledger is the one account of privacy that was spent: an append-only file of hash-chained records, replayed at every start.
//
// Invariants: a movement is on disk, and the position after it acknowledged in another file, before its method returns nil. Sums never
// pass a limit: eps within the limit, the runs' deltas within half of the dataset's delta, in integers, at every record, checked again in
// replay. A charge is given back only while the trainer has not got the data. Nothing is ever rewritten or removed: the account of a
// deleted dataset stays.
//
// At a start, bytes beyond the last acknowledged position are either one whole record, which is kept - its caller was told nothing, and a
// charge too many is the safe side - or the torn remains of one, which are cut off. Anything else that does not fit is tampering or
// damage, and refuses to open with the reason and the number of the record.
//
// A write or sync that fails closes the ledger for writing until it is opened again: what the disk holds is not known then, and
// a second fsync after a failed one may succeed without having written anything. Only a write that finds the disk full is undone, and the
// ledger goes on: that the rest was cut off is synced before anything else is written.
//
// Non-goals: no prices (accounting, planning), no run states, no proto types: a charge is the bytes that were authorised. The chain shows
// damage and careless edits; against someone who rewrites file and mark together it needs the signed receipts that come with
// their own issue.
package ledger

import (
	"fmt"
	"sync"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// FileName is the ledger's name in the data directory.
const FileName = "ledger.log"

// Acknowledger keeps the last acknowledged position somewhere else than in the ledger's file, durably.
type Acknowledger interface {
	Acknowledged() (records, bytes int64, chain []byte, err error) // zeros where there is none yet
	Acknowledge(records, bytes int64, chain []byte) error
}

// Ledger is an open ledger. Its methods may be called concurrently.
type Ledger struct {
	now     func() time.Time
	opening Opening

	// writing serialises movements: each is checked against the state that the one before it left.
	writing sync.Mutex
	journal journal

	// reading guards books for readers; writers hold both.
	reading sync.RWMutex
	books   books
}

// Opening says what was found at Open, for the log.
type Opening struct {
	Records      int64 // in the file, now
	Adopted      bool  // the last one was on disk but never acknowledged
	DroppedBytes int64 // of a record that was never whole
}

// Open replays the ledger of a data directory, and begins one where there is none. One process at a time has it open.
func Open(dir string, ack Acknowledger) (*Ledger, error) {
	return open(dir, ack, osDisk{}, time.Now)
}

func open(dir string, ack Acknowledger, disk disk, now func() time.Time) (*Ledger, error) {
	l := &Ledger{now: now, books: newBooks()}
	if err := l.replay(dir, ack, disk); err != nil {
		return nil, err
	}
	if l.journal.at.records == 0 {
		if err := l.append(genesis()); err != nil {
			l.journal.file.Close()
			return nil, fmt.Errorf("begin ledger: %w", err)
		}
	}
	l.opening.Records = l.journal.at.records
	return l, nil
}

// Opening returns what was found at Open.
func (l *Ledger) Opening() Opening { return l.opening }

// Close closes the file. Movements fail from then on.
func (l *Ledger) Close() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.journal.broken == nil {
		l.journal.broken = errClosed
	}
	return l.journal.file.Close()
}

// append makes one movement: checked, durable, acknowledged, and only then visible. The caller holds l.writing, or is Open.
func (l *Ledger) append(r record) error {
	r.UnixMS = l.now().UnixMilli()
	if err := l.books.check(r); err != nil {
		return err
	}
	if err := l.journal.write(r); err != nil {
		return err
	}
	l.reading.Lock()
	defer l.reading.Unlock()
	l.books.apply(r)
	return nil
}

// unavailable is what a movement on a broken ledger gets, and what broke it.
func unavailable(cause error) error {
	return fmt.Errorf("%w (%w)", refusal.New(refusal.Unavailable, "ask the server's operator to look at the disk and to restart the server",
		"the budget ledger cannot be written, and takes no more charges until the server was restarted"), cause)
}

// noRoom is what a movement gets that found the disk full.
func noRoom(cause error) error {
	return fmt.Errorf("%w (%w)", refusal.New(refusal.Unavailable, "ask the server's operator to make room, then try again",
		"the server's disk is full, and the budget ledger has not taken this"), cause)
}
