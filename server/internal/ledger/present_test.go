package ledger

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func receiptsOf(t testing.TB, l *Ledger, dataset string) []receipt.Receipt {
	t.Helper()
	found, err := l.Receipts(dataset, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEveryMovementIsAReceiptThatTheKeySigned(t *testing.T) {
	l, disk, mark := newLedger(t)
	history(t, l)
	must(t, l.LimitScientist("d", "s", 1e9))
	for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
		var types []receipt.Type
		prev := ""
		for i, r := range receiptsOf(t, l, "d") {
			body, err := receipt.Decode(r.Body)
			if err != nil || !r.SignedBy(l.Key()) || body.Seq != int64(i+1) || body.Prev != prev || body.Account != "d" || body.Boot != "boot" {
				t.Fatalf("receipt %d: %+v, %v", i, body, err)
			}
			prev, types = receipt.HashText(r.Body), append(types, body.Type)
		}
		want := []receipt.Type{"open", "reserve", "data", "settle", "reserve", "release", "limit", "reserve", "data", "limit"}
		if !reflect.DeepEqual(types, want) {
			t.Errorf("receipts %v, want %v", types, want)
		}
		ofRun, err := l.ReceiptsOfRun("d", "a")
		if err != nil || !reflect.DeepEqual(ofRun, receiptsOf(t, l, "d")[1:4]) {
			t.Errorf("of a run: %v, %v", ofRun, err)
		}
		part, err := l.Receipts("d", 2, 3)
		if err != nil || !reflect.DeepEqual(part, receiptsOf(t, l, "d")[2:5]) {
			t.Errorf("a part: %v, %v", part, err)
		}
		newest, err := l.NewestReceipt("d")
		if err != nil || !reflect.DeepEqual(newest, receiptsOf(t, l, "d")[9]) {
			t.Errorf("the newest: %v, %v", newest, err)
		}
	}
	if after, err := l.Receipts("d", 10, 5); len(after) != 0 || err != nil {
		t.Errorf("after the last: %v, %v", after, err)
	}
}

// Yesterday's file and database are put back. Whoever has a receipt of today proves it.
func TestALedgerThatWasPutBackFreezesTheAccount(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6)
	must(t, charge(l, "yesterday", 1e9))
	oldContent, oldMark := bytes.Clone(disk.content), *mark
	must(t, charge(l, "today", 1e9), opened(l, "new", "owner", 6e9, testDelta, testDeclared))
	today, err := l.NewestReceipt("d")
	must(t, err)
	fresh, err := l.NewestReceipt("new")
	must(t, err)

	disk = &memoryDisk{content: oldContent, exists: true, named: true}
	oldMark.disk = disk
	l = reopened(t, disk, &oldMark)
	yesterday, err := l.NewestReceipt("d")
	must(t, err)
	if standing, newest, err := l.Present(yesterday); standing != Known || newest != 2 || err != nil {
		t.Errorf("what it holds: %v, %d, %v", standing, newest, err)
	}
	if standing, newest, err := l.Present(fresh); standing != Forgotten || newest != 0 || err != nil {
		t.Errorf("an account that it forgot: %v, %d, %v", standing, newest, err)
	}
	must(t, charge(l, "waits", 1e9)) // nobody has presented today's receipt yet
	if standing, newest, err := l.Present(today); standing != Forgotten || newest != 3 || err != nil {
		t.Errorf("what it forgot: %v, %d, %v", standing, newest, err)
	}
	for _, l := range []*Ledger{l, reopened(t, disk, &oldMark)} {
		a := accountOf(t, l)
		if !strings.Contains(a.Frozen, "older copy") || a.Remaining() != 0 {
			t.Errorf("account %+v", a)
		}
		for name, err := range map[string]error{"charge": charge(l, "more", 1), "data": l.DataGiven("d", "waits")} {
			refused := wantKind(t, err, refusal.Attestation)
			if !errors.Is(err, ErrFrozen) || refused.Check == nil || refused.Check.Name != "ledger" || !strings.Contains(refused.Next, "newest copy") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	frozen, err := l.NewestReceipt("d")
	must(t, err)
	body, err := receipt.Decode(frozen.Body)
	if err != nil || body.Type != receipt.Freeze || body.Presented != receipt.HashText(today.Body) || !body.After.Frozen {
		t.Errorf("the owner is told %+v, %v", body, err)
	}
	records := oldMark.records
	if standing, _, err := l.Present(today); standing != Forgotten || err != nil || oldMark.records != records {
		t.Errorf("again: %v, %v, %d records", standing, err, oldMark.records-records)
	}
	must(t, l.Release("d", "waits")) // what was never used can still be given back
}

func TestWhatAnybodyCouldHaveWrittenFreezesNothing(t *testing.T) {
	l, _, mark := newLedger(t)
	history(t, l)
	good := receiptsOf(t, l, "d")[1]
	_, other, _ := ed25519.GenerateKey(nil)
	changed := bytes.Replace(bytes.Clone(good.Body), []byte(`"seq":2`), []byte(`"seq":9`), 1)
	records := mark.records
	for name, r := range map[string]receipt.Receipt{
		"nothing":              {},
		"another key's":        receipt.Sign(other, good.Body),
		"changed":              {Body: changed, Signature: good.Signature},
		"without a signature":  {Body: good.Body},
		"no receipt at all":    receipt.Sign(testWriter().Key, []byte("hello")),
		"one of another form":  receipt.Sign(testWriter().Key, bytes.Replace(bytes.Clone(good.Body), []byte(`"v":1`), []byte(`"v":2`), 1)),
		"the file's own first": receipt.Sign(testWriter().Key, []byte(`{"v":2,"type":"ledger"}`)),
	} {
		if standing, newest, err := l.Present(r); standing != Foreign || newest != 0 || err != nil {
			t.Errorf("%s: %v, %d, %v", name, standing, newest, err)
		}
	}
	if mark.records != records || accountOf(t, l).Frozen != "" {
		t.Error("something was written")
	}
}

// A receipt of an account that another one continues is judged by its own chain, and freezes the one that continues it.
func TestAReceiptOfAJoinedAccountIsStillJudged(t *testing.T) {
	l, _, _ := twoAccounts(t)
	old, err := l.NewestReceipt("e")
	must(t, err)
	must(t, l.JoinAccounts(Dataset{ID: "again", Owner: "owner", Limit: 6e9, Delta: testDelta, Declared: testDeclared}, []string{"d", "e"}, flat(0)))
	if standing, _, err := l.Present(old); standing != Known || err != nil {
		t.Errorf("%v, %v", standing, err)
	}
	body, err := receipt.Decode(old.Body)
	must(t, err)
	body.Seq++
	forked, err := body.Encode()
	must(t, err)
	if standing, _, err := l.Present(receipt.Sign(testWriter().Key, forked)); standing != Forgotten || err != nil || accountOf(t, l).Frozen == "" {
		t.Errorf("%v, %v, frozen %q", standing, err, accountOf(t, l).Frozen)
	}
}
