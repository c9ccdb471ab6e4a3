package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

var errClosed = errors.New("the ledger is closed")

// position is a place between two records.
type position struct {
	records int64
	bytes   int64
	chain   chain
}

// journal is the file and where it ends.
type journal struct {
	file   file
	ack    Acknowledger
	at     position
	broken error       // why nothing more is written
	failed atomic.Bool // the same, for those who do not wait for the disk

	observe func(took time.Duration, err error) // nil: nobody
}

// write appends a line: written, synced and acknowledged, in this order. Where the disk had no room for it, it is cut off again and nothing
// has happened. On any other failure the journal is broken, because what the disk holds is no longer known: it is neither tried again
// nor cut back.
func (j *journal) write(l line) error {
	if j.broken != nil {
		return unavailable(j.broken)
	}
	encoded, after, err := l.encode(j.at.chain)
	if err != nil {
		return err
	}
	next := position{records: j.at.records + 1, bytes: j.at.bytes + int64(len(encoded)), chain: after}
	began := time.Now()
	full, err := j.append(encoded, next)
	if j.observe != nil {
		j.observe(time.Since(began), err)
	}
	if err == nil {
		j.at = next
		return nil
	}
	if full {
		cutErr := j.cutBack()
		if cutErr == nil {
			return noRoom(err)
		}
		err = errors.Join(err, cutErr)
	}
	j.broken = err
	j.failed.Store(true)
	return unavailable(err)
}

// append says whether it failed for want of room before anything had to be durable. A full disk that shows only in a sync is not told from a
// broken one.
func (j *journal) append(encoded []byte, next position) (full bool, err error) {
	if _, err := j.file.Write(encoded); err != nil {
		return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT), err
	}
	if err := j.file.Sync(); err != nil {
		return false, err
	}
	return false, j.ack.Acknowledge(next.records, next.bytes, next.chain[:])
}

// receipt reads a movement back.
func (j *journal) receipt(at place) (line, error) {
	read := make([]byte, signatureDigits+1+int(at.bytes))
	if _, err := j.file.ReadAt(read, at.offset-signatureDigits-1); err != nil {
		return line{}, fmt.Errorf("read ledger: %w", err)
	}
	signature, err := base64.StdEncoding.DecodeString(string(read[:signatureDigits]))
	if err != nil || receipt.Hash(read[signatureDigits+1:]) != at.hash {
		return line{}, errors.New("read ledger: the file has changed since it was opened")
	}
	return line{signature: signature, body: read[signatureDigits+1:]}, nil
}

// cutBack removes what was written of a record that found no room.
func (j *journal) cutBack() error {
	if err := j.file.Truncate(j.at.bytes); err != nil {
		return err
	}
	return j.file.Sync()
}
