package ledger

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestThreeRunsOfTwoUnderSixAreAcceptedAndNothingMore(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 6.0)
	for i := range 3 {
		must(t, charge(l, runName(i), eps(t, 2.0)))
	}
	refused := wantKind(t, charge(l, "one too many", eps(t, 1e-9)), refusal.BudgetExceeded)
	if want := (refusal.Budget{LimitNano: 6e9, SpentNano: 6e9, RequestedNano: 1, RemainingNano: 0}); *refused.Budget != want {
		t.Errorf("figures %+v, want %+v", *refused.Budget, want)
	}
	if refused.Spent != refusal.Nothing || !strings.Contains(refused.What, "6 of 6 are spent, 0 remain") || refused.Next == "" {
		t.Errorf("said: %v", refused)
	}
	if a := accountOf(t, l); a.Spent != 6e9 || a.SpentDelta > a.Delta/2 || a.Remaining() != 0 || len(a.Entries) != 3 {
		t.Errorf("account %+v", a)
	}
}

// A tenth thirty times is not three in floating point; here it is.
func TestSumsAreExact(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 3.0)
	for i := range 30 {
		must(t, charge(l, runName(i), eps(t, 0.1)))
	}
	if a := accountOf(t, l); a.Spent != a.Limit {
		t.Errorf("spent %s of %s", a.Spent, a.Limit)
	}
}

func TestRefusalsSayWhatStillFits(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 6.0)
	must(t, charge(l, "a", eps(t, 4.5)))
	refused := wantKind(t, charge(l, "b", eps(t, 2.0)), refusal.BudgetExceeded)
	if want := (refusal.Budget{LimitNano: 6e9, SpentNano: 45e8, RequestedNano: 2e9, RemainingNano: 15e8}); *refused.Budget != want {
		t.Errorf("figures %+v, want %+v", *refused.Budget, want)
	}
	if !strings.Contains(refused.Next, "at most 1.5") {
		t.Errorf("said: %v", refused)
	}
	must(t, charge(l, "b", eps(t, 1.5)))
}

func TestTheRunsDeltasStayWithinHalfOfTheDatasets(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 6.0)
	take := func(run string, delta accounting.Delta) error {
		return reserve(l, "d", run, eps(t, 1), delta)
	}
	wantKind(t, take("a", testDelta/2+1), refusal.BudgetExceeded)
	must(t, take("a", testDelta/2-10))
	refused := wantKind(t, take("b", 11), refusal.BudgetExceeded)
	if !strings.Contains(refused.What, "delta") {
		t.Errorf("said: %v", refused)
	}
	// What remains is what a run with its ordinary share is sure to get, so it is no more than delta allows.
	a := accountOf(t, l)
	if share := testDelta.Share(a.Remaining(), a.Limit); a.Remaining() >= 5e9 || share > 10 || testDelta.Share(a.Remaining()+1, a.Limit) <= 10 {
		t.Errorf("remaining %s with a share of %d of 10 units", a.Remaining(), share)
	}
	must(t, take("b", 10))
}

func TestRemainingIsAlwaysAcceptedAndOneMoreIsNot(t *testing.T) {
	for _, limit := range []float64{1e-9, 0.001, 1, 2.999999999, 6, 1e6} {
		for _, delta := range []accounting.Delta{1, 2, 3, 7, 1e5, 1e13} {
			l, _, _ := newLedger(t)
			must(t, opened(l, "d", "o", eps(t, limit), delta, 10))
			if first := accountOf(t, l).Remaining() / 3; first > 0 {
				must(t, charge(l, "first", first))
			}
			a := accountOf(t, l)
			e := a.Remaining()
			if e > 0 {
				more := e + 1
				if err := reserve(l, "d", "more", more, a.Delta.Share(min(more, a.Limit), a.Limit)); refusal.KindOf(err) != refusal.BudgetExceeded {
					t.Errorf("limit %g, delta %d: %s more than remains: %v", limit, delta, more, err)
				}
				must(t, charge(l, "rest", e))
			}
		}
	}
}

func TestALimitIsOnlyEverLowered(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6.0)
	must(t, charge(l, "a", eps(t, 2.0)))
	wantKind(t, l.LowerLimit("d", eps(t, 6.000000001)), refusal.InvalidArgument)
	wantKind(t, l.LowerLimit("d", 0), refusal.InvalidArgument)
	wantKind(t, l.LowerLimit("d", -1), refusal.InvalidArgument)
	wantKind(t, l.LowerLimit("nobody's", eps(t, 1)), refusal.NotFound)
	records := mark.records
	must(t, l.LowerLimit("d", eps(t, 6.0)))
	if mark.records != records {
		t.Error("the limit that holds was written again")
	}
	must(t, l.LowerLimit("d", eps(t, 3.0)))
	if a := accountOf(t, l); a.Remaining() != 1e9 {
		t.Errorf("remaining %s, want 1", a.Remaining())
	}
	must(t, charge(l, "b", eps(t, 0.5)))

	// Below what is spent: nothing remains, nothing is taken back, and what was charged stays.
	must(t, l.LowerLimit("d", eps(t, 1.0)))
	for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
		a := accountOf(t, l)
		if a.Remaining() != 0 || a.Spent != 25e8 || a.Limit != 1e9 {
			t.Errorf("account %+v", a)
		}
		wantKind(t, charge(l, "c", 1), refusal.BudgetExceeded)
	}
}

func TestADatasetWithoutALimit(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 0)
	must(t, charge(l, "noised", eps(t, 100)))
	if a := accountOf(t, l); a.Infinite || a.Spent != 100e9 {
		t.Errorf("account %+v", a)
	}
	must(t, reserveWithoutNoise(l, "d", "released"), l.Release("d", "released"))
	if accountOf(t, l).Infinite {
		t.Error("a run that never had the data counts")
	}
	must(t, reserveWithoutNoise(l, "d", "without noise"))
	if a := accountOf(t, l); !a.Infinite || a.Remaining() != 0 {
		t.Errorf("account %+v", a)
	}
	// Giving it a limit afterwards cannot make good what was given away.
	must(t, l.LowerLimit("d", eps(t, 1e6)))
	if a := accountOf(t, l); a.Remaining() != 0 {
		t.Errorf("account %+v", a)
	}
	refused := wantKind(t, charge(l, "late", 1), refusal.BudgetExceeded)
	if !strings.Contains(refused.What, "without noise") {
		t.Errorf("said: %v", refused)
	}
	wantKind(t, reserveWithoutNoise(l, "d", "again without"), refusal.InvalidArgument)
}

func TestSumsWithoutALimitEndAtTheLastInteger(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 0)
	must(t, reserve(l, "d", "a", math.MaxInt64, math.MaxInt64), reserve(l, "d", "b", math.MaxInt64, math.MaxInt64))
	if a := accountOf(t, l); a.Spent != math.MaxInt64 || a.SpentDelta != math.MaxInt64 {
		t.Errorf("account %+v", a)
	}
	must(t, l.LowerLimit("d", eps(t, 6)))
	wantKind(t, charge(l, "c", 1), refusal.BudgetExceeded)
	must(t, l.Release("d", "a"), l.Release("d", "b"), charge(l, "c", eps(t, 6)))
}

func TestImpossibleChargesAreErrorsAndWriteNothing(t *testing.T) {
	l, disk, _ := newLedger(t)
	openAccount(t, l, 6.0)
	before := len(disk.content)
	for name, err := range map[string]error{
		"negative eps":        reserve(l, "d", "a", -1, 0),
		"smallest eps":        reserve(l, "d", "a", math.MinInt64, 0),
		"negative delta":      reserve(l, "d", "a", 1, -1),
		"nothing":             reserve(l, "d", "a", 0, 0),
		"infinite and finite": l.Reserve("d", "a", "", Price{Cost: costOf(1, 0), Infinite: true}),
		"largest eps":         reserve(l, "d", "a", math.MaxInt64, 0),
		"largest delta":       reserve(l, "d", "a", 1, math.MaxInt64),
		"no run":              reserve(l, "d", "", 1, 0),
		"long run":            reserve(l, "d", strings.Repeat("r", 200), 1, 0),
		"long charge":         l.Reserve("d", "a", "", Price{Cost: costOf(1, 0), Orders: testOrders(), Charge: make([]byte, MaxChargeBytes+1)}),
		"no such dataset":     reserve(l, "x", "a", 1, 0),
		"account twice":       opened(l, "d", "o", 0, testDelta, 10),
		"account of nothing":  opened(l, "", "o", 0, testDelta, 10),
		"no samples":          opened(l, "e", "o", 0, testDelta, 0),
		"negative limit":      opened(l, "e", "o", -1, testDelta, 10),
		"delta of 1/declared": opened(l, "e", "o", 0, 1e17, 10),
		"no delta":            opened(l, "e", "o", 0, 0, 10),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if len(disk.content) != before {
		t.Error("something was written")
	}
	must(t, charge(l, "a", eps(t, 6)))
}

func TestAChargeIsGivenBackOnlyBeforeTheData(t *testing.T) {
	type movement func(*Ledger) error
	reserve := movement(func(l *Ledger) error { return charge(l, "a", 1e9) })
	data := movement(func(l *Ledger) error { return l.DataGiven("d", "a") })
	release := movement(func(l *Ledger) error { return l.Release("d", "a") })
	settle := func(outcome string) movement { return func(l *Ledger) error { return l.Settle("d", "a", outcome) } }
	cases := []struct {
		name  string
		done  []movement
		next  movement
		fails bool
		spent accounting.Epsilon
	}{
		{"release", []movement{reserve}, release, false, 0},
		{"release twice", []movement{reserve, release}, release, false, 0},
		{"give data", []movement{reserve}, data, false, 1e9},
		{"give data twice", []movement{reserve, data}, data, true, 1e9},
		{"give data after release", []movement{reserve, release}, data, true, 0},
		{"release after data", []movement{reserve, data}, release, true, 1e9},
		{"complete", []movement{reserve, data}, settle(OutcomeCompleted), false, 1e9},
		{"fail", []movement{reserve, data}, settle(OutcomeFailed), false, 1e9},
		{"cancel", []movement{reserve, data}, settle(OutcomeCancelled), false, 1e9},
		{"complete twice", []movement{reserve, data, settle(OutcomeCompleted)}, settle(OutcomeCompleted), false, 1e9},
		{"complete after failing", []movement{reserve, data, settle(OutcomeFailed)}, settle(OutcomeCompleted), true, 1e9},
		{"release after completing", []movement{reserve, data, settle(OutcomeCompleted)}, release, true, 1e9},
		{"complete without data", []movement{reserve}, settle(OutcomeCompleted), true, 1e9},
		{"fail without data", []movement{reserve}, settle(OutcomeFailed), true, 1e9},
		{"settle as released", []movement{reserve, data}, settle(OutcomeReleased), true, 1e9},
		{"settle as released after release", []movement{reserve, release}, settle(OutcomeReleased), true, 0},
		{"settle as nothing", []movement{reserve, data}, settle(""), true, 1e9},
		{"charge again", []movement{reserve}, reserve, true, 1e9},
		{"charge again after release", []movement{reserve, release}, reserve, true, 0},
		{"release what was not charged", nil, release, true, 0},
		{"give data to what was not charged", nil, data, true, 0},
		{"settle what was not charged", nil, settle(OutcomeFailed), true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, disk, mark := newLedger(t)
			openAccount(t, l, 6.0)
			for _, done := range c.done {
				must(t, done(l))
			}
			err := c.next(l)
			if (err != nil) != c.fails {
				t.Fatalf("got %v", err)
			}
			if c.name == "release after data" && !errors.Is(err, ErrDataGiven) {
				t.Errorf("got %v", err)
			}
			again := reopened(t, disk, mark)
			if a, b := accountOf(t, l), accountOf(t, again); a.Spent != c.spent || !reflect.DeepEqual(a, b) {
				t.Errorf("spent %s, want %s; after a restart %+v", a.Spent, c.spent, b)
			}
			if !reflect.DeepEqual(l.Unsettled(), again.Unsettled()) {
				t.Errorf("unsettled %v, after a restart %v", l.Unsettled(), again.Unsettled())
			}
		})
	}
}

func TestUnsettledRunsAreWhatADeadServerLeft(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6.0)
	must(t, opened(l, "e", "o", 0, testDelta, 10))
	for _, run := range []string{"queued", "running", "released", "completed"} {
		must(t, charge(l, run, 1e9))
	}
	must(t, reserve(l, "e", "queued", 1, 0)) // the same name on another dataset is another run
	must(t, l.DataGiven("d", "running"), l.Release("d", "released"), l.DataGiven("d", "completed"), l.Settle("d", "completed", OutcomeCompleted))
	want := []Run{{"d", "queued", false}, {"d", "running", true}, {"e", "queued", false}}
	if got := reopened(t, disk, mark).Unsettled(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestManyRacingForTheLastOfABudgetHaveExactlyOneWinner(t *testing.T) {
	l, disk, _ := newLedger(t)
	openAccount(t, l, 6.0)
	must(t, charge(l, "before", eps(t, 4.5)))
	disk.pause = 5 * time.Millisecond // long enough for all the others to come
	var winners, losers atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range 64 {
		all.Go(func() {
			<-start
			switch err := reserve(l, "d", runName(i), 1e9, 1); {
			case err == nil:
				winners.Add(1)
			case refusal.KindOf(err) == refusal.BudgetExceeded:
				losers.Add(1)
			}
			if a, err := l.Account("d"); err != nil || a.Spent > a.Limit {
				t.Errorf("seen over the limit: %s of %s, %v", a.Spent, a.Limit, err)
			}
		})
	}
	close(start)
	all.Wait()
	if winners.Load() != 1 || losers.Load() != 63 {
		t.Errorf("%d winners, %d losers", winners.Load(), losers.Load())
	}
	if a := accountOf(t, l); a.Spent != 55e8 {
		t.Errorf("spent %s", a.Spent)
	}
}

func TestAnAccountCannotBeChangedThroughItsCopy(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 6.0)
	must(t, charge(l, "a", 1e9))
	copied := accountOf(t, l)
	copied.Entries[0].Epsilon = 0
	if accountOf(t, l).Entries[0].Epsilon != 1e9 {
		t.Error("changed")
	}
}
