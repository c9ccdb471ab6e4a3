package ledger

import (
	"crypto/ed25519"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// signedBody is a receipt that this ledger's key signed.
func signedBody(t testing.TB, b receipt.Body) receipt.Receipt {
	t.Helper()
	b.Form = receipt.Form
	body, err := b.Encode()
	must(t, err)
	return receipt.Sign(testWriter().Key, body)
}

func TestAReceiptIsKnownForgottenOrForeign(t *testing.T) {
	strange := receipt.Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), []byte("{}"))
	cases := map[string]struct {
		presented func(l *Ledger) receipt.Receipt
		standing  Standing
		newest    int64
		frozen    bool
	}{
		"the newest":                      {func(l *Ledger) receipt.Receipt { return found(t, l, 2) }, Known, 3, false},
		"an older one":                    {func(l *Ledger) receipt.Receipt { return found(t, l, 0) }, Known, 3, false},
		"one after the newest":            {func(*Ledger) receipt.Receipt { return signedBody(t, receipt.Body{Account: "d", Seq: 4}) }, Forgotten, 3, true},
		"another of the same number":      {func(*Ledger) receipt.Receipt { return signedBody(t, receipt.Body{Account: "d", Seq: 2}) }, Forgotten, 3, true},
		"one without a number":            {func(*Ledger) receipt.Receipt { return signedBody(t, receipt.Body{Account: "d"}) }, Forgotten, 3, true},
		"one with a number below nothing": {func(*Ledger) receipt.Receipt { return signedBody(t, receipt.Body{Account: "d", Seq: math.MinInt64}) }, Forgotten, 3, true},
		"one of the last number":          {func(*Ledger) receipt.Receipt { return signedBody(t, receipt.Body{Account: "d", Seq: math.MaxInt64}) }, Forgotten, 3, true},
		"one of no account of this":       {func(*Ledger) receipt.Receipt { return signedBody(t, receipt.Body{Account: "g", Seq: 1}) }, Forgotten, 0, false},
		"one of another key":              {func(*Ledger) receipt.Receipt { return strange }, Foreign, 0, false},
		"one of another key that names this": {func(l *Ledger) receipt.Receipt {
			r := signedBody(t, receipt.Body{Account: "d", Seq: 4})
			r.Signature = strange.Signature
			return r
		}, Foreign, 0, false},
		"something else that the key signed": {func(*Ledger) receipt.Receipt {
			return receipt.Sign(testWriter().Key, []byte(`{"v":2,"type":"ledger"}`))
		}, Foreign, 0, false},
		"nothing": {func(*Ledger) receipt.Receipt { return receipt.Receipt{} }, Foreign, 0, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l, disk, mark := newLedger(t)
			openAccount(t, l, 6)
			must(t, charge(l, "a", 1e9), charge(l, "b", 1e9))
			presented := c.presented(l)
			for range 2 { // once more changes nothing
				standing, newest, err := l.Present(presented)
				if c.frozen && standing == Forgotten {
					newest = min(newest, 3)
				}
				if standing != c.standing || newest != c.newest || err != nil {
					t.Fatalf("standing %d, newest %d, %v", standing, newest, err)
				}
			}
			for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
				if a := accountOf(t, l); (a.Frozen != "") != c.frozen {
					t.Errorf("frozen: %q", a.Frozen)
				}
			}
			if want := int64(4); c.frozen && mark.records != want+1 {
				t.Errorf("%d records", mark.records)
			}
		})
	}
}

// found is a receipt of the account "d" as its owner gets it.
func found(t *testing.T, l *Ledger, after int64) receipt.Receipt {
	t.Helper()
	receipts, err := l.Receipts("d", after, 1)
	if err != nil || len(receipts) != 1 {
		t.Fatal(receipts, err)
	}
	return receipts[0]
}

// Nothing more is drawn on a frozen account, and what is under way comes to its end.
func TestAFrozenAccountTakesNothingMore(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6)
	must(t, charge(l, "given", 1e9), charge(l, "waits", 1e9), l.DataGiven("d", "given"))
	must(t, opened(l, "e", "owner", 6e9, testDelta, testDeclared), presentForgotten(l))
	for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
		for what, err := range map[string]error{"charge": charge(l, "late", 1), "data": l.DataGiven("d", "waits"), "charge without noise": reserveWithoutNoise(l, "d", "n")} {
			if err == nil || (what != "charge without noise" && !errors.Is(err, ErrFrozen)) {
				t.Errorf("%s: %v", what, err)
			}
		}
		refused := wantKind(t, charge(l, "late", 1), refusal.Attestation)
		if refused.Check == nil || refused.Check.Name != "ledger" || !strings.Contains(refused.Next, "newest copy") {
			t.Errorf("said %v", refused)
		}
		if a := accountOf(t, l); a.Remaining() != 0 || a.Spent != 2e9 {
			t.Errorf("account %+v", a)
		}
	}
	must(t, l.Release("d", "waits"), l.Settle("d", "given", OutcomeCompleted), l.LowerLimit("d", 5e9), reserve(l, "e", "other", 1e9, 1))
}

// What a joined account forgot freezes the one that continues it, and joining a frozen one freezes what it becomes.
func TestFreezingFollowsTheRecords(t *testing.T) {
	join := func(l *Ledger, id string, accounts ...string) error {
		return l.JoinAccounts(Dataset{ID: id, Owner: "owner", Delta: testDelta, Declared: testDeclared}, accounts, priceNothing)
	}
	for name, frozenFirst := range map[string]bool{"frozen, then joined": true, "joined, then frozen": false} {
		l, disk, mark := newLedger(t)
		must(t, opened(l, "e", "owner", 6e9, testDelta, testDeclared), opened(l, "d", "owner", 6e9, testDelta, testDeclared))
		forgotten := signedBody(t, receipt.Body{Account: "d", Seq: 9})
		if frozenFirst {
			_, _, err := l.Present(forgotten)
			must(t, err, join(l, "j", "e", "d"))
		} else {
			_, _, err := l.Present(found(t, l, 0))
			must(t, err, join(l, "j", "e", "d"))
			if a := accountOf(t, l); a.Frozen != "" {
				t.Errorf("%s: frozen by a receipt that is known", name)
			}
			_, _, err = l.Present(forgotten)
			must(t, err)
		}
		for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
			for _, id := range []string{"d", "e", "j"} {
				if err := reserve(l, id, "late", 1, 1); !errors.Is(err, ErrFrozen) {
					t.Errorf("%s: %s: %v", name, id, err)
				}
			}
		}
	}
}
