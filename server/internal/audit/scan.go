package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// found is a line where it lies.
type found struct {
	Line
	number int   // of the file
	offset int64 // in it
	end    int64
	hash   head
}

// scan reads a file from a position on, strictly: each line must be written in the one way, have the next number and hold the hash of the one
// before it. It ends before a last line that has no end, and says how many bytes that has.
func scan(from io.Reader, at position, each func(found) error) (after position, torn int64, err error) {
	reader := bufio.NewReaderSize(from, 64<<10)
	for row := int64(1); ; row++ {
		encoded, err := reader.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return at, int64(len(encoded)), nil
		case errors.Is(err, bufio.ErrBufferFull):
			rest, err := endOf(reader)
			if errors.Is(err, io.EOF) { // no line's end follows: the disk may have lost what was written last
				return at, int64(len(encoded)) + rest, nil
			}
			return at, 0, &IntegrityError{File: nameOf(at.file), Line: row, Reason: "it is too long for a line of this log"}
		case err != nil:
			return at, 0, fmt.Errorf("read audit log: %w", err)
		}
		line, prev, err := decode(encoded)
		if err != nil {
			return at, 0, &IntegrityError{File: nameOf(at.file), Line: row, Reason: err.Error()}
		}
		if reason := at.misfit(line, prev); reason != "" {
			return at, 0, &IntegrityError{File: nameOf(at.file), Line: row, Reason: reason}
		}
		here := found{Line: line, number: at.file, offset: at.bytes, end: at.bytes + int64(len(encoded)), hash: hashOf(encoded)}
		at = position{lines: line.Seq, head: here.hash, file: at.file, bytes: here.end}
		if err := each(here); err != nil {
			return at, 0, err
		}
	}
}

// misfit says why a line does not follow.
func (p position) misfit(line Line, prev head) string {
	switch {
	case line.Seq != p.lines+1:
		return fmt.Sprintf("its number is %d, and %d comes next", line.Seq, p.lines+1)
	case prev != p.head:
		return "it does not hold the hash of the line before it: one of the two was changed, or lines between them are gone"
	}
	return ""
}

// endOf reads on to the next line's end, or to the end of the file, which is io.EOF.
func endOf(reader *bufio.Reader) (skipped int64, err error) {
	for {
		part, err := reader.ReadSlice('\n')
		skipped += int64(len(part))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return skipped, err
		}
	}
}

// section reads a file from where the log stands in it.
func section(f io.ReaderAt, from, to int64) io.Reader { return io.NewSectionReader(f, from, to-from) }

// same says whether a marked hash is a line's.
func (h head) same(marked []byte) bool { return bytes.Equal(h[:], marked) }

// firstLine is the first line of some, with its end.
func firstLine(lines []byte) []byte {
	if end := bytes.IndexByte(lines, '\n'); end >= 0 {
		return lines[:end+1]
	}
	return lines
}
