package audit

import (
	"testing"
	"time"
)

// Lines are in the order of their numbers, whatever the clock says, and a log that was written over a jump is whole.
func TestAClockThatJumpsLeavesALogThatHolds(t *testing.T) {
	disk, mark, now := newDisk(), &memoryMark{}, newClock()
	config := configOf(mark)
	config.Now = now.Now
	l, err := open(config, disk, fileBytes)
	must(t, err)
	jumps := []time.Duration{30 * 365 * 24 * time.Hour, -60 * 365 * 24 * time.Hour, -60 * 365 * 24 * time.Hour, time.Minute}
	for _, jump := range jumps {
		now.move(jump)
		must(t, change(l, deleted(alice, dataset)))
	}
	must(t, l.Close())
	l = mustOpen(t, disk, mark, fileBytes)
	defer func() { must(t, l.Close()) }()
	lines := all(t, l)
	if len(lines) != len(jumps) {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		if line.Seq != int64(i+1) || line.UnixMS < 0 {
			t.Errorf("line %d: %+v", i, line)
		}
	}
}
