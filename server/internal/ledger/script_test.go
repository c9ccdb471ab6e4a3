package ledger

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger/fsck"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

type movement struct {
	name string
	move func(*Ledger) error
}

// script are movements that a server makes, at least one of each type, in order. Its charges have the price that a server makes, so that
// a check of the file has nothing to find.
var script = []movement{
	{"account d", func(l *Ledger) error { return opened(l, "d", "owner", 6e9, testDelta, testDeclared) }},
	{"charge a", func(l *Ledger) error { return reserveReal(l, "d", "a") }},
	{"data a", func(l *Ledger) error { return l.DataGiven("d", "a") }},
	{"charge b", func(l *Ledger) error { return reserveReal(l, "d", "b") }},
	{"release b", func(l *Ledger) error { return l.Release("d", "b") }},
	{"limit", func(l *Ledger) error { return l.LowerLimit("d", 5e9) }},
	{"limit of a scientist", func(l *Ledger) error { return l.LimitScientist("d", "scientist", 4e9) }},
	{"settle a", func(l *Ledger) error { return l.Settle("d", "a", OutcomeCompleted) }},
	{"account e", func(l *Ledger) error { return opened(l, "e", "owner", 6e9, testDelta, testDeclared) }},
	{"charge x", func(l *Ledger) error { return reserveReal(l, "e", "x") }},
	{"data x", func(l *Ledger) error { return l.DataGiven("e", "x") }},
	{"settle x in part", func(l *Ledger) error { return l.SettleCancelled("e", "x", half(realPrice("e").Renyi)) }},
	{"join", func(l *Ledger) error {
		return l.JoinAccounts(Dataset{ID: "j", Owner: "owner", Delta: testDelta, Declared: testDeclared}, []string{"d", "e"}, planning.Recomputed)
	}},
	{"charge c", func(l *Ledger) error { return reserveReal(l, "j", "c") }},
	{"freeze", presentForgotten},
	{"release c", func(l *Ledger) error { return l.Release("j", "c") }},
	{"close", func(l *Ledger) error { return closeAccount(l, "d") }},
}

// closeAccount closes one account, and lets the ledger go on.
func closeAccount(l *Ledger, id string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	a := l.books.accounts[id]
	if a == nil {
		return noAccount()
	}
	return l.append(a.closing())
}

// play makes movements from a fresh ledger until one fails, and returns how many were acknowledged.
func play(disk *memoryDisk, mark *memoryMark) (l *Ledger, acknowledged int, err error) {
	if l, err = openOn(disk, mark); err != nil {
		return nil, 0, err
	}
	for i, movement := range script {
		if err := movement.move(l); err != nil {
			return l, i, err
		}
	}
	return l, len(script), nil
}

// states are the books as they are after the script's first 0, 1, 2, ... movements.
func states(t *testing.T) []books {
	t.Helper()
	var found []books
	for n := range len(script) + 1 {
		l, _, _ := newLedger(t)
		for _, movement := range script[:n] {
			must(t, movement.move(l))
		}
		found = append(found, l.books)
	}
	return found
}

var tested = func() planning.Plan {
	e := 1.0
	plan, err := planning.PriceTest(planning.TestRequest{
		Account:  planning.Account{Limit: 6e9, DatasetDelta: testDelta, Orders: testOrders()},
		Declared: testDeclared, Metric: planning.Accuracy, Loss: "cross_entropy", Epsilon: &e,
	})
	if err != nil {
		panic(err)
	}
	return plan
}()

// realPrice is that of a test at eps 1 on an account that began with a limit of 6.
func realPrice(dataset string) Price {
	encoded, err := planning.Charge(tested, dataset, make([]byte, 32))
	if err != nil {
		panic(err)
	}
	return Price{Cost: accounting.Cost{Epsilon: tested.Epsilon, Delta: tested.Delta, Renyi: tested.Renyi}, Orders: tested.Orders, Charge: encoded}
}

func reserveReal(l *Ledger, dataset, run string) error {
	return l.Reserve(dataset, run, "scientist", realPrice(dataset))
}

func half(whole []accounting.Renyi) []accounting.Renyi { return accounting.PartOf(whole, 1, 2) }

// presentForgotten presents a receipt that the same key signed on another copy.
func presentForgotten(l *Ledger) error {
	a, err := l.Account("d")
	if err != nil {
		return err
	}
	body, err := receipt.Body{Form: receipt.Form, Type: receipt.Release, Account: a.ID, Dataset: "d", Owner: a.Owner, Seq: 1000, Run: "forgotten"}.Encode()
	if err != nil {
		return err
	}
	standing, _, err := l.Present(receipt.Sign(testWriter().Key, body))
	if err == nil && standing != Forgotten {
		return fmt.Errorf("standing %d", standing)
	}
	return err
}

// wantSound wants a check of the raw file to find nothing.
func wantSound(t testing.TB, what string, disk *memoryDisk, mark *memoryMark) {
	t.Helper()
	report, err := fsck.Check(memoryFile{&memoryDisk{content: disk.content}}, fsck.Expected{
		Key: testWriter().Key.Public().(ed25519.PublicKey), Marked: true, Records: mark.records, Bytes: mark.bytes, Chain: mark.chain,
	})
	if err != nil || len(report.Findings) > 0 {
		t.Fatalf("%s: the check found %+v, %v", what, report.Findings, err)
	}
}

// TestTheScriptHasEveryTypeOfMovement so that what is tried on it is tried on all.
func TestTheScriptHasEveryTypeOfMovement(t *testing.T) {
	disk := &memoryDisk{}
	mark := &memoryMark{disk: disk}
	if _, n, err := play(disk, mark); n != len(script) || err != nil {
		t.Fatal(n, err)
	}
	wantSound(t, "the script", disk, mark)
	var types []receipt.Type
	for _, body := range bodiesOf(disk.content)[1:] {
		m, err := receipt.Decode([]byte(body))
		must(t, err)
		types = append(types, m.Type)
	}
	for _, kind := range []receipt.Type{receipt.Open, receipt.Join, receipt.Limit, receipt.Reserve, receipt.Data, receipt.Release, receipt.Settle, receipt.Freeze} {
		if !slices.Contains(types, kind) {
			t.Errorf("there is no %s", kind)
		}
	}
	if len(types) != len(script) {
		t.Error(errors.New("a movement writes none or two records"))
	}
}
