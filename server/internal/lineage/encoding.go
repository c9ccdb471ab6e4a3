package lineage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrMalformed is wrapped by every error about what does not encode a Set.
var ErrMalformed = errors.New("malformed record digests")

// setLabel opens an encoded Set: its form, and that of the digests in it.
const setLabel = "bastionlab digests 1\n"

// rowsAtOnce is how many digests are written or read at once.
const rowsAtOnce = 4 << 10

// WriteTo encodes the set: its form, the number of rows, the rows.
func (s Set) WriteTo(w io.Writer) (written int64, err error) {
	buffer := binary.LittleEndian.AppendUint64([]byte(setLabel), uint64(len(s.rows)))
	for i := 0; ; {
		n, err := w.Write(buffer)
		written += int64(n)
		if err != nil || i == len(s.rows) {
			return written, err
		}
		buffer = buffer[:0]
		for until := min(len(s.rows), i+rowsAtOnce); i < until; i++ {
			buffer = append(buffer, s.rows[i][:]...)
		}
	}
}

// ReadSet decodes what WriteTo wrote, to the reader's end. A set has one encoding: rows out of order, twice, too few or too many are
// refused. It takes memory in proportion to what the reader holds, whatever that claims.
func ReadSet(r io.Reader) (Set, error) {
	head := make([]byte, len(setLabel)+8)
	if err := readWhole(r, head); err != nil {
		return Set{}, err
	}
	if string(head[:len(setLabel)]) != setLabel {
		return Set{}, fmt.Errorf("%w: not of a form that this release knows", ErrMalformed)
	}
	count := binary.LittleEndian.Uint64(head[len(setLabel):])
	var rows []Digest
	for buffer := make([]byte, rowsAtOnce*DigestBytes); uint64(len(rows)) < count; {
		part := buffer[:min(rowsAtOnce, count-uint64(len(rows)))*DigestBytes]
		if err := readWhole(r, part); err != nil {
			return Set{}, err
		}
		rows = grown(rows, count)
		for ; len(part) > 0; part = part[DigestBytes:] {
			row := Digest(part[:DigestBytes])
			if len(rows) > 0 && compare(rows[len(rows)-1], row) >= 0 {
				return Set{}, fmt.Errorf("%w: out of order at row %d", ErrMalformed, len(rows))
			}
			rows = append(rows, row)
		}
	}
	switch n, err := io.ReadFull(r, head[:1]); {
	case n > 0:
		return Set{}, fmt.Errorf("%w: more than the %d rows that it says", ErrMalformed, count)
	case err != io.EOF:
		return Set{}, fmt.Errorf("read record digests: %w", err)
	}
	return Set{rows}, nil
}

// grown makes room for rowsAtOnce more rows: twice as much as before, but no more than the count, which is what stays in the end.
func grown(rows []Digest, count uint64) []Digest {
	if cap(rows)-len(rows) >= rowsAtOnce || uint64(cap(rows)) == count {
		return rows
	}
	larger := make([]Digest, len(rows), min(count, uint64(2*cap(rows)+rowsAtOnce)))
	copy(larger, rows)
	return larger
}

func readWhole(r io.Reader, into []byte) error {
	_, err := io.ReadFull(r, into)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends early", ErrMalformed)
	}
	if err != nil {
		return fmt.Errorf("read record digests: %w", err)
	}
	return nil
}
