package ledger

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// priced is a real plan's cost: 1000 steps at a rate of 0.01 that cost eps 1 by themselves at 1e-6 or so.
func priced(t testing.TB, a Account, steps int64) Price {
	t.Helper()
	plan := []accounting.Steps{{SampleRate: 0.01, NoiseMultiplier: 1.4147, Count: steps}}
	drawn, err := accounting.RenyiOf(plan, a.Orders)
	if err != nil {
		t.Fatal(err)
	}
	return Price{Cost: accounting.Cost{Epsilon: 1.3e9, Delta: a.Delta.Share(13e8, a.Limit), Renyi: drawn}, Orders: a.Orders}
}

// The sum of eps stops at four runs of 1.3 under 6; the counting filters take many more, and what they take stays within the limit as one plan.
func TestACountingFilterTakesMoreRunsThanTheSum(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6)
	price := priced(t, accountOf(t, l), 1000)
	taken := 0
	for taken < 100 && l.Reserve("d", runName(taken), "s", price) == nil {
		taken++
	}
	a := accountOf(t, reopened(t, disk, mark))
	if taken < 12 || a.Spent != accounting.Epsilon(taken)*price.Epsilon || a.Remaining() != 0 || a.OverLimit() {
		t.Errorf("%d runs, account %+v", taken, a)
	}
	joint, err := accounting.EpsilonOf([]accounting.Steps{{SampleRate: 0.01, NoiseMultiplier: 1.4147, Count: 1000 * int64(taken)}}, a.Delta.Float())
	if err != nil || joint > 6 || joint < 4.5 {
		t.Errorf("%d runs cost %v together, %v", taken, joint, err)
	}
	refused := wantKind(t, l.Reserve("d", "more", "s", price), refusal.BudgetExceeded)
	if !strings.Contains(refused.Next, "plan again") || refused.Budget.RemainingNano != 0 {
		t.Errorf("said %v", refused)
	}
	// A limit that is lowered keeps the orders and moves their bounds.
	orders := a.Orders
	must(t, l.LowerLimit("d", 3e9))
	if a = accountOf(t, l); !slices.Equal(a.Orders, orders) || !a.OverLimit() {
		t.Errorf("after lowering: %+v", a)
	}
}

// The orders of a price are part of it: the account may have been joined to another since the run was priced.
func TestAPriceAtOtherOrdersIsRefused(t *testing.T) {
	l, disk, _ := newLedger(t)
	openAccount(t, l, 6)
	price := priced(t, accountOf(t, l), 1000)
	size := len(disk.content)
	for i := range price.Orders {
		other := price
		other.Orders = slices.Clone(price.Orders)
		other.Orders[i]++
		if refused := wantKind(t, l.Reserve("d", "a", "s", other), refusal.InvalidArgument); !strings.Contains(refused.Next, "plan again") {
			t.Errorf("said %v", refused)
		}
	}
	if len(disk.content) != size {
		t.Error("something was written")
	}
	must(t, l.Reserve("d", "a", "s", price))
}

// A run that a person ended is settled to what it drew, where composition counts steps; in the sum of eps it stays in full.
func TestACancelledRunIsSettledToAPart(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6)
	price := priced(t, accountOf(t, l), 1000)
	must(t, l.Reserve("d", "a", "s", price), l.DataGiven("d", "a"), l.SettleCancelled("d", "a", accounting.PartOf(price.Renyi, 250, 1000)))
	for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
		a := accountOf(t, l)
		if a.Spent != price.Epsilon || a.Renyi[0] > price.Renyi[0]/4+1 || a.Renyi[0] < price.Renyi[0]/4 || a.Entries[0].Outcome != OutcomeCancelled {
			t.Errorf("account %+v", a)
		}
	}
	must(t, l.SettleCancelled("d", "a", nil)) // twice changes nothing
}

func TestAScientistsLimitStopsThatScientistOnly(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6)
	take := func(run, scientist string, e accounting.Epsilon) error {
		return l.Reserve("d", run, scientist, Price{Cost: costOf(e, 1), Orders: testOrders()})
	}
	must(t, take("before", "alice", 1e9), l.LimitScientist("d", "alice", 3e9))
	refused := wantKind(t, take("a", "alice", 2e9+1), refusal.BudgetExceeded)
	if want := (refusal.Budget{LimitNano: 3e9, SpentNano: 1e9, RequestedNano: 2e9 + 1, RemainingNano: 2e9}); *refused.Budget != want || !strings.Contains(refused.What, "for you") {
		t.Errorf("said %v with %+v", refused, refused.Budget)
	}
	must(t, take("b", "bob", 2e9), take("a", "alice", 2e9))
	wantKind(t, take("c", "alice", 1), refusal.BudgetExceeded)
	must(t, l.Release("d", "a"), take("c", "alice", 1e9))
	wantKind(t, l.LimitScientist("d", "alice", 3e9+1), refusal.InvalidArgument)
	records := mark.records
	must(t, l.LimitScientist("d", "alice", 3e9))
	if mark.records != records {
		t.Error("the limit that holds was written again")
	}
	must(t, l.LimitScientist("d", "alice", 1e9)) // below what is spent: nothing more
	l = reopened(t, disk, mark)
	wantKind(t, take("d", "alice", 1), refusal.BudgetExceeded)
	if err := l.DataGiven("d", "c"); !errors.Is(err, ErrLimited) {
		t.Errorf("a run that waited: %v", err)
	}
	must(t, l.DataGiven("d", "b"))
	must(t, take("e", "bob", 2e9))
	wantKind(t, l.LimitScientist("nobody's", "alice", 1), refusal.NotFound)
}
