package ledger

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// What a limit promises holds for every record given from then on: also for the runs that were charged under a higher limit and wait.
func TestALimitThatCameWhileARunWaitedDecidesWhetherItGetsTheData(t *testing.T) {
	take := func(l *Ledger, e float64, delta int64) error {
		return reserve(l, "d", "a", eps(t, e), accounting.Delta(delta))
	}
	cases := []struct {
		name    string
		limit   float64 // 0: none
		charge  func(*Ledger) error
		lowered float64 // 0: not at all
		given   bool
	}{
		{"limit as it was", 6, func(l *Ledger) error { return charge(l, "a", eps(t, 5)) }, 0, true},
		{"lowered, and it still fits", 6, func(l *Ledger) error { return charge(l, "a", eps(t, 5)) }, 5, true},
		{"lowered below it", 6, func(l *Ledger) error { return charge(l, "a", eps(t, 5)) }, 4.999999999, false},
		{"no limit", 0, func(l *Ledger) error { return take(l, 1e6, 1e13) }, 0, true},
		{"no limit before, and it fits", 0, func(l *Ledger) error { return take(l, 5, 5e12) }, 5, true},
		{"no limit before, and its eps does not fit", 0, func(l *Ledger) error { return take(l, 5, 5e12) }, 1, false},
		{"no limit before, and its delta does not fit", 0, func(l *Ledger) error { return take(l, 5, 5e12+1) }, 5, false},
		{"no limit before, sums at the last integer", 0, func(l *Ledger) error { return reserve(l, "d", "a", math.MaxInt64, math.MaxInt64) }, 5, false},
		{"no limit before, no noise", 0, func(l *Ledger) error { return reserveWithoutNoise(l, "d", "a") }, 1e6, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, disk, mark := newLedger(t)
			openAccount(t, l, c.limit)
			must(t, c.charge(l))
			if c.lowered > 0 {
				must(t, l.LowerLimit("d", eps(t, c.lowered)))
			}
			before := len(disk.content)
			err := l.DataGiven("d", "a")
			if c.given {
				must(t, err)
				return
			}
			if !errors.Is(err, ErrLimited) || len(disk.content) != before {
				t.Fatalf("got %v, and %d bytes were written", err, len(disk.content)-before)
			}
			must(t, l.Release("d", "a"))
			if a := accountOf(t, l); a.Spent != 0 || a.Infinite || !reflect.DeepEqual(a, accountOf(t, reopened(t, disk, mark))) {
				t.Errorf("account %+v", a)
			}
		})
	}
}

// Each that would get the data while the sum is over the limit is refused; its release makes room for the next.
func TestOfSeveralThatWaitedTheFirstAreRefusedUntilTheRestFits(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 6)
	for _, run := range []string{"a", "b", "c"} {
		must(t, charge(l, run, eps(t, 2)))
	}
	must(t, l.LowerLimit("d", eps(t, 3)))
	for _, run := range []string{"a", "b"} {
		if err := l.DataGiven("d", run); !errors.Is(err, ErrLimited) {
			t.Fatalf("%s: %v", run, err)
		}
		must(t, l.Release("d", run))
	}
	must(t, l.DataGiven("d", "c"))
	// What had the data before counts, and cannot be given back.
	must(t, charge(l, "late", eps(t, 1)), l.LowerLimit("d", eps(t, 1)))
	if err := l.DataGiven("d", "late"); !errors.Is(err, ErrLimited) {
		t.Errorf("late: %v", err)
	}
	for _, run := range []string{"c", "a", "nobody's"} {
		if err := l.DataGiven("d", run); err == nil || errors.Is(err, ErrLimited) {
			t.Errorf("%s, which can have no data whatever the limit: %v", run, err)
		}
	}
}
