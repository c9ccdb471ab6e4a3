package ledger

import (
	"errors"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// newestOf is what the last receipt of an account says.
func newestOf(t testing.TB, l *Ledger, dataset string) receipt.Body {
	t.Helper()
	newest, err := l.NewestReceipt(dataset)
	if err != nil {
		t.Fatal(err)
	}
	body, err := receipt.Decode(newest.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// At an orderly stop every account says what was spent: a run that never had the data is given back first, one that had them stays charged.
func TestEveryAccountIsClosedWithWhatWasSpent(t *testing.T) {
	l, disk, mark := newLedger(t)
	must(t, opened(l, "d", "owner", 6e9, testDelta, testDeclared), opened(l, "e", "other", 0, testDelta, testDeclared))
	must(t, reserveReal(l, "d", "done"), l.DataGiven("d", "done"), l.Settle("d", "done", OutcomeCompleted))
	must(t, reserveReal(l, "d", "given"), l.DataGiven("d", "given"), reserveReal(l, "d", "waits"))
	must(t, l.CloseAccounts())

	price := realPrice("d")
	closed := newestOf(t, l, "d")
	if closed.Type != receipt.Close || closed.After.Spent != 2*price.Epsilon || closed.After.SpentDelta != 2*price.Delta || closed.After.Limit != 6e9 {
		t.Errorf("closed with %+v", closed)
	}
	for i, drawn := range closed.Renyi {
		if drawn != 2*price.Renyi[i] || closed.Orders[i] != price.Orders[i] {
			t.Errorf("at order %d: %d", closed.Orders[i], drawn)
		}
	}
	if other := newestOf(t, l, "e"); other.Type != receipt.Close || other.After.Spent != 0 || other.Owner != "other" {
		t.Errorf("the other account: %+v", other)
	}
	wantSound(t, "closed", disk, mark)
}

// Nothing is charged, opened, joined, lowered or frozen after the close: not by this process, and not by one that replays the file.
func TestNothingFollowsOnAClose(t *testing.T) {
	forgotten := func(l *Ledger) error { return presentForgotten(l) }
	attempts := map[string]func(*Ledger) error{
		"charge":      func(l *Ledger) error { return charge(l, "late", 1e9) },
		"lower limit": func(l *Ledger) error { return l.LowerLimit("d", 1e9) },
		"join": func(l *Ledger) error {
			return l.JoinAccounts(Dataset{ID: "j", Owner: "owner", Limit: 6e9, Delta: testDelta, Declared: testDeclared}, []string{"d"}, nil)
		},
		"join to another": func(l *Ledger) error {
			return l.JoinAccounts(Dataset{ID: "j", Owner: "owner", Limit: 6e9, Delta: testDelta, Declared: testDeclared}, []string{"open", "d"},
				func([]byte, []int64) ([]accounting.Renyi, error) { return nil, errors.New("no charge") })
		},
		"close": func(l *Ledger) error { return closeAccount(l, "d") },
	}
	for name, attempt := range attempts {
		l, disk, mark := newLedger(t)
		openAccount(t, l, 6.0)
		must(t, opened(l, "open", "owner", 6e9, testDelta, testDeclared), closeAccount(l, "d"))
		for _, each := range []*Ledger{l, reopened(t, disk, mark)} {
			if err := attempt(each); err == nil {
				t.Errorf("%s: was taken", name)
			}
		}
	}
	l, _, _ := newLedger(t)
	openAccount(t, l, 6.0)
	must(t, l.CloseAccounts())
	if err := opened(l, "late", "owner", 6e9, testDelta, testDeclared); refusal.KindOf(err) != refusal.Unavailable {
		t.Errorf("an account after the close: %v", err)
	}
	// A receipt that it does not hold is told as forgotten, and freezes nothing.
	if err := forgotten(l); err != nil || newestOf(t, l, "d").Type != receipt.Close {
		t.Errorf("presented: %v", err)
	}
}

func TestAnAccountWithARunUnderWayIsNotClosed(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 6.0)
	must(t, charge(l, "a", 1e9))
	if err := closeAccount(l, "d"); !errors.Is(err, errRunUnderWay) {
		t.Errorf("got %v", err)
	}
}

// An account that another one continues has its close there.
func TestAJoinedAccountIsClosedOnce(t *testing.T) {
	l, _, _ := newLedger(t)
	for _, movement := range script[:13] {
		must(t, movement.move(l))
	}
	must(t, l.CloseAccounts())
	if closed := newestOf(t, l, "e"); closed.Account != "d" || closed.Type != receipt.Close {
		t.Errorf("%+v", closed)
	}
	if len(l.books.lasting()) != 0 {
		t.Error("an account is left")
	}
}

// A close that the disk did not take is none, and the error says so.
func TestACloseThatIsNotOnDiskIsAnError(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6.0)
	disk.failAt = disk.calls + 1
	if err := l.CloseAccounts(); !errors.Is(err, errFault) {
		t.Errorf("got %v", err)
	}
	if newestOf(t, reopened(t, disk, mark), "d").Type == receipt.Close {
		t.Error("it is on disk")
	}
}
