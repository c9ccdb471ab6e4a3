package ledger

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// What is read of ledgers that were put aside, newest first. Whose disk it is could put anything there: what is beyond these bounds is left
// out, and an owner who gets no close counts the account as wholly spent.
const (
	maxAsideFiles      = 10_000
	maxAsideBytes      = 1 << 30
	maxClosings        = 20_000
	maxClosingsOfOwner = 1000
)

// Closings are the receipts with which earlier boots closed accounts, by owner, newest boot first. They are handed on as they were signed, for their
// owner to check: with the key that the owner remembers from the time, not with one that stands beside them.
type Closings struct {
	of    map[string][]receipt.Receipt
	count int
	// LeftOut says whether there were more than are kept.
	LeftOut bool
}

// Of returns an owner's.
func (c *Closings) Of(owner string) []receipt.Receipt { return c.of[owner] }

// ReadClosings reads the ledgers that were put aside in a data directory. A file is read up to what does not fit.
func ReadClosings(dir string) (*Closings, error) {
	c := &Closings{of: map[string][]receipt.Receipt{}}
	files, err := AsideFiles(dir)
	if err != nil {
		return nil, err
	}
	left := int64(maxAsideBytes)
	for i, path := range slices.Backward(files) {
		if len(files)-i > maxAsideFiles || left <= 0 || c.count >= maxClosings {
			c.LeftOut = true
			break
		}
		read, err := c.readFile(path, left)
		if err != nil {
			return nil, err
		}
		left -= read
	}
	return c, nil
}

// AsideFiles are the ledgers that were put aside, oldest first.
func AsideFiles(dir string) ([]string, error) {
	folder := filepath.Join(dir, AsideFolder)
	entries, err := os.ReadDir(folder) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the ledgers of before: %w", err)
	}
	var files []string
	for _, entry := range entries {
		if entry.Type().IsRegular() && filepath.Ext(entry.Name()) == ".log" {
			files = append(files, filepath.Join(folder, entry.Name()))
		}
	}
	return files, nil
}

func (c *Closings) readFile(path string, most int64) (int64, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("read a ledger of before: %w", err)
	}
	defer file.Close()
	counted := &io.LimitedReader{R: file, N: most}
	c.read(counted)
	return most - counted.N, nil
}

// read takes the closes out of one ledger, up to what does not fit.
func (c *Closings) read(file io.Reader) {
	reader, at := newLineReader(file), chain{}
	var key []byte
	for {
		encoded, err := reader.next()
		if err != nil {
			return
		}
		read, after, err := decode(encoded, at)
		if err != nil {
			return
		}
		at = after
		if key == nil {
			head, err := decodeGenesis(read.body)
			if err != nil {
				return
			}
			if key, err = hex.DecodeString(head.Key); err != nil {
				return
			}
			continue
		}
		// Most lines are others: they are not taken apart.
		if bytes.Contains(read.body[:min(len(read.body), 32)], []byte(`"type":"close"`)) {
			c.take(receipt.Receipt{Body: read.body, Signature: read.signature, Key: key})
		}
	}
}

func (c *Closings) take(found receipt.Receipt) {
	body, err := receipt.Decode(found.Body)
	if err != nil || body.Type != receipt.Close || !found.SignedBy(found.Key) {
		return
	}
	if c.count >= maxClosings || len(c.of[body.Owner]) >= maxClosingsOfOwner {
		c.LeftOut = true
		return
	}
	c.of[body.Owner] = append(c.of[body.Owner], found)
	c.count++
}
