// Package fsck checks a ledger from its raw file, without the code that writes it: the chain, every signature, the numbers and hashes of
// each account, its sums, what each filter admitted, and each charge, recomputed by both accountants.
//
// Invariants: it reads and never writes; it goes on after a finding as far as it can, so that one report names all of them.
//
// Non-goals: it mends nothing, and it cannot see what a file that was put back whole has lost: that is what receipts are for.
package fsck

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// Expected is what is known of the file from elsewhere.
type Expected struct {
	Key    ed25519.PublicKey // nil: the one that the file names
	Marked bool              // what follows is known
	// The position that was last acknowledged before the file was read; zeros where there is none yet.
	Records, Bytes int64
	Chain          []byte
	// Newest are the records acknowledged after the file's end was known, which are more where a server writes meanwhile.
	Newest int64
}

// Finding is one thing that does not fit.
type Finding struct {
	Record  int64  `json:"record"` // from 0
	Account string `json:"account,omitempty"`
	Check   string `json:"check"`
	What    string `json:"what"`
}

// Report is what was found.
type Report struct {
	Records  int64     `json:"records"`
	Bytes    int64     `json:"bytes"`
	Torn     int64     `json:"torn_bytes"` // of a record that was never whole, at the end
	Key      string    `json:"key"`
	Accounts int       `json:"accounts"`
	Charges  []Charge  `json:"charges"`
	Findings []Finding `json:"findings"`
}

const (
	maxLine     = 1 << 20
	chainPrefix = "bastionlab ledger 2\n"
	hexDigits   = 64
	signDigits  = 88
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

// tail is what follows the last newline.
func (c *checker) tail(rest []byte) {
	if len(rest) == 0 {
		return
	}
	c.at = c.report.Records
	c.report.Torn = int64(len(rest))
	if c.expected.Marked && c.report.Records < c.expected.Records {
		c.finds("", "chain", "the file is cut within what was acknowledged")
	}
}

// line takes one line apart: the chain's value, a signature, a body.
func (c *checker) line(encoded []byte) {
	c.at = c.report.Records
	body, signature, ok := c.linked(encoded)
	if !ok {
		if c.expected.Marked && c.report.Records >= c.expected.Records {
			c.report.Torn = int64(len(encoded)) // beyond what was acknowledged: a write that was not finished
		} else {
			c.finds("", "chain", "its checksum does not fit: the line, or one before it, was changed, taken out or put in")
		}
		c.ended = true
		return
	}
	c.report.Records++
	c.report.Bytes += int64(len(encoded))
	if c.at == 0 {
		c.first(body)
	}
	if !ed25519.Verify(c.key, append([]byte("bastionlab receipt 1\n"), body...), signature) {
		c.finds("", "signature", "it is not signed by the ledger's key")
	}
	if c.at > 0 {
		c.movement(body)
	}
	if c.report.Records == c.expected.Records && (c.report.Bytes != c.expected.Bytes || !bytes.Equal(c.chain[:], c.expected.Chain)) {
		c.finds("", "mark", "another position was acknowledged here: file and database do not belong together")
	}
}

// linked checks the chain, in code of its own.
func (c *checker) linked(encoded []byte) (body, signature []byte, ok bool) {
	const prefix = hexDigits + 1 + signDigits + 1
	if len(encoded) <= prefix || encoded[hexDigits] != ' ' || encoded[prefix-1] != ' ' {
		return nil, nil, false
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(string(encoded[hexDigits+1 : prefix-1]))
	if err != nil || len(signature) != ed25519.SignatureSize {
		return nil, nil, false
	}
	body = bytes.Clone(encoded[prefix : len(encoded)-1])
	var hashed bytes.Buffer
	hashed.WriteString(chainPrefix)
	hashed.Write(c.chain[:])
	hashed.Write(signature)
	hashed.Write(body)
	sum := sha256.Sum256(hashed.Bytes())
	if hex.EncodeToString(sum[:]) != string(encoded[:hexDigits]) {
		return nil, nil, false
	}
	c.chain = sum
	return body, signature, true
}

// first reads the file's own record, which has one way of being written too.
func (c *checker) first(body []byte) {
	var head struct {
		Form   int    `json:"v"`
		Type   string `json:"type"`
		UnixMS int64  `json:"at"`
		ID     string `json:"id"`
		Key    string `json:"key"`
	}
	key := make([]byte, ed25519.PublicKeySize) // of which nothing is signed
	err := json.Unmarshal(body, &head)
	again, _ := json.Marshal(head)
	if err != nil || head.Type != "ledger" || head.Form != 2 || !bytes.Equal(again, body) {
		c.finds("", "form", "a ledger of form 2 begins with its own record")
	} else if found, err := hex.DecodeString(head.Key); err != nil || len(found) != len(key) {
		c.finds("", "form", "the ledger names no key")
	} else {
		key = found
	}
	c.key, c.report.Key = key, hex.EncodeToString(key)
	if c.expected.Key != nil && !bytes.Equal(c.expected.Key, key) {
		c.finds("", "key", "the ledger names another key than this directory's")
		c.key = c.expected.Key
	}
}

func isHex(digits string) bool {
	_, err := hex.DecodeString(digits)
	return err == nil
}

func (c *checker) movement(body []byte) {
	m, err := receipt.Decode(body)
	if err != nil {
		c.finds("", "form", "it is no receipt of this form")
		return
	}
	if c.told != nil {
		c.told(body, m)
	}
	c.follow(m, body)
}

// end judges what is only known at the file's end.
func (c *checker) end() {
	c.at = max(c.report.Records-1, 0)
	if c.report.Records == 0 && (!c.expected.Marked || c.expected.Records > 0) { // else a server died before its first record
		c.finds("", "chain", "the file is empty")
	}
	if !c.expected.Marked {
		return
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
