package audit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// flood records as somebody does who has nothing to lose, and returns how many lines and bytes there are after so many windows.
func flood(t *testing.T, users []string, each, windows int) (lines []Line, bytes int) {
	t.Helper()
	disk, at := newDisk(), newClock()
	config := configOf(&memoryMark{})
	config.Now = at.Now
	l, err := open(config, disk, 1<<30)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	for range windows {
		for range each {
			for _, user := range users {
				must(t, l.Record(Entry{User: user, Action: "SessionService.SignIn", Reason: "unauthenticated", Subject: alice}, false))
			}
		}
		at.move(window)
		l.settleForTest(at.Now())
	}
	lines = all(t, l)
	return lines, len(disk.content(1))
}

// settleForTest rolls the quota as the writer's beat does.
func (l *Log) settleForTest(now time.Time) {
	l.mu.Lock()
	for _, summary := range l.quota.roll(now, false) {
		l.queue = append(l.queue, &waiting{entry: summary})
	}
	l.mu.Unlock()
	must := &waiting{entry: Entry{Action: "test"}, change: true, done: make(chan error, 1)}
	l.mu.Lock()
	l.queue = append(l.queue, must)
	l.mu.Unlock()
	l.poke()
	<-must.done
}

func TestStrangersCannotFillTheDisk(t *testing.T) {
	const windows = 3
	lines, bytes := flood(t, []string{""}, 5000, windows)
	if len(lines) != windows*(strangersQuota+2) { // with the summary, and the test's own
		t.Fatalf("%d lines", len(lines))
	}
	if summary := lines[strangersQuota]; summary.Action != Summary || summary.User != "" || summary.Reason != "4970 more" {
		t.Errorf("%+v", summary)
	}
	if perDay := bytes / windows * int(24*time.Hour/window); perDay > 2<<20 {
		t.Errorf("%d bytes a day", perDay)
	}
}

func TestUsersThatOnlyLookCannotFillTheDisk(t *testing.T) {
	lines, _ := flood(t, []string{alice, ""}, 3000, 1)
	of := map[string]int{}
	for _, line := range lines {
		if line.Action != Summary {
			of[line.User]++
		}
	}
	if of[alice] != userQuota || of[""] != strangersQuota+1 {
		t.Errorf("lines by user: %v", of)
	}
	var users []string
	for i := range 3000 {
		users = append(users, fmt.Sprintf("%064x", i))
	}
	lines, _ = flood(t, users, 10, 1)
	written, omitted := 0, 0
	for _, line := range lines {
		var n int
		if line.Action != Summary {
			written++
		} else if _, err := fmt.Sscanf(line.Reason, "%d more", &n); err != nil {
			t.Fatal(err)
		}
		omitted += n
	}
	if written > allQuota+1 || written-1+omitted != 30_000 {
		t.Errorf("%d written, %d left out", written, omitted)
	}
	if len(lines) > allQuota+maxCountedUsers+2 {
		t.Errorf("%d lines", len(lines))
	}
}

// A change is always written, whoever made it and however many there were.
func TestAChangeIsNeverLeftOut(t *testing.T) {
	l := mustOpen(t, newDisk(), &memoryMark{}, fileBytes)
	for range userQuota + 10 {
		must(t, l.Record(looked(alice, dataset), false))
	}
	for range 10 {
		must(t, change(l, deleted(alice, dataset)))
	}
	if got := len(all(t, l)); got != userQuota+10 {
		t.Errorf("%d lines", got)
	}
}

// Near a full disk, only changes are written: the rest belongs to the ledger.
func TestTheReserveIsLeftToOthers(t *testing.T) {
	tight := errors.New("tight")
	disk := newDisk()
	config := configOf(&memoryMark{})
	config.Room = func() error { return tight }
	l, err := open(config, disk, fileBytes)
	must(t, err)
	defer l.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		seen := l.tight
		l.mu.Unlock()
		if seen {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it never looks")
		}
	}
	must(t, l.Record(looked(alice, dataset), false), change(l, deleted(alice, dataset)))
	if lines := all(t, l); len(lines) != 1 || lines[0].Action != "DatasetService.DeleteDataset" {
		t.Errorf("%+v", lines)
	}
}

// What was written without waiting is synced and marked within a beat.
func TestTheMarkFollows(t *testing.T) {
	mark := &memoryMark{}
	l := mustOpen(t, newDisk(), mark, fileBytes)
	must(t, l.Record(looked(alice, dataset), false))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if lines, _, _ := mark.Marked(); lines == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the mark stands still")
		}
	}
}

// SECURITY: what a user changes, or is refused to change, is written however often. So there is only so much of it, and beyond that it is not done.
func TestUsersCannotFillTheDiskWithChanges(t *testing.T) {
	disk, at := newDisk(), newClock()
	config := configOf(&memoryMark{})
	config.Now = at.Now
	l, err := open(config, disk, 1<<30)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	for range changesOfUser {
		must(t, change(l, deleted(alice, dataset)))
	}
	before := len(disk.content(1))
	if err := change(l, deleted(alice, dataset)); refusal.KindOf(err) != refusal.Unavailable || !strings.Contains(err.Error(), "nothing was done") {
		t.Errorf("one more is begun: %v", err)
	}
	if len(disk.content(1)) != before {
		t.Error("one more was written")
	}
	must(t, change(l, deleted(bob, dataset)))
	for range changesOfUser + 1 {
		must(t, change(l, deleted(Operator, dataset)))
	}
	at.move(window - 1)
	if change(l, deleted(alice, dataset)) == nil {
		t.Error("one more is begun before the time is over")
	}
	at.move(1)
	must(t, change(l, deleted(alice, dataset)))
}
