package ledger

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func take(l *Ledger, dataset, scientist, run string, e accounting.Epsilon) error {
	a, err := l.Account(dataset)
	if err != nil {
		return err
	}
	cost := accounting.Cost{Epsilon: e, Delta: 1, Renyi: slices.Repeat([]accounting.Renyi{accounting.MaxRenyi}, len(a.Orders))}
	return l.Reserve(dataset, run, scientist, Price{Cost: cost, Orders: a.Orders, Charge: []byte("charge")})
}

// A scientist's limit counts their own runs, those that were given back not, and those on accounts that were joined.
func TestAScientistIsHeldToTheLimitThatTheOwnerSetForThem(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6)
	must(t, opened(l, "e", "owner", 6e9, testDelta, testDeclared))
	must(t, l.LimitScientist("d", "alice", 2e9), l.LimitScientist("d", "alice", 2e9)) // the one that holds changes nothing
	must(t, take(l, "d", "alice", "a", 15e8), take(l, "d", "bob", "b", 3e9), take(l, "e", "alice", "x", 1e9))

	refused := wantKind(t, take(l, "d", "alice", "more", 1e9), refusal.BudgetExceeded)
	if want := (refusal.Budget{LimitNano: 2e9, SpentNano: 15e8, RequestedNano: 1e9, RemainingNano: 5e8}); *refused.Budget != want || !strings.Contains(refused.Next, "at most 0.5") {
		t.Errorf("said %v with %+v", refused, *refused.Budget)
	}
	must(t, take(l, "d", "alice", "rest", 5e8), l.Release("d", "a"), take(l, "d", "alice", "again", 15e8))
	wantKind(t, take(l, "d", "alice", "one too many", 1), refusal.BudgetExceeded)
	wantKind(t, l.LimitScientist("d", "alice", 2e9+1), refusal.InvalidArgument)
	wantKind(t, l.LimitScientist("d", "alice", 0), refusal.InvalidArgument)
	must(t, l.LimitScientist("e", "alice", 5e9), l.LimitScientist("e", "bob", 4e9))
	must(t, l.JoinAccounts(Dataset{ID: "j", Owner: "owner", Delta: testDelta, Declared: testDeclared}, []string{"d", "e"}, priceNothing))
	for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
		a, err := l.Account("e")
		must(t, err)
		if a.SpentBy("alice") != 3e9 || a.SpentBy("bob") != 3e9 || a.Scientists["alice"] != 2e9 || a.Scientists["bob"] != 4e9 {
			t.Errorf("account %+v", a)
		}
		wantKind(t, take(l, "j", "alice", "after", 1), refusal.BudgetExceeded)
		wantKind(t, take(l, "j", "bob", "after", 1e9+1), refusal.BudgetExceeded)
	}
}

func TestWhatAScientistDrewBeyondTheIntegersCanBeGivenBack(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 0)
	must(t, take(l, "d", "alice", "a", math.MaxInt64), take(l, "d", "alice", "b", 5), l.LimitScientist("d", "alice", 10))
	wantKind(t, take(l, "d", "alice", "c", 1), refusal.BudgetExceeded)
	must(t, l.Release("d", "a"), take(l, "d", "alice", "c", 5))
	for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
		wantKind(t, take(l, "d", "alice", "e", 1), refusal.BudgetExceeded)
	}
	wantKind(t, l.Reserve("d", "n", "alice", Price{Infinite: true}), refusal.BudgetExceeded)
}
