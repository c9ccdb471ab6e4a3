package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
)

func hashOf(encoded []byte) head { return sha256.Sum256(encoded) }

// resume reads every file, cuts a torn last line off and holds the log against its mark.
func (l *Log) resume() (err error) {
	defer func() {
		if err != nil && l.file != nil {
			_ = l.file.Close() // nothing was written
		}
	}()
	marked, markedHead, err := l.config.Mark.Marked()
	if err != nil {
		return err
	}
	count, err := l.filesBegun()
	if err != nil {
		return err
	}
	if count == 0 && marked > 0 {
		return lostEnd(FileName, 0, marked)
	}
	l.at = position{head: beginning()}
	reached := marked == 0
	each := func(f found) error {
		l.index.add(f)
		if f.Seq == marked && !f.hash.same(markedHead) {
			return &IntegrityError{File: nameOf(f.number), Line: 0, Reason: fmt.Sprintf("entry %d is another one than the server remembers", marked)}
		}
		reached = reached || f.Seq == marked
		return nil
	}
	for number := 1; number <= max(count, 1); number++ {
		if l.file != nil {
			if err := l.file.Close(); err != nil {
				return err
			}
			l.file = nil
		}
		if l.file, err = l.openNumber(number, count); err != nil {
			return err
		}
		if err := l.resumeFile(number, count, each); err != nil {
			return err
		}
	}
	if !reached {
		return lostEnd(nameOf(l.at.file), l.at.lines, marked)
	}
	l.marked, l.reserved = marked, l.at.bytes
	// What an earlier process wrote without waiting may not be on disk yet, and will be marked as if it were.
	l.dirty = l.at.lines > marked
	return nil
}

// filesBegun counts the files but an empty last one, whose file before it may have been gone on with because the disk was full.
func (l *Log) filesBegun() (int, error) {
	count, err := files(l.disk, l.config.Dir)
	if err != nil || count < 2 {
		return count, err
	}
	last, err := l.openNumber(count, count)
	if err != nil {
		return 0, err
	}
	size, err := last.Size()
	if size == 0 {
		count--
	}
	return count, errors.Join(err, last.Close())
}

func (l *Log) openNumber(number, count int) (file, error) {
	if number > count {
		return begin(l.disk, l.config.Dir, number)
	}
	return l.disk.open(filepath.Join(l.config.Dir, nameOf(number)), false)
}

func (l *Log) resumeFile(number, count int, each func(found) error) error {
	size, err := l.file.Size()
	if err != nil {
		return fmt.Errorf("look at audit log: %w", err)
	}
	l.at.file, l.at.bytes = number, 0
	after, torn, err := scan(section(l.file, 0, size), l.at, each)
	if err != nil {
		return err
	}
	l.at = after
	if torn == 0 {
		return nil
	}
	if number < count { // the next file was begun after this one was whole
		return &IntegrityError{File: nameOf(number), Reason: "its last line has no end, and there is a file after it"}
	}
	if err := l.file.Truncate(after.bytes); err != nil {
		return fmt.Errorf("cut a torn line off the audit log: %w", err)
	}
	l.config.Log.Info("the audit log's last line was never whole and was cut off", "bytes", torn)
	return l.file.Sync()
}

func lostEnd(name string, lines, marked int64) error {
	return &IntegrityError{File: name, Reason: fmt.Sprintf("the log ends after entry %d, and %d were written: its end was lost or taken away", lines, marked)}
}
