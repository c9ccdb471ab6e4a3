package audit

import (
	"fmt"
	"path/filepath"
)

// Report is what a check of a log found.
type Report struct {
	Files  int    `json:"files"`
	Lines  int64  `json:"lines"`
	Head   string `json:"head"` // hash of the last line, in hex: who remembers it can check later that what was before it is still there
	Torn   int64  `json:"torn"` // bytes of a last line that was never whole
	From   int64  `json:"from_unix_ms"`
	To     int64  `json:"to_unix_ms"`
	Marked int64  `json:"marked"` // so far the server certainly went
}

// Remembered is a place that somebody knows of, from the server's mark or an earlier check.
type Remembered struct {
	Lines int64
	Head  []byte
	Whose string // "the server", or who else remembers it
}

// Check reads a whole log and holds it against what is remembered. It changes nothing, and a server may write to the log meanwhile: what is
// remembered must have been read before.
func Check(dir string, remembered ...Remembered) (Report, error) {
	return check(osDisk{}, dir, remembered...)
}

func check(on disk, dir string, remembered ...Remembered) (r Report, err error) {
	if r.Files, err = files(on, dir); err != nil {
		return r, err
	}
	at := position{head: beginning()}
	each := func(f found) error {
		if r.Lines++; r.Lines == 1 {
			r.From = f.UnixMS
		}
		r.To = f.UnixMS
		for _, place := range remembered {
			if place.Lines == f.Seq && !f.hash.same(place.Head) {
				return &IntegrityError{File: nameOf(f.number), Reason: fmt.Sprintf("entry %d is another one than %s remembers", f.Seq, place.Whose)}
			}
		}
		return nil
	}
	torn := 0
	for number := 1; number <= r.Files; number++ {
		before := at.lines
		at.file, at.bytes = number, 0
		at, r.Torn, err = checkFile(on, dir, at, each)
		if torn > 0 && (err != nil || at.lines > before || r.Torn > 0) {
			return r, &IntegrityError{File: nameOf(torn), Reason: "its last line has no end, and there are lines after it"}
		}
		if err != nil {
			return r, err
		}
		if r.Torn > 0 {
			torn = number
		}
	}
	r.Head = fmt.Sprintf("%x", at.head[:])
	for _, place := range remembered {
		if place.Lines > at.lines {
			return r, lostEnd(nameOf(max(at.file, 1)), at.lines, place.Lines)
		}
	}
	return r, nil
}

func checkFile(on disk, dir string, at position, each func(found) error) (position, int64, error) {
	opened, err := on.read(filepath.Join(dir, nameOf(at.file)))
	if err != nil {
		return at, 0, err
	}
	defer opened.Close()
	size, err := opened.Size()
	if err != nil {
		return at, 0, fmt.Errorf("look at audit log: %w", err)
	}
	return scan(section(opened, 0, size), at, each)
}
