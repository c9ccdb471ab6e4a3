// Package ledger is the one account of privacy that was spent: an append-only file of hash-chained, signed movements, replayed at every start.
//
// Invariants: a movement is on disk, and the position after it acknowledged in another file, before its method returns nil. No charge is
// taken that no filter of its account admits (accounting.Filter), checked again in replay. A charge is given back only while the trainer has not got
// the data. Nothing is ever rewritten or removed: the account of a deleted dataset stays. An account belongs to records: several
// datasets, uploads of the same ones, may draw on it.
//
// Each movement, with its signature, is the receipt that owner and scientist get. A receipt that the key signed and that the file does not hold
// proves that the file was put back from an older copy: its account is frozen.
//
// At a start, bytes beyond the last acknowledged position are either one whole record, which is kept - its caller was told nothing, and a
// charge too many is the safe side - or the torn remains of one, which are cut off. Anything else that does not fit is tampering or
// damage, and refuses to open with the reason and the number of the record.
//
// A write or sync that fails closes the ledger for writing until it is opened again: what the disk holds is not known then, and
// a second fsync after a failed one may succeed without having written anything. Only a write that finds the disk full is undone, and the
// ledger goes on: that the rest was cut off is synced before anything else is written.
//
// Where the key ends with the boot (OpenAnew), every start begins a ledger of its own and puts the one before aside; an orderly stop closes every
// account with a last receipt (CloseAccounts), after which nothing is charged.
//
// Non-goals: no prices (accounting, planning), no run states, no proto types: a charge is the bytes that were authorised. Against someone
// who puts file and mark back together, and keeps everyone who has newer receipts away, nothing here helps: docs/receipts.md.
package ledger

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
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
	writer  Writer

	// writing serialises movements: each is checked against the state that the one before it left.
	writing sync.Mutex
	journal journal

	// reading guards books for readers; writers hold both.
	reading sync.RWMutex
	books   books

	last map[string]signedLine // of each account, while the file is replayed
}

// Writer is who writes movements.
type Writer struct {
	Key    ed25519.PrivateKey // the ledger's, for its whole life
	Origin receipt.Origin
	// Development says whether the server takes every key now, which can end while it runs; nil: as Origin says.
	Development func() bool
	// Written hears how long each record took to be on disk, or why it is not; nil: nobody. It must not come back to the ledger.
	Written func(took time.Duration, err error)
}

func (w Writer) origin() receipt.Origin {
	origin := w.Origin
	if w.Development != nil {
		origin.Development = w.Development()
	}
	return origin
}

// Opening says what was found at Open, for the log.
type Opening struct {
	Records      int64 // in the file, now
	Adopted      bool  // the last one was on disk but never acknowledged
	DroppedBytes int64 // of a record that was never whole
}

// Open replays the ledger of a data directory, and begins one where there is none. One process at a time has it open.
func Open(dir string, ack Acknowledger, writer Writer) (*Ledger, error) {
	return open(dir, sealedMark{ack, writer.Key}, writer, osDisk{}, time.Now)
}

func open(dir string, ack Acknowledger, writer Writer, disk disk, now func() time.Time) (*Ledger, error) {
	l := &Ledger{now: now, writer: writer, books: newBooks()}
	if err := l.replay(dir, ack, disk); err != nil {
		return nil, err
	}
	if l.journal.at.records == 0 {
		if err := l.begin(); err != nil {
			l.journal.file.Close()
			return nil, fmt.Errorf("begin ledger: %w", err)
		}
	}
	l.opening.Records = l.journal.at.records
	return l, nil
}

// begin writes the first line.
func (l *Ledger) begin() error {
	body, err := json.Marshal(newGenesis(receipt.Moment(l.now().UnixMilli()), l.Key()))
	if err != nil {
		return err
	}
	return l.journal.write(line{receipt.Sign(l.writer.Key, body).Signature, body})
}

// Key is the public key that receipts are signed with.
func (l *Ledger) Key() ed25519.PublicKey { return l.writer.Key.Public().(ed25519.PublicKey) }

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

// append makes one movement: checked, signed, durable, acknowledged, and only then visible. The caller holds l.writing.
func (l *Ledger) append(m receipt.Body) error {
	m.Form, m.UnixMS, m.Origin = receipt.Form, receipt.Moment(l.now().UnixMilli()), l.writer.origin()
	if err := l.books.check(m); err != nil {
		return err
	}
	m.Seq, m.Prev = l.books.next(m.Account)
	next := l.books.after(m)
	m.After = next.after()
	body, err := m.Encode()
	if err != nil {
		return err
	}
	at := l.journal.at.bytes
	if err := l.journal.write(line{receipt.Sign(l.writer.Key, body).Signature, body}); err != nil {
		return err
	}
	l.reading.Lock()
	defer l.reading.Unlock()
	l.books.apply(m, next, placeOf(at, body))
	return nil
}

// placeOf is where the body of a line is that begins at an offset of the file.
func placeOf(offset int64, body []byte) place {
	return place{offset: offset + prefixBytes, bytes: int32(len(body)), hash: receipt.Hash(body)}
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
