package ledger

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// IntegrityError is a ledger that does not fit: it was damaged, cut, edited or put back from an older copy.
type IntegrityError struct {
	Record int64 // its number, from 0
	Reason string
}

func (e *IntegrityError) Error() string {
	return fmt.Sprintf("the budget ledger does not open: record %d: %s", e.Record, e.Reason)
}

// replay opens the file and brings l.books and l.journal to its end.
func (l *Ledger) replay(dir string, ack Acknowledger, disk disk) (err error) {
	records, size, chain, err := ack.Acknowledged()
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	acknowledged := position{records: records, bytes: size}
	if copy(acknowledged.chain[:], chain) != len(chain) || (records > 0 && len(chain) != len(acknowledged.chain)) {
		return &IntegrityError{Record: records, Reason: "the acknowledged position is damaged"}
	}
	opened, err := openFile(disk, dir, records)
	if err != nil {
		return err
	}
	l.journal = journal{file: opened, ack: ack, observe: l.writer.Written}
	defer func() {
		if err != nil {
			opened.Close()
		}
	}()
	reader := newLineReader(opened)
	l.last = map[string]signedLine{}
	if err := l.replayAcknowledged(reader, acknowledged); err != nil {
		return err
	}
	if err := l.replayTail(reader); err != nil {
		return err
	}
	return l.verifyAccounts()
}

// replayAcknowledged reads what callers were told of: every byte of it must fit.
func (l *Ledger) replayAcknowledged(reader *lineReader, acknowledged position) error {
	at := &l.journal.at
	for at.bytes < acknowledged.bytes {
		line, err := reader.next()
		if err == io.EOF {
			return &IntegrityError{Record: at.records, Reason: fmt.Sprintf(
				"the file ends after %d records and %d bytes, but %d records and %d bytes were acknowledged: it was cut or put back from an older copy",
				at.records, at.bytes, acknowledged.records, acknowledged.bytes)}
		}
		if err != nil {
			return misfit(at.records, err)
		}
		if err := l.replayLine(line); err != nil {
			return misfit(at.records, err)
		}
	}
	if *at != acknowledged {
		return &IntegrityError{Record: max(at.records-1, 0), Reason: fmt.Sprintf(
			"the file holds %d records in %d bytes here, but %d records in %d bytes with another checksum were acknowledged",
			at.records, at.bytes, acknowledged.records, acknowledged.bytes)}
	}
	return nil
}

// replayTail reads what lies beyond the acknowledged position: nothing, one whole record, or the torn remains of one. More cannot come
// from a crash, since every record waits for the acknowledgement of the one before it.
func (l *Ledger) replayTail(reader *lineReader) error {
	at := &l.journal.at
	line, err := reader.next()
	switch {
	case err == io.EOF:
		return nil
	case errors.Is(err, errTorn):
		return l.dropTail(reader, line)
	case err != nil:
		return misfit(at.records, err)
	}
	before := at.records
	if err := l.replayLine(line); errors.Is(err, errTorn) {
		return l.dropTail(reader, line)
	} else if err != nil {
		return misfit(at.records, err)
	}
	if _, err := reader.next(); err != io.EOF {
		return &IntegrityError{Record: before + 1, Reason: fmt.Sprintf(
			"only %d records were acknowledged, and a crash leaves one more at most: the database beside the ledger is new or older than it", before)}
	}
	if err := l.verifyAccounts(); err != nil {
		return err
	}
	l.opening.Adopted = true
	if err := l.journal.file.Sync(); err != nil { // it was read, but perhaps from memory only
		return fmt.Errorf("open ledger: %w", err)
	}
	if err := l.journal.ack.Acknowledge(at.records, at.bytes, at.chain[:]); err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	return nil
}

// dropTail cuts off the remains of a record that was being written.
func (l *Ledger) dropTail(reader *lineReader, torn []byte) error {
	at := l.journal.at
	dropped := int64(len(torn))
	// One record has one newline, at its end: what follows one is no rest of a single write.
	if _, err := reader.next(); err != io.EOF {
		return &IntegrityError{Record: at.records, Reason: "its checksum does not fit, and more than the rest of one record follows what was acknowledged"}
	}
	if err := l.journal.file.Truncate(at.bytes); err != nil {
		return fmt.Errorf("open ledger: drop torn record: %w", err)
	}
	if err := l.journal.file.Sync(); err != nil {
		return fmt.Errorf("open ledger: drop torn record: %w", err)
	}
	l.opening.DroppedBytes = dropped
	return nil
}

func (l *Ledger) replayLine(encoded []byte) error {
	at := &l.journal.at
	if at.records == 0 && len(encoded) > chainDigits+1 && encoded[chainDigits+1] == '{' {
		return errors.New("it was written by a build from before the first release, whose ledgers were not signed: this release cannot go on with it")
	}
	read, after, err := decode(encoded, at.chain)
	if err != nil {
		return err
	}
	if err := l.replayBody(read, at.bytes); err != nil {
		return err
	}
	*at = position{records: at.records + 1, bytes: at.bytes + int64(len(encoded)), chain: after}
	return nil
}

// replayBody holds what is read to the rules of what is written.
func (l *Ledger) replayBody(read line, offset int64) error {
	if l.journal.at.records == 0 {
		return l.replayGenesis(read)
	}
	m, err := receipt.Decode(read.body)
	if err != nil {
		return errBody
	}
	if err := l.books.check(m); err != nil {
		return fmt.Errorf("it does not follow from those before it: %w", err)
	}
	if seq, prev := l.books.next(m.Account); m.Seq != seq || m.Prev != prev {
		return errors.New("it does not follow from those before it: its number or the hash of the one before it in its account is another")
	}
	next := l.books.after(m)
	if m.After != next.after() {
		return errors.New("it does not follow from those before it: the sums that it tells are others")
	}
	l.books.apply(m, next, placeOf(offset, read.body))
	l.last[m.Account] = signedLine{l.journal.at.records, read}
	return nil
}

func (l *Ledger) replayGenesis(read line) error {
	found, err := decodeGenesis(read.body)
	if err != nil {
		return err
	}
	if found.Key != hex.EncodeToString(l.Key()) {
		return errors.New("it belongs to another key than this directory's")
	}
	return l.verify(read)
}

func (l *Ledger) verify(read line) error {
	if !(receipt.Receipt{Body: read.body, Signature: read.signature}).SignedBy(l.Key()) {
		return errForged
	}
	return nil
}

// signedLine is the last line of an account.
type signedLine struct {
	number int64
	line   line
}

// verifyAccounts checks the signature of the last receipt of each account that was read. It stands for all before it, whose hashes it holds.
func (l *Ledger) verifyAccounts() error {
	for _, last := range l.last {
		if err := l.verify(last.line); err != nil {
			return misfit(last.number, err)
		}
	}
	l.last = nil
	return nil
}

func misfit(number int64, err error) error {
	return &IntegrityError{Record: number, Reason: err.Error()}
}

// lineReader reads lines of at most MaxRecordBytes.
type lineReader struct{ buffered *bufio.Reader }

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{bufio.NewReaderSize(r, MaxRecordBytes)}
}

// next returns a line with its newline, valid until the next call; io.EOF only where nothing is left. A line without an end, or too long,
// comes with errTorn.
func (r *lineReader) next() ([]byte, error) {
	line, err := r.buffered.ReadSlice('\n')
	switch {
	case err == nil:
		return line, nil
	case err == io.EOF && len(line) == 0:
		return nil, io.EOF
	case err == io.EOF || errors.Is(err, bufio.ErrBufferFull):
		return line, errTorn
	}
	return nil, fmt.Errorf("read ledger: %w", err)
}
