package ledger

import "errors"

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
	broken error // why nothing more is written
}

// write appends a record: written, synced and acknowledged, in this order. On any failure the journal is broken, because what the disk
// holds is no longer known: it is neither tried again nor cut back.
func (j *journal) write(r record) error {
	if j.broken != nil {
		return unavailable(j.broken)
	}
	line, after, err := r.encode(j.at.chain)
	if err != nil {
		return err
	}
	next := position{records: j.at.records + 1, bytes: j.at.bytes + int64(len(line)), chain: after}
	if err := j.append(line, next); err != nil {
		j.broken = err
		return unavailable(err)
	}
	j.at = next
	return nil
}

func (j *journal) append(line []byte, next position) error {
	if _, err := j.file.Write(line); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	return j.ack.Acknowledge(next.records, next.bytes, next.chain[:])
}
