package fsck

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// walker makes whatever movements there can be on a ledger, some of which it refuses.
type walker struct {
	*house
	random   *rand.Rand
	datasets map[string]string // and their owners
	runs     []string          // each "dataset run"
	made     map[string]int    // movements that were taken, and of each type that were refused
}

func newWalker(t *testing.T, seed uint64) *walker {
	return &walker{house: newHouse(t), random: rand.New(rand.NewPCG(seed, 17)), datasets: map[string]string{}, made: map[string]int{}}
}

func pick[T any](w *walker, from ...T) T { return from[w.random.IntN(len(from))] }

func (w *walker) dataset() string { return pick(w, slices.Sorted(maps.Keys(w.datasets))...) }

func (w *walker) run() (dataset, run string) {
	if len(w.runs) == 0 {
		return w.dataset(), "none"
	}
	_, err := fmt.Sscan(pick(w, w.runs...), &dataset, &run)
	w.must(err)
	return dataset, run
}

// step makes one movement, or tries to.
func (w *walker) step(i int) {
	w.t.Helper()
	if len(w.datasets) == 0 {
		w.datasets["d0"] = owner
		w.must(w.l.OpenAccount(dataset("d0", 3e9)))
	}
	dataset, run := w.run()
	kind, err := "", error(nil)
	switch w.random.IntN(24) {
	case 0:
		kind, err = "open", w.open(fmt.Sprint("d", i))
	case 1:
		kind, err = "join", w.join(fmt.Sprint("d", i))
	case 2:
		kind, err = "limit", w.l.LowerLimit(dataset, accounting.Epsilon(1+w.random.Int64N(20e9)))
	case 3:
		kind, err = "limit of a scientist", w.l.LimitScientist(dataset, pick(w, alice, bob), accounting.Epsilon(1+w.random.Int64N(10e9)))
	case 4:
		kind, err = "charge without noise", w.reserve(fmt.Sprint("r", i), ledger.Price{Infinite: true})
	case 5, 6, 7, 8, 9:
		kind, err = "data", w.l.DataGiven(dataset, run)
	case 10, 11:
		kind, err = "release", w.l.Release(dataset, run)
	case 12, 13:
		kind, err = "settle", w.l.Settle(dataset, run, pick(w, ledger.OutcomeCompleted, ledger.OutcomeFailed, ledger.OutcomeCancelled))
	case 14:
		kind, err = "settle in part", w.settleInPart(dataset, run)
	case 15:
		if w.random.IntN(8) == 0 {
			kind, err = "freeze", w.freeze(dataset)
		}
	default:
		kind, err = "charge", w.charge(fmt.Sprint("r", i))
	}
	if err != nil {
		kind += " refused"
	}
	w.made[kind]++
}

func (w *walker) open(id string) error {
	d := dataset(id, pick(w, accounting.Epsilon(0), 1e9, 3e9, 6e9))
	d.Owner, d.Delta = pick(w, owner, bob), pick(w, testDelta, testDelta/10)
	w.datasets[id] = d.Owner
	return w.l.OpenAccount(d)
}

func (w *walker) join(id string) error {
	d := dataset(id, pick(w, accounting.Epsilon(0), 2e9, 6e9))
	d.Owner = pick(w, owner, bob)
	accounts := w.l.AccountsOf(d.Owner)
	w.random.Shuffle(len(accounts), func(i, j int) { accounts[i], accounts[j] = accounts[j], accounts[i] })
	var ids []string
	for _, a := range accounts[:min(len(accounts), 1+w.random.IntN(3))] {
		ids = append(ids, a.ID)
	}
	if len(ids) == 0 || w.random.IntN(6) == 0 {
		ids = append(ids, w.dataset()) // somebody else's, or no account of its own any more, or there already
	}
	err := w.l.JoinAccounts(d, ids, planning.Recomputed)
	if err == nil {
		w.datasets[id] = d.Owner
	}
	return err
}

func (w *walker) charge(run string) error {
	id := w.dataset()
	price, err := w.priced(id, pick(w, shape{eps: 0.25, test: true}, shape{eps: 0.5, test: true}, shape{eps: 0.5, delta: 1e-9, epochs: 2, batch: 45}))
	if err != nil {
		return err
	}
	w.runs = append(w.runs, id+" "+run)
	return w.l.Reserve(id, run, pick(w, alice, bob), price)
}

func (w *walker) reserve(run string, price ledger.Price) error {
	id := w.dataset()
	w.runs = append(w.runs, id+" "+run)
	return w.l.Reserve(id, run, alice, price)
}

func (w *walker) settleInPart(dataset, run string) error {
	a, err := w.l.Account(dataset)
	w.must(err)
	for _, e := range a.Entries {
		if e.Run == run {
			drawn, err := planning.Drawn(e.Charge, w.random.Int64N(300))
			w.must(err)
			return w.l.SettleCancelled(dataset, run, drawn)
		}
	}
	return ledger.ErrDataGiven
}

func (w *walker) freeze(dataset string) error {
	a, err := w.l.Account(dataset)
	w.must(err)
	body, err := receipt.Body{Form: receipt.Form, Type: receipt.Data, Account: a.ID, Seq: 1 << 40, Dataset: dataset, Owner: a.Owner}.Encode()
	w.must(err)
	_, _, err = w.l.Present(receipt.Sign(testKey(), body))
	return err
}

// wantAddedUp wants every account as it is when all movements are added up from nothing.
func (w *walker) wantAddedUp() {
	w.t.Helper()
	movements := movementsOf(w.t, w.content())
	for id := range w.datasets {
		a, err := w.l.Account(id)
		w.must(err)
		want := sumsOf(movements, a.ID)
		got := receipt.After{Limit: a.Limit, Delta: a.Delta, Spent: a.Spent, SpentDelta: a.SpentDelta, Infinite: a.Infinite, Frozen: a.Frozen != ""}
		if got != want.after {
			w.t.Fatalf("account %s is %+v, added up it is %+v", a.ID, got, want.after)
		}
		for i, drawn := range a.Renyi {
			if want.renyi[i].Cmp(big.NewInt(int64(drawn))) != 0 && drawn < accounting.MaxRenyi {
				w.t.Fatalf("account %s draws %d at order %d, added up %s", a.ID, drawn, a.Orders[i], want.renyi[i])
			}
		}
	}
}

type state struct {
	Accounts  map[string]ledger.Account
	Unsettled []ledger.Run
	Receipts  map[string][]receipt.Receipt
}

func (w *walker) state() state {
	w.t.Helper()
	s := state{map[string]ledger.Account{}, w.l.Unsettled(), map[string][]receipt.Receipt{}}
	for id := range w.datasets {
		var err, errReceipts error
		s.Accounts[id], err = w.l.Account(id)
		s.Receipts[id], errReceipts = w.l.Receipts(id, 0, 1<<30)
		w.must(err, errReceipts)
	}
	return s
}

// Whatever movements were made in whatever order: the sums are what a slow addition makes of them, a start makes the same of the file as the
// server that wrote it, and a check finds nothing.
func TestAfterARandomWalkTheFileSaysWhatTheLedgerSays(t *testing.T) {
	made := map[string]int{}
	for seed := range rounds(3, 30) {
		w := newWalker(t, uint64(seed))
		for i := range 300 {
			w.step(i + 1)
			if i%50 == 0 {
				w.wantAddedUp()
			}
		}
		w.wantAddedUp()
		before := w.state()
		w.reopen()
		if after := w.state(); !reflect.DeepEqual(before, after) {
			t.Errorf("seed %d: before %+v\nafter  %+v", seed, before, after)
		}
		wantNone(t, w.check())
		for kind, n := range w.made {
			made[kind] += n
		}
	}
	for _, kind := range []string{"open", "join", "limit", "limit of a scientist", "charge", "charge without noise", "data", "release", "settle", "settle in part", "freeze", "charge refused", "data refused", "join refused"} {
		if made[kind] == 0 {
			t.Errorf("no walk made %q: %v", kind, made)
		}
	}
}
