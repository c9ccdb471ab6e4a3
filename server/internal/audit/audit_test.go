package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

var errFull = fmt.Errorf("write: %w", syscall.ENOSPC)

func all(t *testing.T, l *Log) []Line {
	t.Helper()
	lines, more, err := l.List(context.Background(), Query{All: true, Most: 1 << 20})
	if err != nil || more {
		t.Fatal(more, err)
	}
	return lines
}

func TestALineSaysWhatHappenedAndHoldsTheHashOfTheOneBefore(t *testing.T) {
	disk, mark := newDisk(), &memoryMark{}
	l := mustOpen(t, disk, mark, fileBytes)
	must(t, change(l, deleted(alice, dataset)))
	must(t, change(l, Entry{User: bob, Action: "DatasetService.GrantAccess", Dataset: dataset, Reason: "permission_denied", Binding: "key", Subject: alice}))
	must(t, l.Close())
	begins := fmt.Sprintf("%x", beginning())
	first := `{"seq":1,"unix_ms":1790000000000,"user":"` + alice + `","action":"DatasetService.DeleteDataset","dataset_id":"` + dataset +
		`","run_id":"","allowed":true,"reason":"","binding":"exporter","boot_id":"","subject":"","prev":"` + begins + "\"}\n"
	second := `{"seq":2,"unix_ms":1790000000000,"user":"` + bob + `","action":"DatasetService.GrantAccess","dataset_id":"` + dataset +
		`","run_id":"","allowed":false,"reason":"permission_denied","binding":"key","boot_id":"","subject":"` + alice + `","prev":"` +
		fmt.Sprintf("%x", hashOf([]byte(first))) + "\"}\n"
	if got := string(disk.content(1)); got != first+second {
		t.Errorf("got\n%s\nwant\n%s", got, first+second)
	}
	if mark.lines != 2 || !bytes.Equal(mark.head, sum([]byte(second))) {
		t.Errorf("the mark after a close: %d, %x", mark.lines, mark.head)
	}
}

func sum(encoded []byte) []byte {
	h := hashOf(encoded)
	return h[:]
}

// What callers chose does not come into the log.
func TestNoTextOfAUserIsWritten(t *testing.T) {
	disk := newDisk()
	l := mustOpen(t, disk, &memoryMark{}, fileBytes)
	planted := `PLANTED","allowed":true`
	must(t, change(l, Entry{User: planted, Action: planted, Dataset: planted, Run: planted, Reason: planted, Binding: planted, Boot: planted, Subject: planted}))
	must(t, change(l, Entry{User: strings.ToUpper(alice), Action: strings.Repeat("a", 97), Dataset: dataset + "\n", Run: "../../etc", Subject: alice[1:]}))
	if content := disk.content(1); bytes.Contains(content, []byte("PLANTED")) || bytes.Contains(content, []byte("etc")) {
		t.Errorf("the log holds\n%s", content)
	}
	for _, line := range all(t, l) {
		if line.User != malformed || line.Action != malformed || line.Dataset != malformed || line.Run != malformed || line.Subject != malformed {
			t.Errorf("%+v", line)
		}
	}
}

func TestWhatWasRecordedIsThereAfterARestartAcrossFiles(t *testing.T) {
	disk, mark := newDisk(), &memoryMark{}
	for boot := range 5 {
		l := mustOpen(t, disk, mark, 1000)
		for i := range 7 {
			must(t, change(l, deleted(alice, dataset)), l.Record(looked(bob, dataset), false))
			if got := len(all(t, l)); got < 14*boot+2*i+1 {
				t.Fatalf("boot %d, %d: %d lines", boot, i, got)
			}
		}
		must(t, l.Close())
	}
	l := mustOpen(t, disk, mark, 1000)
	if got := len(all(t, l)); got != 70 {
		t.Errorf("%d lines", got)
	}
	report, err := check(disk, "data", Remembered{mark.lines, mark.head, "the server"})
	if err != nil || report.Lines != 70 || report.Files < 10 || report.Torn != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// A file that lost its last part, had a byte changed or a line taken out, repeated or exchanged is refused, with the line.
func TestDamageIsRefusedWithItsLine(t *testing.T) {
	disk, mark := newDisk(), &memoryMark{}
	l := mustOpen(t, disk, mark, 1000)
	for range 12 {
		must(t, change(l, deleted(alice, dataset)))
	}
	must(t, l.Close())
	whole := disk.content(2)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	lines = lines[:len(lines)-1]
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, test := range map[string]struct {
		content []byte
		words   string
	}{
		"a user exchanged":     {bytes.Replace(whole, []byte(alice), []byte(bob), 1), "line 2: it does not hold the hash"},
		"a line taken out":     {join(lines[0], lines[2]), "line 2: its number is"},
		"the first taken out":  {join(lines[1:]...), "line 1: its number is"},
		"a line repeated":      {join(lines[0], lines[0], lines[1], lines[2]), "line 2: its number is"},
		"lines exchanged":      {join(lines[1], lines[0], lines[2]), "line 1: its number is"},
		"allowed was refused":  {bytes.Replace(whole, []byte("true"), []byte("false"), 1), "line 2: it does not hold the hash"},
		"a space":              {bytes.Replace(whole, []byte(`"seq":`), []byte(`"seq": `), 1), "line 1: it is not written as this program writes"},
		"a field more":         {bytes.Replace(whole, []byte(`,"prev"`), []byte(`,"more":"","prev"`), 1), "line 1: it is not written"},
		"a field less":         {bytes.Replace(whole, []byte(`"reason":"",`), nil, 1), "line 1: it is not written"},
		"an empty line":        {join([]byte("\n"), whole), "line 1: it is not written"},
		"an upper-case digit":  {bytes.Replace(whole, []byte(`"prev":"`), []byte(`"prev":"A`), 1), "line 1: it is not written"},
		"a torn line in front": {whole[:len(whole)-1], "its last line has no end"},
		"its end gone":         {join(lines[0], lines[1]), "line 1: its number is"}, // of the next file
		"a long line":          {join([]byte(strings.Repeat("x", 100<<10)+"\n"), whole), "line 1: it is too long"},
		"all of it":            {nil, "line 1: its number is"},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := disk.afterCrash(0)
			damaged.put(2, test.content)
			_, err := openOn(damaged, mark, 1000)
			var misfit *IntegrityError
			if !errors.As(err, &misfit) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %v, want %q", err, test.words)
			}
			if _, err := check(damaged, "data"); !errors.As(err, &misfit) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("the check: %v", err)
			}
		})
	}
	gone := disk.afterCrash(0)
	delete(gone.files, nameOf(2))
	if _, err := openOn(gone, mark, 1000); err == nil || !strings.Contains(err.Error(), "audit.2.jsonl: it is missing") {
		t.Errorf("a file gone: %v", err)
	}
}

// Every byte of a log of three lines is changed: none goes unnoticed. The last line is held by the mark.
func TestNoByteCanBeChanged(t *testing.T) {
	disk, mark := newDisk(), &memoryMark{}
	l := mustOpen(t, disk, mark, fileBytes)
	must(t, change(l, deleted(alice, dataset)), change(l, looked(bob, other)), change(l, deleted(bob, other)))
	must(t, l.Close())
	whole := disk.content(1)
	for i := range whole {
		for _, flip := range []byte{1, 0x20, 0x80} {
			changed := disk.afterCrash(0)
			content := slices.Clone(whole)
			content[i] ^= flip
			changed.put(1, content)
			if l, err := openOn(changed, mark, fileBytes); err == nil {
				l.Close()
				t.Fatalf("byte %d changed by %x goes unnoticed", i, flip)
			}
		}
	}
}

func TestALogThatLostItsEndIsRefused(t *testing.T) {
	disk, mark := newDisk(), &memoryMark{}
	l := mustOpen(t, disk, mark, 1000)
	for range 12 {
		must(t, change(l, deleted(alice, dataset)))
	}
	must(t, l.Close())
	marked := Remembered{mark.lines, mark.head, "the server"}
	for name, cut := range map[string]func(d *memoryDisk){
		"a line":      func(d *memoryDisk) { c := d.content(4); d.put(4, c[:bytes.LastIndexByte(c[:len(c)-1], '\n')+1]) },
		"a file":      func(d *memoryDisk) { delete(d.files, nameOf(4)) },
		"two files":   func(d *memoryDisk) { delete(d.files, nameOf(4)); delete(d.files, nameOf(3)) },
		"everything":  func(d *memoryDisk) { clear(d.files) },
		"all content": func(d *memoryDisk) { clear(d.files); d.put(1, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			lost := disk.afterCrash(0)
			cut(lost)
			if _, err := openOn(lost, mark, 1000); err == nil || !strings.Contains(err.Error(), "12 were written") {
				t.Errorf("got %v", err)
			}
			if _, err := check(lost, "data", marked); err == nil {
				t.Error("the check finds nothing")
			}
		})
	}
	// Another log of the same length, whole in itself.
	again := newDisk()
	l = mustOpen(t, again, &memoryMark{}, 1000)
	for range 12 {
		must(t, change(l, deleted(bob, dataset)))
	}
	must(t, l.Close())
	if _, err := openOn(again, mark, 1000); err == nil || !strings.Contains(err.Error(), "another one than the server remembers") {
		t.Errorf("another log: %v", err)
	}
	if _, err := check(again, "data", Remembered{6, make([]byte, 32), "you"}); err == nil || !strings.Contains(err.Error(), "than you remembers") {
		t.Errorf("another log, to who remembers: %v", err)
	}
}

// Calls that come while one is being synced share the next sync.
func TestManyChangesShareASync(t *testing.T) {
	disk := newDisk()
	l := mustOpen(t, disk, &memoryMark{}, fileBytes)
	disk.mu.Lock() // the writer waits here with the first
	var callers sync.WaitGroup
	record := func() {
		if err := l.Record(deleted(alice, dataset), true); err != nil {
			t.Error(err)
		}
	}
	queued := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.queue)
	}
	l.mu.Lock()
	l.queue = append(l.queue, &waiting{entry: deleted(alice, dataset), change: true, done: make(chan error, 1)})
	l.mu.Unlock()
	l.poke()
	eventually(t, func() bool { return queued() == 0 })
	for range 199 {
		callers.Go(record)
	}
	eventually(t, func() bool { return queued() == 199 })
	disk.mu.Unlock()
	callers.Wait()
	if disk.syncs != 2 {
		t.Errorf("%d syncs for 200 changes", disk.syncs)
	}
	if got := len(all(t, l)); got != 200 {
		t.Errorf("%d lines", got)
	}
}

func TestOnARealDisk(t *testing.T) {
	dir := t.TempDir()
	config := configOf(&memoryMark{})
	config.Dir = dir
	for range 3 {
		l, err := Open(config)
		must(t, err)
		must(t, change(l, deleted(alice, dataset)), l.Record(looked(alice, dataset), false))
		must(t, l.Close())
		torn, err := os.OpenFile(filepath.Join(dir, FileName), os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = torn.WriteString(`{"seq":`)
		must(t, err, torn.Close())
	}
	report, err := Check(dir)
	if err != nil || report.Lines != 6 || report.Torn != 7 {
		t.Errorf("%+v, %v", report, err)
	}
	if info, err := os.Stat(filepath.Join(dir, FileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestAClosedLogTakesNothing(t *testing.T) {
	l := mustOpen(t, newDisk(), &memoryMark{}, fileBytes)
	must(t, l.Close(), l.Close())
	if err := change(l, deleted(alice, dataset)); refusal.KindOf(err) != refusal.Unavailable {
		t.Errorf("a change: %v", err)
	}
	if err := l.Record(looked(alice, dataset), false); refusal.KindOf(err) != refusal.Unavailable {
		t.Errorf("a look: %v", err)
	}
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatal("it did not come about")
}
