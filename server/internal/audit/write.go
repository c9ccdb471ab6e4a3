package audit

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// reserveStep is how much room is asked for at once.
const reserveStep = 64 << 10

// ensure makes sure of room for so many lines more than those of the changes under way. The caller holds mu.
func (l *Log) ensure(more int) error {
	return l.reserveTo(l.at.bytes + int64(l.changes+more)*maxLineBytes)
}

func (l *Log) reserveTo(need int64) error {
	if need <= l.reserved {
		return nil
	}
	upTo := need + reserveStep
	if err := l.file.Reserve(l.at.bytes, upTo-l.at.bytes); err != nil {
		return fmt.Errorf("reserve room for the audit log: %w", err)
	}
	l.reserved = upTo
	return nil
}

// serve is the one writer: what many calls queued meanwhile is written, and synced, at once.
func (l *Log) serve() {
	defer close(l.ended)
	pulse := time.NewTicker(beat)
	defer pulse.Stop()
	for {
		select {
		case <-l.wake:
			l.commit()
		case <-pulse.C:
			l.settle(l.config.Now(), false)
		case <-l.ending:
			l.finish()
			return
		}
	}
}

// commit writes what is queued.
func (l *Log) commit() {
	l.mu.Lock()
	batch := l.queue
	l.queue = nil
	l.taken.Broadcast()
	err := l.broken
	batch = l.withRoom(batch)
	l.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	if err == nil {
		err = l.write(batch)
	}
	for _, w := range batch {
		if w.done != nil {
			w.done <- err
		} else if err != nil {
			l.mu.Lock()
			l.quota.omit(w.entry.User)
			l.mu.Unlock()
		}
	}
}

// withRoom leaves entries that change nothing out of a batch where they would take the room that changes were promised. The caller holds mu.
func (l *Log) withRoom(batch []*waiting) []*waiting {
	reads := 0
	for _, w := range batch {
		if !w.change {
			reads++
		}
	}
	if reads == 0 || l.reserveTo(l.at.bytes+int64(l.changes+reads)*maxLineBytes) == nil {
		return batch
	}
	return slices.DeleteFunc(batch, func(w *waiting) bool {
		if !w.change {
			l.quota.omit(w.entry.User)
		}
		return !w.change
	})
}

// write appends a batch. Where there was no room for it, what was written of it is cut off again and nothing has happened. After any other
// failure nothing more is written, because what the disk holds is no longer known.
func (l *Log) write(batch []*waiting) error {
	l.mu.Lock()
	at := l.at
	l.mu.Unlock()
	if at.bytes >= l.size {
		rotated, err := l.rotate(at, len(batch))
		if err != nil {
			return l.breaks(err)
		}
		at = rotated
	}
	now := unixMS(l.config.Now())
	var encoded []byte
	var lines []found
	sync := false
	next := at
	for _, w := range batch {
		line := Line{Seq: next.lines + 1, UnixMS: now, Entry: w.entry}
		encoded, next.head = line.encode(encoded, next.head)
		end := at.bytes + int64(len(encoded))
		lines = append(lines, found{Line: line, number: next.file, offset: next.bytes, end: end})
		next.lines, next.bytes = line.Seq, end
		sync = sync || w.change
	}
	if _, err := l.file.Write(encoded); err != nil {
		if !full(err) {
			return l.breaks(err)
		}
		if cut := errors.Join(l.file.Truncate(at.bytes), l.file.Sync()); cut != nil {
			return l.breaks(errors.Join(err, cut))
		}
		l.mu.Lock()
		l.reserved = at.bytes // cutting gave the room back
		l.mu.Unlock()
		return noRoom(err)
	}
	l.dirty = true
	if sync {
		if err := l.file.Sync(); err != nil {
			return l.breaks(err)
		}
		l.dirty = false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = next
	for _, f := range lines {
		l.index.add(f)
	}
	return nil
}

// rotate begins the next file. Where there is no room for one, the log goes on in the old one, which has room for what was begun.
func (l *Log) rotate(at position, lines int) (position, error) {
	if err := l.file.Sync(); err != nil {
		return at, err
	}
	opened, err := begin(l.disk, l.config.Dir, at.file+1)
	if err != nil {
		if full(err) {
			return at, nil
		}
		return at, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, oldAt, oldReserved := l.file, l.at, l.reserved
	l.file, l.at, l.reserved = opened, position{lines: at.lines, head: at.head, file: at.file + 1}, 0
	if err := l.ensure(lines); err != nil {
		l.file, l.at, l.reserved = old, oldAt, oldReserved
		if full(err) { // the new file stays, empty: it is gone on with later
			return at, opened.Close()
		}
		return at, errors.Join(err, opened.Close())
	}
	return l.at, old.Close()
}

// breaks ends all writing.
func (l *Log) breaks(err error) error {
	l.mu.Lock()
	l.broken = err
	l.mu.Unlock()
	l.config.Log.Error("the audit log cannot be written: nothing that changes anything is done until the server was restarted", "error", err)
	return unavailable(err)
}

// settle makes durable and marks what was written without waiting, and writes the counts of what was left out.
func (l *Log) settle(now time.Time, last bool) {
	tight := l.config.Room() != nil
	l.mu.Lock()
	l.tight = tight
	broken, closed := l.broken, l.closed
	if !tight && !closed {
		for _, summary := range l.quota.roll(now, last) {
			l.queue = append(l.queue, &waiting{entry: summary})
		}
	}
	l.mu.Unlock()
	if broken != nil {
		return
	}
	l.commit()
	if l.dirty {
		if err := l.file.Sync(); err != nil {
			_ = l.breaks(err)
			return
		}
		l.dirty = false
	}
	l.mark()
}

// mark moves the mark to what is synced. Where it cannot, the next beat tries again: a mark that is late only notices less.
func (l *Log) mark() {
	l.mu.Lock()
	at, broken := l.at, l.broken
	l.mu.Unlock()
	if broken != nil || at.lines == l.marked {
		return
	}
	if err := l.config.Mark.SetMark(at.lines, at.head[:]); err != nil {
		l.config.Log.Warn("the audit log's mark was not written", "error", err)
		return
	}
	l.marked = at.lines
}

// finish is the writer's end.
func (l *Log) finish() {
	l.settle(l.config.Now(), true)
	l.mu.Lock()
	l.closed = true
	l.taken.Broadcast()
	l.mu.Unlock()
	l.settle(l.config.Now(), true) // what came in between
	at := l.at
	if l.broken == nil && l.reserved > at.bytes {
		_ = l.file.Truncate(at.bytes) // gives back the room that was reserved; its size is this
	}
	if err := l.file.Close(); err != nil && l.broken == nil {
		l.broken = err
	}
}
