package ledger

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// flat prices every charge the same, at any orders.
func flat(cost accounting.Renyi) func([]byte, []int64) ([]accounting.Renyi, error) {
	return func(_ []byte, orders []int64) ([]accounting.Renyi, error) {
		return slices.Repeat([]accounting.Renyi{cost}, len(orders)), nil
	}
}

// twoAccounts are "d", limit 6, charged 2 and 1, and "e", limit 4 and a smaller delta, charged 1.5, given back 1, and 0.5 under way.
func twoAccounts(t testing.TB) (*Ledger, *memoryDisk, *memoryMark) {
	t.Helper()
	l, disk, mark := newLedger(t)
	must(t, opened(l, "d", "owner", 6e9, testDelta, testDeclared), opened(l, "e", "owner", 4e9, testDelta/10, testDeclared))
	for _, c := range []struct {
		dataset, run string
		eps          accounting.Epsilon
	}{{"d", "a", 2e9}, {"d", "b", 1e9}, {"e", "c", 15e8}, {"e", "back", 1e9}, {"e", "waits", 5e8}} {
		must(t, reserve(l, c.dataset, c.run, c.eps, 7))
	}
	must(t, l.DataGiven("d", "a"), l.Settle("d", "a", OutcomeCompleted), l.Release("e", "back"), l.LimitScientist("e", "scientist", 45e8))
	return l, disk, mark
}

func TestAJoinedAccountKeepsEveryChargeAndTakesTheStricterTerms(t *testing.T) {
	l, disk, mark := twoAccounts(t)
	before, err := l.Account("d")
	must(t, err)
	must(t, l.JoinAccounts(Dataset{ID: "again", Owner: "owner", Limit: 5e9, Delta: testDelta, Declared: testDeclared}, []string{"d", "e"}, flat(3)))
	for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
		for _, dataset := range []string{"d", "e", "again"} {
			a, err := l.Account(dataset)
			if err != nil || a.ID != "d" || a.Limit != 4e9 || a.Delta != testDelta/10 || !slices.Equal(a.Orders, before.Orders) {
				t.Fatalf("%s: account %+v, %v", dataset, a, err)
			}
			if a.Spent != 5e9 || a.SpentDelta != 4*7 || a.Remaining() != 0 || len(a.Entries) != 5 {
				t.Errorf("%s: spent %s with a delta of %d in %d entries", dataset, a.Spent, a.SpentDelta, len(a.Entries))
			}
			if want := []string{"d", "e", "again"}; !slices.Equal(a.Datasets, want) {
				t.Errorf("datasets %v, want %v", a.Datasets, want)
			}
			// Two charges of "e" count, at the price that was recomputed; what was given back does not.
			if want := 2*accounting.MaxRenyi + 2*3; a.Renyi[0] != want {
				t.Errorf("%d at the first order, want %d", a.Renyi[0], want)
			}
			if a.Scientists["scientist"] != 45e8 {
				t.Errorf("scientists %v", a.Scientists)
			}
		}
		if of := l.AccountsOf("owner"); len(of) != 1 || of[0].ID != "d" {
			t.Errorf("accounts %+v", of)
		}
	}
	// What waited on "e" goes on under the joined account's rule, which is over its limit.
	if err := l.DataGiven("e", "waits"); !errors.Is(err, ErrLimited) {
		t.Errorf("given: %v", err)
	}
	must(t, l.Release("e", "waits"))
	if a := accountOf(t, l); a.Spent != 45e8 || a.SpentDelta != 3*7 {
		t.Errorf("after a release: %s, %d", a.Spent, a.SpentDelta)
	}
	wantKind(t, reserve(l, "again", "more", 1e9, 1), refusal.BudgetExceeded)
}

func TestADatasetThatJoinsOneAccountDrawsOnIt(t *testing.T) {
	l, _, _ := newLedger(t)
	must(t, opened(l, "d", "owner", 6e9, testDelta, testDeclared), reserve(l, "d", "a", 5e9, 7))
	must(t, l.JoinAccounts(Dataset{ID: "again", Owner: "owner", Limit: 100e9, Delta: testDelta, Declared: testDeclared}, []string{"d"}, flat(0)))
	wantKind(t, reserve(l, "again", "b", 2e9, 7), refusal.BudgetExceeded)
	must(t, reserve(l, "again", "b", 1e9, 7))
	if a := accountOf(t, l); a.Limit != 6e9 || a.Spent != 6e9 || a.Entries[1].Dataset != "again" {
		t.Errorf("account %+v", a)
	}
}

func TestWhatCannotBeJoined(t *testing.T) {
	l, disk, _ := twoAccounts(t)
	must(t, opened(l, "bobs", "bob", 6e9, testDelta, testDeclared))
	size := len(disk.content)
	again := Dataset{ID: "again", Owner: "owner", Limit: 5e9, Delta: testDelta, Declared: testDeclared}
	for name, c := range map[string]struct {
		dataset  Dataset
		accounts []string
	}{
		"somebody else's account":          {again, []string{"d", "bobs"}},
		"into somebody else's":             {again, []string{"bobs"}},
		"an account twice":                 {again, []string{"d", "d"}},
		"no such account":                  {again, []string{"d", "x"}},
		"a dataset that has one":           {Dataset{ID: "e", Owner: "owner", Delta: testDelta, Declared: 1}, []string{"d"}},
		"a delta that is none of the size": {Dataset{ID: "again", Owner: "owner", Delta: testDelta, Declared: 1 << 62}, []string{"d"}},
	} {
		if err := l.JoinAccounts(c.dataset, c.accounts, flat(0)); err == nil {
			t.Errorf("%s: joined", name)
		}
	}
	if len(disk.content) != size {
		t.Error("something was written")
	}
}

// PRIVACY: a charge that cannot be priced at the other account's orders counts as more than any of its filters admits.
func TestAChargeThatCannotBePricedAnewFillsTheCountingFilters(t *testing.T) {
	l, _, _ := newLedger(t)
	must(t, opened(l, "d", "owner", 6e9, testDelta, testDeclared), opened(l, "e", "owner", 6e9, testDelta, testDeclared))
	must(t, l.Reserve("e", "a", "s", Price{Cost: accounting.Cost{Epsilon: 1, Renyi: make([]accounting.Renyi, len(testOrders()))}, Orders: testOrders()}))
	unreadable := func([]byte, []int64) ([]accounting.Renyi, error) { return nil, errors.New("unreadable") }
	must(t, l.JoinAccounts(Dataset{ID: "again", Owner: "owner", Limit: 6e9, Delta: testDelta, Declared: testDeclared}, []string{"d", "e"}, unreadable))
	a := accountOf(t, l)
	for i, drawn := range a.Renyi {
		if drawn < accounting.MaxRenyi {
			t.Errorf("order %d: %d", a.Orders[i], drawn)
		}
	}
	// The sum of eps still decides.
	must(t, reserve(l, "again", "b", 6e9-1, 1))
}

func TestPartnersAreTheOtherSetsOfTheSameUploads(t *testing.T) {
	l, disk, mark := newLedger(t)
	test := Dataset{ID: "test", TestOf: "train", Owner: "owner", Limit: 6e9, Delta: testDelta, Declared: testDeclared}
	must(t, opened(l, "train", "owner", 6e9, testDelta, testDeclared), l.OpenAccount(test), opened(l, "other", "owner", 6e9, testDelta, testDeclared))
	partners := func(l *Ledger) map[string][]string {
		found := map[string][]string{}
		for _, a := range l.AccountsOf("owner") {
			found[a.ID] = a.Partners
		}
		return found
	}
	want := map[string][]string{"train": {"test"}, "test": {"train"}, "other": nil}
	if got := partners(l); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// After a join the partner is the account that the partner's dataset is on now; an account is no partner of itself.
	again := Dataset{ID: "again", Owner: "owner", Limit: 6e9, Delta: testDelta, Declared: testDeclared}
	must(t, l.JoinAccounts(again, []string{"other", "train"}, flat(0)))
	want = map[string][]string{"other": {"test"}, "test": {"other"}}
	if got := partners(reopened(t, disk, mark)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	again.ID = "both"
	must(t, l.JoinAccounts(again, []string{"other", "test"}, flat(0)))
	if got := partners(l); !reflect.DeepEqual(got, map[string][]string{"other": nil}) {
		t.Errorf("got %v", got)
	}
}
