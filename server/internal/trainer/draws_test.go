package trainer

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"testing/iotest"
)

func TestDrawsAreARecordsOwn(t *testing.T) {
	d, err := newDraws(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("the same in any slot and company", func(t *testing.T) {
		alone, among := d.of(3, []int64{7}), d.of(3, []int64{5, emptySlot, 7, 9})
		if alone[0] != among[2] {
			t.Error("a record draws otherwise beside others")
		}
	})
	t.Run("another for each step and record", func(t *testing.T) {
		seen := map[uint64]bool{}
		var slots []int64
		for record := range int64(100) {
			slots = append(slots, record)
		}
		for step := range int64(100) {
			for _, seed := range d.of(step, slots) {
				seen[seed] = true
			}
		}
		if len(seen) != 100*100 {
			t.Errorf("%d numbers for 10000 steps and records", len(seen))
		}
	})
	t.Run("another for each attempt", func(t *testing.T) {
		again, err := newDraws(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if d.of(1, []int64{1})[0] == again.of(1, []int64{1})[0] {
			t.Error("two attempts draw the same")
		}
	})
}

func TestDrawsNeedAWholeKey(t *testing.T) {
	if _, err := newDraws(bytes.NewReader(make([]byte, keyBytes-1))); err == nil {
		t.Error("a short key was taken")
	}
	broken := errors.New("no entropy")
	if _, err := newDraws(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
