// Package fsck checks a ledger from its raw file, without the code that writes it: the chain, every signature, the numbers and hashes of
// each account, its sums, what each filter admitted, and each charge, recomputed by both accountants.
//
// Invariants: it reads and never writes; it goes on after a finding as far as it can, so that one report names all of them.
//
// Non-goals: it mends nothing, and it cannot see what a file that was put back whole has lost: that is what receipts are for.
package fsck

import (
	"bufio"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

type checker struct {
	expected Expected
	report   Report
	key      ed25519.PublicKey
	chain    [32]byte
	at       int64 // the record under judgement
	books    map[string]*book
	of       map[string]string // the account of a dataset
	ended    bool              // nothing after this can be judged
	told     func(body []byte, m receipt.Body)
	charges  []charged
	joinings []joining
}

// Check reads a ledger to its end. Its error is one of reading; what does not fit is in the report.
func Check(file io.Reader, expected Expected) (Report, error) {
	expected.Chain = expected.Chain[:min(len(expected.Chain), sha256.Size)] // its code is judged by who has the key
	c := &checker{expected: expected, books: map[string]*book{}, of: map[string]string{}}
	lines := bufio.NewReaderSize(file, maxLine)
	for !c.ended {
		encoded, err := lines.ReadSlice('\n')
		switch {
		case err == nil:
			c.line(encoded)
			continue
		case errors.Is(err, io.EOF):
			c.tail(encoded)
		case errors.Is(err, bufio.ErrBufferFull):
			c.finds("", "chain", "a line of more than %d bytes", maxLine)
		default:
			return c.report, fmt.Errorf("read ledger: %w", err)
		}
		break
	}
	if _, err := lines.ReadByte(); err == nil && c.report.Torn > 0 {
		c.finds("", "chain", "its checksum does not fit, and more than the rest of one record follows what was acknowledged")
	}
	c.end()
	c.report.Accounts = len(c.books)
	c.recompute()
	return c.report, nil
}

// Read tells every movement of a ledger, in order. Its error names the first line that does not fit; a record that is not whole at the end is
// left out.
func Read(file io.Reader, tell func(body []byte, m receipt.Body)) error {
	c := &checker{books: map[string]*book{}, of: map[string]string{}, told: tell}
	lines := bufio.NewReaderSize(file, maxLine)
	for len(c.report.Findings) == 0 {
		encoded, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read ledger: %w", err)
		}
		c.line(encoded)
	}
	first := c.report.Findings[0]
	return fmt.Errorf("record %d of the ledger: %s", first.Record, first.What)
}

func (c *checker) finds(account, check, what string, args ...any) {
	c.report.Findings = append(c.report.Findings, Finding{c.at, account, check, fmt.Sprintf(what, args...)})
}

// end judges what is only known at the file's end.
func (c *checker) end() {
	c.at = max(c.report.Records-1, 0)
	if c.report.Records == 0 && !c.expected.Aside && (!c.expected.Marked || c.expected.Records > 0) { // else a server died before its first record
		c.finds("", "chain", "the file is empty")
	}
	if !c.expected.Marked {
		return
	}
	if c.expected.Forged {
		c.finds("", "mark", "the acknowledged position in the database was not written by this ledger")
	}
	if c.expected.spoilt() {
		c.finds("", "mark", "the acknowledged position is damaged")
	}
	if c.report.Records < c.expected.Records {
		c.finds("", "mark", "%d records were acknowledged, the file has %d: it was cut or put back from an older copy", c.expected.Records, c.report.Records)
	}
	begun := c.report.Records
	if c.report.Torn > 0 {
		begun++
	}
	if newest := max(c.expected.Newest, c.expected.Records); begun > newest+1 {
		c.finds("", "mark", "only %d records were acknowledged, and a crash leaves one more at most, the file has %d", newest, begun)
	}
}
