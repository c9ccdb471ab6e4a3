package ledger

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// memoryDisk is a disk on which a write is lost in a crash until it was synced: of what was not, any beginning may remain.
type memoryDisk struct {
	content  []byte
	exists   bool
	named    bool // the name was synced
	synced   int  // bytes that a crash keeps
	syncs    int
	calls    int
	failAt   int   // the call that fails; a write that fails has written half
	failAlso int   // another one
	fault    error // how they fail; nil: errFault
	crashAt  int   // the call that is the last: it and all later ones do nothing and fail
	crashed  bool
	position int
	pause    time.Duration // that a sync takes
}

var (
	errFault = errors.New("the disk failed")
	errCrash = errors.New("the machine is off")
)

// step counts a call and says how it fails.
func (d *memoryDisk) step() error {
	d.calls++
	if d.crashAt > 0 && d.calls >= d.crashAt {
		d.crashed = true
		return errCrash
	}
	if d.calls == d.failAt || d.calls == d.failAlso {
		return cmp.Or(d.fault, errFault)
	}
	return nil
}

func (d *memoryDisk) open(_ string, create bool) (file, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	if !d.exists && !create {
		return nil, fs.ErrNotExist
	}
	d.exists, d.position = true, 0
	return memoryFile{d}, nil
}

func (d *memoryDisk) syncDir(string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.named = true
	return nil
}

func (d *memoryDisk) makeDir(string) error { return d.step() }

// rename is for a disk with more than one file: folderDisk.
func (d *memoryDisk) rename(_, _ string) error { return errFault }

// afterCrash is the disk as the next start finds it, with kept bytes of what was not synced.
func (d *memoryDisk) afterCrash(kept int) *memoryDisk {
	if !d.named {
		return &memoryDisk{}
	}
	end := min(d.synced+kept, len(d.content))
	return &memoryDisk{content: bytes.Clone(d.content[:end]), exists: true, named: true, synced: end}
}

type memoryFile struct{ d *memoryDisk }

func (f memoryFile) Read(into []byte) (int, error) {
	if f.d.position >= len(f.d.content) {
		return 0, io.EOF
	}
	n := copy(into, f.d.content[f.d.position:])
	f.d.position += n
	return n, nil
}

func (f memoryFile) ReadAt(into []byte, offset int64) (int, error) {
	return bytes.NewReader(f.d.content).ReadAt(into, offset)
}

func (f memoryFile) Write(content []byte) (int, error) {
	err := f.d.step()
	if err == nil {
		f.d.content = append(f.d.content, content...)
		return len(content), nil
	}
	f.d.content = append(f.d.content, content[:len(content)/2]...)
	return len(content) / 2, err
}

func (f memoryFile) Sync() error {
	f.d.syncs++
	time.Sleep(f.d.pause)
	if err := f.d.step(); err != nil {
		return err
	}
	f.d.synced = len(f.d.content)
	return nil
}

func (f memoryFile) Truncate(size int64) error {
	if err := f.d.step(); err != nil {
		return err
	}
	f.d.content = f.d.content[:size]
	f.d.synced = min(f.d.synced, int(size))
	return nil
}

func (f memoryFile) Close() error { return nil }

// memoryMark is an Acknowledger that shares the disk's failures.
type memoryMark struct {
	disk           *memoryDisk
	records, bytes int64
	chain          []byte
}

func (m *memoryMark) Acknowledged() (records, bytes int64, chain []byte, err error) {
	return m.records, m.bytes, m.chain, nil
}

func (m *memoryMark) Acknowledge(records, bytes int64, chain []byte) error {
	if m.disk != nil {
		if err := m.disk.step(); err != nil {
			return err
		}
	}
	m.records, m.bytes, m.chain = records, bytes, slices.Clone(chain)
	return nil
}

func (m *memoryMark) Forget() error {
	if m.disk != nil {
		if err := m.disk.step(); err != nil {
			return err
		}
	}
	m.records, m.bytes, m.chain = 0, 0, nil
	return nil
}

// clock is a time that does not move.
func clock() time.Time { return time.UnixMilli(1_700_000_000_000) }

// testWriter signs with the key that RFC 8032 has as its first test.
func testWriter() Writer {
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		panic(err)
	}
	return Writer{Key: ed25519.NewKeyFromSeed(seed), Origin: receipt.Origin{Boot: "boot", Level: "file", Release: "1.0.0"}}
}

func openOn(disk *memoryDisk, mark *memoryMark) (*Ledger, error) {
	disk.position = 0
	return open("", mark, testWriter(), disk, clock)
}

// newLedger is a ledger on a disk in memory.
func newLedger(t testing.TB) (*Ledger, *memoryDisk, *memoryMark) {
	t.Helper()
	disk := &memoryDisk{}
	mark := &memoryMark{disk: disk}
	l, err := openOn(disk, mark)
	if err != nil {
		t.Fatal(err)
	}
	return l, disk, mark
}

// reopened is the same ledger after an orderly stop.
func reopened(t testing.TB, disk *memoryDisk, mark *memoryMark) *Ledger {
	t.Helper()
	l, err := openOn(disk, mark)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func eps(t testing.TB, v float64) accounting.Epsilon {
	t.Helper()
	e, err := accounting.NewEpsilon(v)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const (
	testDelta    = accounting.Delta(1e13) // 1e-5
	testDeclared = int64(4459)
)

// openAccount opens the account "d" with a limit; 0 means none.
func openAccount(t testing.TB, l *Ledger, limit float64) {
	t.Helper()
	units := accounting.Epsilon(0)
	if limit != 0 {
		units = eps(t, limit)
	}
	if err := opened(l, "d", "owner", units, testDelta, testDeclared); err != nil {
		t.Fatal(err)
	}
}

func opened(l *Ledger, id, owner string, limit accounting.Epsilon, delta accounting.Delta, declared int64) error {
	return l.OpenAccount(Dataset{ID: id, Owner: owner, Limit: limit, Delta: delta, Declared: declared, BlobHMAC: []byte{1, 2}})
}

// costOf is a cost that no counting filter admits, so that the sums alone decide.
func costOf(e accounting.Epsilon, delta accounting.Delta) accounting.Cost {
	cost := accounting.Cost{Epsilon: e, Delta: delta}
	for range accounting.FilterOrders(6e9, testDelta) {
		cost.Renyi = append(cost.Renyi, accounting.MaxRenyi)
	}
	return cost
}

func reserve(l *Ledger, dataset, run string, e accounting.Epsilon, delta accounting.Delta) error {
	cost, orders := costOf(e, delta), testOrders()
	if a, err := l.Account(dataset); err == nil { // as many orders as the account has
		cost.Renyi, orders = slices.Repeat([]accounting.Renyi{accounting.MaxRenyi}, len(a.Orders)), a.Orders
	}
	return l.Reserve(dataset, run, "scientist", Price{Cost: cost, Orders: orders, Charge: []byte("charge of " + run)})
}

func reserveWithoutNoise(l *Ledger, dataset, run string) error {
	return l.Reserve(dataset, run, "scientist", Price{Infinite: true})
}

// charge reserves what a run of e ordinarily costs on "d".
func charge(l *Ledger, run string, e accounting.Epsilon) error {
	a, err := l.Account("d")
	if err != nil {
		return err
	}
	limit := a.Limit
	if limit == 0 {
		limit = e
	}
	return reserve(l, "d", run, e, a.Delta.Share(e, limit))
}

func accountOf(t testing.TB, l *Ledger) Account {
	t.Helper()
	a, err := l.Account("d")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("movement %d: %v", i, err)
		}
	}
}

func wantKind(t testing.TB, err error, kind refusal.Kind) *refusal.Error {
	t.Helper()
	var refused *refusal.Error
	if !errors.As(err, &refused) || refused.Kind != kind {
		t.Fatalf("got %v, want a refusal of kind %d", err, kind)
	}
	return refused
}

func runName(i int) string { return fmt.Sprintf("run%d", i) }
