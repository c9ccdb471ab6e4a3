package ledger

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// gaussian is what so many steps draw on an account that began with a limit of 6; its eps is what a run of that shape is charged about.
func gaussian(t testing.TB, e accounting.Epsilon, steps int64, noise float64) Price {
	t.Helper()
	drawn, err := accounting.RenyiOf([]accounting.Steps{{SampleRate: 0.01, NoiseMultiplier: noise, Count: steps}}, testOrders())
	must(t, err)
	return Price{Cost: accounting.Cost{Epsilon: e, Delta: testDelta.Share(e, 6e9), Renyi: drawn}, Orders: testOrders(), Charge: []byte("charge")}
}

// charged is a ledger with an account "d" that took as many of these charges.
func charged(t testing.TB, prices ...Price) (*Ledger, *memoryDisk) {
	t.Helper()
	l, disk, _ := newLedger(t)
	openAccount(t, l, 6)
	for i, price := range prices {
		must(t, l.Reserve("d", runName(i), "scientist", price))
	}
	return l, disk
}

// repeat makes the same charge until it is refused, and returns how often it was not.
func repeat(t testing.TB, l *Ledger, price Price) int {
	t.Helper()
	for i := 0; ; i++ {
		err := l.Reserve("d", fmt.Sprint("more", i), "scientist", price)
		if refusal.KindOf(err) == refusal.BudgetExceeded {
			return i
		}
		must(t, err)
	}
}

// The sum of eps has been over the limit for a while: a counting filter alone admits one more, and that one only.
func TestManyRacingForTheLastPlaceOfACountingFilterHaveExactlyOneWinner(t *testing.T) {
	price := gaussian(t, 2e9, 199, 1.1)
	l, _ := charged(t)
	places := repeat(t, l, price)
	if full := accountOf(t, l); places < 5 || full.Spent <= full.Limit {
		t.Fatalf("%d places, of which the sum of eps admits all", places)
	}
	before := make([]Price, places-1)
	for i := range before {
		before[i] = price
	}
	l, disk := charged(t, before...)
	disk.pause = 5 * time.Millisecond // long enough for all the others to come
	var winners, losers atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range 64 {
		all.Go(func() {
			<-start
			switch err := l.Reserve("d", fmt.Sprint("racer", i), "scientist", price); {
			case err == nil:
				winners.Add(1)
			case refusal.KindOf(err) == refusal.BudgetExceeded:
				losers.Add(1)
			}
			if a, err := l.Account("d"); err != nil || a.OverLimit() {
				t.Errorf("seen over what every filter admits: %+v, %v", a.Total(), err)
			}
		})
	}
	close(start)
	all.Wait()
	if winners.Load() != 1 || losers.Load() != 63 {
		t.Errorf("%d winners, %d losers", winners.Load(), losers.Load())
	}
	if a := accountOf(t, l); len(a.Entries) != places || a.Spent != accounting.Epsilon(places)*2e9 {
		t.Errorf("%d entries, spent %s", len(a.Entries), a.Spent)
	}
}

// somePrices are charges of many kinds, also such that no counting filter admits.
func somePrices(t testing.TB, random *rand.Rand, n int) []Price {
	prices := make([]Price, n)
	for i := range prices {
		e := accounting.Epsilon(1 + random.Int64N(15e8))
		prices[i] = gaussian(t, e, 1+random.Int64N(300), 0.8+3*random.Float64())
		if random.IntN(4) == 0 {
			prices[i].Cost = costOf(e, testDelta.Share(e, 6e9))
		}
	}
	return prices
}

// What was admitted in one order is admitted in every other, and leaves the same.
func TestTheOrderOfChargesDecidesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		l, _ := charged(t)
		var admitted []Price
		for i, price := range somePrices(t, random, 20) {
			if l.Reserve("d", runName(i), "scientist", price) == nil {
				admitted = append(admitted, price)
			}
		}
		want, probes := accountOf(t, l), somePrices(t, random, 50)
		random.Shuffle(len(admitted), func(i, j int) { admitted[i], admitted[j] = admitted[j], admitted[i] })
		l, _ = charged(t)
		for i, price := range admitted {
			other := fmt.Sprint("other", i) // what happens to other accounts between them is no matter
			must(t, opened(l, other, "owner", 1e9, testDelta, testDeclared), reserve(l, other, "full", 1e9, 1))
			must(t, l.Reserve("d", runName(i), "scientist", price))
		}
		got := accountOf(t, l)
		if !reflect.DeepEqual(got.Total(), want.Total()) {
			t.Fatalf("%+v in another order is %+v", want.Total(), got.Total())
		}
		for _, probe := range probes {
			if got.Admits(probe.Cost) != want.Admits(probe.Cost) {
				t.Fatalf("%+v is admitted in one order only", probe.Cost)
			}
		}
	}
}

// Whoever has more charged is admitted no more; and a charge that was given back is as if it had never been.
func TestMoreSpentNeverAdmitsMore(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		l, _ := charged(t)
		before, probes := accountOf(t, l), somePrices(t, random, 50)
		for i, price := range somePrices(t, random, 20) {
			if l.Reserve("d", runName(i), "scientist", price) != nil {
				continue
			}
			after := accountOf(t, l)
			for _, probe := range probes {
				if after.Admits(probe.Cost) && !before.Admits(probe.Cost) {
					t.Fatalf("%+v is admitted after %+v, and was not before", probe.Cost, price.Cost)
				}
			}
			if random.IntN(3) > 0 {
				before = after
				continue
			}
			must(t, l.Release("d", runName(i)))
			if again := accountOf(t, l); !reflect.DeepEqual(again.Total(), before.Total()) {
				t.Fatalf("%+v became %+v by a charge that was given back", before.Total(), again.Total())
			}
		}
	}
}

// What a joined account admits, each of those that were joined would have admitted, its limit lowered since or not, some of its runs
// cancelled or given back.
func TestAJoinedAccountIsNeverLooserThanItsParts(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 30 {
		l, disk, mark := newLedger(t)
		var parts []Account
		var ids []string
		for i := range 2 + random.IntN(2) {
			id := fmt.Sprint("d", i)
			ids = append(ids, id)
			must(t, opened(l, id, "owner", 6e9, testDelta-accounting.Delta(random.Int64N(2)*1e9), testDeclared))
			for j, price := range somePrices(t, random, random.IntN(6)) {
				run := fmt.Sprint(id, "run", j)
				price.Charge = []byte(run)
				a, err := l.Account(id)
				must(t, err)
				if len(price.Renyi) != len(a.Orders) || l.Reserve(id, run, "scientist", price) != nil {
					continue
				}
				switch random.IntN(4) {
				case 0:
					must(t, l.Release(id, run))
				case 1:
					must(t, l.DataGiven(id, run), l.SettleCancelled(id, run, half(price.Renyi)))
				}
			}
			if random.IntN(2) == 0 {
				must(t, l.LowerLimit(id, 6e9-accounting.Epsilon(random.Int64N(3e9))))
			}
			a, err := l.Account(id)
			must(t, err)
			parts = append(parts, a)
		}
		must(t, l.JoinAccounts(Dataset{ID: "j", Owner: "owner", Delta: testDelta, Declared: testDeclared}, ids, chargedRenyi(parts)))
		for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
			joined, err := l.Account("j")
			must(t, err)
			for _, probe := range somePrices(t, random, 50) {
				for i, part := range parts {
					if joined.Admits(probe.Cost) && !part.Admits(probe.Cost) {
						t.Fatalf("%+v is admitted by the joined account %+v, and not by part %d: %+v", probe.Cost, joined, i, part)
					}
				}
			}
		}
	}
}

// chargedRenyi finds what was charged at orders that are the same for all.
func chargedRenyi(parts []Account) func([]byte, []int64) ([]accounting.Renyi, error) {
	known := map[string][]accounting.Renyi{}
	for _, part := range parts {
		for _, e := range part.Entries {
			whole := make([]accounting.Renyi, len(e.Renyi))
			for i, drawn := range e.Renyi {
				whole[i] = drawn
				if e.Outcome == OutcomeCancelled {
					whole[i] = min(2*drawn, accounting.MaxRenyi) // it was settled to half, and counts in full
				}
			}
			known[string(e.Charge)] = whole
		}
	}
	return func(charge []byte, _ []int64) ([]accounting.Renyi, error) { return known[string(charge)], nil }
}

// A joined account has what all of them had, at its own orders too.
func TestAJoinedAccountDrawsWhatAllOfThemDrew(t *testing.T) {
	l, disk, mark := newLedger(t)
	for id, limit := range map[string]accounting.Epsilon{"d": 6e9, "e": 6e9, "f": 0} {
		must(t, opened(l, id, "owner", limit, testDelta, testDeclared))
	}
	must(t, reserveReal(l, "d", "a"), reserveReal(l, "e", "b"), reserve(l, "f", "c", 1e9, 1), reserveWithoutNoise(l, "f", "n"))
	drawn := realPrice("d").Renyi
	pricing := func([]byte, []int64) ([]accounting.Renyi, error) { return drawn, nil }
	must(t, l.JoinAccounts(Dataset{ID: "j", Owner: "owner", Delta: testDelta, Declared: testDeclared}, []string{"d", "e", "f"}, pricing))
	for _, l := range []*Ledger{l, reopened(t, disk, mark)} {
		a, err := l.Account("j")
		must(t, err)
		if !a.Infinite || a.Spent != 3e9 || a.SpentDelta != 2*tested.Delta+1 || len(a.Entries) != 4 || a.ID != "d" {
			t.Errorf("account %+v", a)
		}
		for i := range drawn {
			if a.Renyi[i] != 3*drawn[i] {
				t.Errorf("it draws %d at order %d, one of three runs %d", a.Renyi[i], a.Orders[i], drawn[i])
			}
		}
	}
}

// Two accounts that charge a run of the same name cannot be told apart afterwards, whichever of the joined ones they are.
func TestAccountsThatChargeTheSameRunAreNotJoined(t *testing.T) {
	for _, twice := range [][2]string{{"d", "e"}, {"e", "f"}, {"d", "f"}} {
		l, disk, _ := newLedger(t)
		for _, id := range []string{"d", "e", "f"} {
			must(t, opened(l, id, "owner", 6e9, testDelta, testDeclared))
		}
		must(t, reserve(l, twice[0], "run", 1e9, 1), reserve(l, twice[1], "run", 1e9, 1))
		before := len(disk.content)
		err := l.JoinAccounts(Dataset{ID: "j", Owner: "owner", Delta: testDelta, Declared: testDeclared}, []string{"d", "e", "f"}, priceNothing)
		if err == nil || len(disk.content) != before {
			t.Errorf("%v were joined: %v", twice, err)
		}
	}
}
