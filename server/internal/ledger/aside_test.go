package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/ledger/fsck"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// folderDisk is a disk with names: a name is durable once the folder that it is in was synced. The machine goes off at one of its calls.
type folderDisk struct {
	calls, crashAt, failAt int
	names, durable         map[string]*memoryDisk
}

func newFolderDisk() *folderDisk {
	return &folderDisk{names: map[string]*memoryDisk{}, durable: map[string]*memoryDisk{}}
}

func (d *folderDisk) step() error {
	d.calls++
	if d.crashAt > 0 && d.calls >= d.crashAt {
		return errCrash
	}
	if d.calls == d.failAt {
		return errFault
	}
	return nil
}

func (d *folderDisk) open(name string, create bool) (file, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	if d.names[name] == nil {
		if !create {
			return nil, fs.ErrNotExist
		}
		d.names[name] = &memoryDisk{exists: true}
	}
	d.names[name].position = 0
	return folderFile{memoryFile{d.names[name]}, d}, nil
}

func (d *folderDisk) syncDir(folder string) error {
	if err := d.step(); err != nil {
		return err
	}
	maps.DeleteFunc(d.durable, func(name string, _ *memoryDisk) bool { return path.Dir(name) == folder })
	for name, content := range d.names {
		if path.Dir(name) == folder {
			d.durable[name] = content
		}
	}
	return nil
}

func (d *folderDisk) makeDir(string) error { return d.step() }

func (d *folderDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	if d.names[from] == nil {
		return fs.ErrNotExist
	}
	if d.names[to] != nil {
		return errFault // something would be lost
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

// folderFile fails with the whole disk.
type folderFile struct {
	memoryFile
	disk *folderDisk
}

func (f folderFile) Write(content []byte) (int, error) {
	if err := f.disk.step(); err != nil {
		n, _ := f.memoryFile.Write(content[:len(content)/2])
		return n, err
	}
	return f.memoryFile.Write(content)
}

func (f folderFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	return f.memoryFile.Sync()
}

// afterCrash is what the next start finds: names that were not synced are there or not, and so is what was written and not synced.
func (d *folderDisk) afterCrash(kept bool) *folderDisk {
	names := d.durable
	if kept {
		names = d.names
	}
	found := newFolderDisk()
	for name, content := range names {
		end := content.synced
		if kept {
			end = len(content.content)
		}
		found.names[name] = &memoryDisk{exists: true, content: bytes.Clone(content.content[:end]), synced: end}
	}
	found.durable = maps.Clone(found.names)
	return found
}

func (d *folderDisk) aside() map[string][]byte {
	found := map[string][]byte{}
	for name, content := range d.names {
		if path.Dir(name) == "dir/"+AsideFolder {
			found[name] = content.content
		}
	}
	return found
}

// bootWriter has a key of its own.
func bootWriter(boot string) Writer {
	seed := sha256.Sum256([]byte(boot))
	return Writer{Key: ed25519.NewKeyFromSeed(seed[:]), Origin: receipt.Origin{Boot: boot, Level: "memory", Release: "1.0.0"}}
}

// folderMark shares the disk's failures.
type folderMark struct {
	memoryMark
	folder *folderDisk
}

func (m *folderMark) Acknowledge(records, bytes int64, chain []byte) error {
	if err := m.folder.step(); err != nil {
		return err
	}
	return m.memoryMark.Acknowledge(records, bytes, chain)
}

func (m *folderMark) Forget() error {
	if err := m.folder.step(); err != nil {
		return err
	}
	return m.memoryMark.Forget()
}

func boot(disk *folderDisk, mark *folderMark, name string) (*Ledger, error) {
	mark.folder = disk
	return openAnew("dir", mark, bootWriter(name), disk, clock)
}

// live is a boot from its start to its orderly stop.
func live(disk *folderDisk, mark *folderMark, name string) (charged, closed bool, err error) {
	l, err := boot(disk, mark, name)
	if err != nil {
		return false, false, err
	}
	if err := opened(l, "of"+name, "owner", 6e9, testDelta, testDeclared); err != nil {
		return false, false, err
	}
	if err := reserveReal(l, "of"+name, "run"); err != nil {
		return false, false, err
	}
	if err := l.DataGiven("of"+name, "run"); err != nil {
		return true, false, err
	}
	err = l.CloseAccounts()
	return true, err == nil, err
}

func closingsIn(files map[string][]byte) map[string]receipt.Body {
	c := &Closings{of: map[string][]receipt.Receipt{}}
	for _, content := range files {
		c.read(bytes.NewReader(content))
	}
	found := map[string]receipt.Body{}
	for _, each := range c.Of("owner") {
		body, _ := receipt.Decode(each.Body)
		found[body.Boot] = body
	}
	return found
}

// Three boots, and the machine goes off - or the disk fails - at every call that the ledger makes in the first two. The next start always
// begins, with a key of its own; what was put aside stays as it was left, is sound by itself, and holds the close of each boot that said that
// it had closed, and none that tells less than was charged.
func TestWhateverCallIsTheLastTheNextBootBeginsAnewAndEveryCloseIsKept(t *testing.T) {
	whole := newFolderDisk()
	mark := &folderMark{}
	for _, name := range []string{"one", "two"} {
		if _, closed, err := live(whole, mark, name); !closed {
			t.Fatal(err)
		}
	}
	for at := 1; at <= whole.calls; at++ {
		for _, kind := range []string{"off", "off, all kept", "failed"} {
			what := fmt.Sprintf("%s at call %d", kind, at)
			disk, mark := newFolderDisk(), &folderMark{}
			if kind == "failed" {
				disk.failAt = at
			} else {
				disk.crashAt = at
			}
			said, charged := map[string]bool{}, map[string]bool{}
			for _, name := range []string{"one", "two"} {
				before := disk.aside()
				var err error
				if charged[name], said[name], err = live(disk, mark, name); err != nil {
					checkAside(t, what, before, disk.aside())
					break
				}
			}
			if kind != "failed" {
				disk = disk.afterCrash(kind == "off, all kept")
			} else {
				disk.failAt = 0
			}
			before := disk.aside()
			l, err := boot(disk, mark, "three")
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			checkAside(t, what, before, disk.aside())
			if err := opened(l, "new", "owner", 6e9, testDelta, testDeclared); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			found := closingsIn(disk.aside())
			for name, closed := range said {
				body, there := found[name]
				if closed && !there {
					t.Errorf("%s: the close of boot %s is lost", what, name)
				}
				if there && body.After.Spent != realPrice("d").Epsilon {
					t.Errorf("%s: boot %s is closed with %d spent", what, name, body.After.Spent)
				}
			}
			for name, content := range disk.aside() {
				report, err := fsck.Check(bytes.NewReader(content), fsck.Expected{Aside: true})
				if err != nil || len(report.Findings) > 0 {
					t.Errorf("%s: %s: %v, %v", what, name, report.Findings, err)
				}
			}
		}
	}
}

// checkAside wants everything that was aside to be there, as it was.
func checkAside(t *testing.T, what string, before, after map[string][]byte) {
	t.Helper()
	for name, content := range before {
		if !bytes.Equal(after[name], content) {
			t.Errorf("%s: %s, which was put aside, has changed", what, name)
		}
	}
}

func TestAFileOfAnotherBootIsNeverAppendedTo(t *testing.T) {
	disk, mark := newFolderDisk(), &folderMark{}
	if _, _, err := live(disk, mark, "one"); err != nil {
		t.Fatal(err)
	}
	l, err := boot(disk, mark, "two")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Account("ofone"); err == nil {
		t.Error("the account of the boot before is in the new ledger")
	}
	if names := slices.Collect(maps.Keys(disk.aside())); len(names) != 1 || !strings.HasPrefix(path.Base(names[0]), "001700000000000-") {
		t.Errorf("aside: %v", names)
	}
}
