// Package audit keeps the log of who did what to which dataset, allowed or not: JSON lines in the data directory, each of which holds the
// hash of the one before it.
//
// Invariants: a line is only ever appended, and never removed; there is one encoding of an entry and reading takes no other; what Record returned
// for with a change is on disk; a change is refused before it does anything where its line could not be written; no line holds a name, a
// value or any other text that a user chose, only identifiers of the server's making, hashes of keys, and words of this program. What others than
// changes may write is bounded: per user, in all, and for whoever has not signed in.
//
// Non-goals: it judges nothing, and proves nothing against whoever can replace the whole file: docs/audit.md says what the chain shows.
package audit

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Entry is one call, as its line tells it. Whatever has not the form of its field is written as "malformed".
type Entry struct {
	User    string // hex SHA-256 of the key; Operator; empty: nobody had signed in
	Action  string // a method of the protocol, such as "DatasetService.UploadDataset"
	Dataset string
	Run     string
	Allowed bool
	Reason  string // why not: the kind of the refusal
	Binding string // of the sign-in: "exporter", "key" or "socket"
	Boot    string
	Subject string // the user that the call was about
}

// Line is an entry that was written.
type Line struct {
	Seq    int64
	UnixMS int64
	Entry
}

// Mark remembers, outside of the log, how far it certainly went, so that a log that lost its end is noticed.
type Mark interface {
	Marked() (lines int64, head []byte, err error)
	SetMark(lines int64, head []byte) error
}

// Config is what a Log needs. All but Now must be set.
type Config struct {
	Dir  string
	Mark Mark
	// Room says why the disk should be left to others: entries that change nothing are counted then, and not written.
	Room func() error
	Log  *slog.Logger
	Now  func() time.Time // nil: the clock
}

// Log is an open log. Its methods may be called concurrently.
type Log struct {
	config Config
	disk   disk
	size   int64 // of a file, before the next one is begun
	wake   chan struct{}
	ending chan struct{}
	ended  chan struct{}
	end    sync.Once

	file   file // the newest; of the writer alone
	marked int64
	dirty  bool // something was written that was not synced; of the writer alone

	mu       sync.Mutex
	taken    *sync.Cond // a batch was taken from the queue
	queue    []*waiting
	closed   bool
	broken   error // why nothing more is written
	at       position
	reserved int64 // bytes of the newest file for which the disk has given room
	changes  int   // begun and not recorded
	quota    quota
	changed  changeQuota
	tight    bool // the disk is to be left to others
	index    index
	reading  chan struct{} // bounds how many read at once
}

// position is a place between two lines.
type position struct {
	lines int64
	head  head // the hash of the last line
	file  int  // which file is the newest, counted from 1
	bytes int64
}

type waiting struct {
	entry  Entry
	change bool
	done   chan error // nil: nobody waits
}

const (
	fileBytes    = 64 << 20
	beat         = time.Second // between two marks
	maxQueued    = 1024
	readersAtOne = 2
)

var errClosed = errors.New("the audit log is closed")

// Open reads and checks the whole log, and goes on after its last line. It starts a goroutine, which Close ends.
func Open(config Config) (*Log, error) { return open(config, osDisk{}, fileBytes) }

func open(config Config, on disk, size int64) (*Log, error) {
	if config.Mark == nil || config.Room == nil || config.Log == nil {
		return nil, errors.New("audit: mark, room and log must be given")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	l := &Log{
		config: config, disk: on, size: size, wake: make(chan struct{}, 1), ending: make(chan struct{}), ended: make(chan struct{}),
		reading: make(chan struct{}, readersAtOne), quota: newQuota(config.Now()),
	}
	l.taken = sync.NewCond(&l.mu)
	if err := l.resume(); err != nil {
		return nil, err
	}
	go l.serve()
	return l, nil
}

// Begin makes sure, before a user's call changes anything, that its line will find room, and that this user does not fill the disk with them. end must
// be called after it was recorded.
func (l *Log) Begin(user string) (end func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, unavailable(errClosed)
	case l.broken != nil:
		return nil, unavailable(l.broken)
	}
	if user != Operator && !l.changed.take(user, l.config.Now()) {
		return nil, tooMany()
	}
	if err := l.ensure(1); err != nil {
		if full(err) {
			return nil, noRoom(err)
		}
		return nil, unavailable(err)
	}
	l.changes++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changes--
	}), nil
}

// Record writes an entry. That of a change is on disk when it returns; others are written soon, unless there are too many of them: then
// they are counted, and the count is written.
func (l *Log) Record(entry Entry, change bool) error {
	entry = tidy(entry)
	l.mu.Lock()
	if l.closed || l.broken != nil {
		defer l.mu.Unlock()
		return unavailable(errors.Join(l.broken, errIf(l.closed, errClosed)))
	}
	if !change && (!l.quota.take(entry.User) || l.tight) {
		l.quota.omit(entry.User)
		l.mu.Unlock()
		return nil
	}
	for len(l.queue) >= maxQueued && !l.closed {
		l.taken.Wait()
	}
	if l.closed {
		l.mu.Unlock()
		return unavailable(errClosed)
	}
	w := &waiting{entry: entry, change: change}
	if change {
		w.done = make(chan error, 1)
	}
	l.queue = append(l.queue, w)
	l.mu.Unlock()
	l.poke()
	if change {
		return <-w.done // not given up because the caller left: what was done was done
	}
	return nil
}

func (l *Log) poke() {
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
}

// Close writes what is queued, the counts of what was left out and the mark.
func (l *Log) Close() error {
	l.end.Do(func() { close(l.ending) })
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

func errIf(condition bool, err error) error {
	if condition {
		return err
	}
	return nil
}
