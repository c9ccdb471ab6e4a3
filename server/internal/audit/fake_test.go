package audit

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCrash = errors.New("the machine went off")

// memoryDisk holds files of which only a part may be synced. Every call counts: one can fail, or be the last before a crash.
type memoryDisk struct {
	mu      sync.Mutex
	files   map[string]*memoryFile
	calls   int
	failAt  int // this call fails, a write after its first half
	err     error
	crashAt int   // this call and all after it do nothing
	free    int64 // bytes that can still be reserved or written; below 0: without end
	syncs   int
}

type memoryFile struct {
	disk     *memoryDisk
	content  []byte
	synced   int
	named    bool
	reserved int64
}

func newDisk() *memoryDisk { return &memoryDisk{files: map[string]*memoryFile{}, free: -1} }

// call is nil where the call is to be done.
func (d *memoryDisk) call() error {
	d.calls++
	if d.crashAt > 0 && d.calls >= d.crashAt {
		return errCrash
	}
	if d.calls == d.failAt {
		return d.err
	}
	return nil
}

func (d *memoryDisk) names(string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.files)), d.call()
}

func (d *memoryDisk) open(path string, create bool) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call(); err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	if d.files[name] == nil {
		if !create {
			return nil, fmt.Errorf("no file %s", name)
		}
		d.files[name] = &memoryFile{disk: d}
	}
	return d.files[name], nil
}

func (d *memoryDisk) read(path string) (readable, error) { return d.open(path, false) }

func (d *memoryDisk) syncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call(); err != nil {
		return err
	}
	for _, f := range d.files {
		f.named = true
	}
	return nil
}

// afterCrash is a disk on which, of what was not synced, so many bytes were kept.
func (d *memoryDisk) afterCrash(kept int) *memoryDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newDisk()
	for name, f := range d.files {
		if f.named {
			length := min(f.synced+kept, len(f.content))
			after.files[name] = &memoryFile{disk: after, content: slices.Clone(f.content[:length]), synced: length, named: true}
		}
	}
	return after
}

func (d *memoryDisk) content(number int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.files[nameOf(number)]; f != nil {
		return slices.Clone(f.content)
	}
	return nil
}

// put takes a copy: what is written later must not reach the bytes of whoever called, which a fuzzer uses again.
func (d *memoryDisk) put(number int, content []byte) {
	d.files[nameOf(number)] = &memoryFile{disk: d, content: slices.Clone(content), synced: len(content), named: true}
}

func (f *memoryFile) Write(content []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.call(); err != nil {
		if errors.Is(err, errCrash) {
			return 0, err
		}
		f.content = append(f.content, content[:len(content)/2]...)
		return len(content) / 2, err
	}
	if beyond := int64(len(f.content)+len(content)) - f.reserved; beyond > 0 && f.disk.free >= 0 {
		if f.disk.free < beyond {
			f.content = append(f.content, content[:len(content)/2]...)
			return len(content) / 2, errFull
		}
		f.disk.free -= beyond
	}
	f.content = append(f.content, content...)
	return len(content), nil
}

func (f *memoryFile) ReadAt(into []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if at >= int64(len(f.content)) {
		return 0, io.EOF
	}
	n := copy(into, f.content[at:])
	if n < len(into) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.content)), f.disk.call()
}

func (f *memoryFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.call(); err != nil {
		return err
	}
	f.content, f.synced, f.reserved = f.content[:size], min(f.synced, int(size)), size
	return nil
}

func (f *memoryFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.call(); err != nil {
		return err
	}
	f.synced = len(f.content)
	f.disk.syncs++
	return nil
}

func (f *memoryFile) Reserve(from, bytes int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.call(); err != nil {
		return err
	}
	if more := from + bytes - max(f.reserved, from); f.disk.free >= 0 {
		if f.disk.free < more {
			return errFull
		}
		f.disk.free -= more
	}
	f.reserved = max(f.reserved, from+bytes)
	return nil
}

func (f *memoryFile) Close() error { return nil }

// memoryMark is the mark in the database, which is durable when it was set.
type memoryMark struct {
	mu    sync.Mutex
	disk  *memoryDisk // nil: it never fails
	lines int64
	head  []byte
}

func (m *memoryMark) Marked() (int64, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lines, m.head, nil
}

func (m *memoryMark) SetMark(lines int64, head []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.disk != nil {
		m.disk.mu.Lock()
		defer m.disk.mu.Unlock()
		if err := m.disk.call(); err != nil {
			return err
		}
	}
	m.lines, m.head = lines, slices.Clone(head)
	return nil
}

// clock stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_790_000_000_000)} }

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func configOf(mark Mark) Config {
	return Config{Dir: "data", Mark: mark, Room: func() error { return nil }, Log: quiet(), Now: newClock().Now}
}

func openOn(disk *memoryDisk, mark Mark, size int64) (*Log, error) {
	return open(configOf(mark), disk, size)
}

func mustOpen(t testing.TB, disk *memoryDisk, mark Mark, size int64) *Log {
	t.Helper()
	l, err := openOn(disk, mark, size)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

const (
	alice   = "a000000000000000000000000000000000000000000000000000000000000001"
	bob     = "b000000000000000000000000000000000000000000000000000000000000002"
	dataset = "d0000000000000000000000000000001"
	other   = "d0000000000000000000000000000002"
)

func deleted(user, of string) Entry {
	return Entry{User: user, Action: "DatasetService.DeleteDataset", Dataset: of, Allowed: true, Binding: "exporter"}
}

func looked(user, of string) Entry {
	return Entry{User: user, Action: "DatasetService.GetDataset", Dataset: of, Allowed: true, Binding: "key"}
}

// change makes a change as a call does.
func change(l *Log, e Entry) error {
	end, err := l.Begin(e.User)
	if err != nil {
		return err
	}
	defer end()
	return l.Record(e, true)
}
