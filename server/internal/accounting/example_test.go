package accounting_test

import (
	"fmt"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// What training with given noise costs.
func ExampleEvaluate() {
	epochs := accounting.Steps{SampleRate: 0.01, NoiseMultiplier: 1.1, Count: 1000}
	bound, err := accounting.Evaluate([]accounting.Steps{epochs}, 1e-5)
	fmt.Printf("eps %.3f by %s, %v\n", bound.Epsilon, bound.Method, err)
	// Output: eps 1.516 by pld, <nil>
}

// The noise with which training costs no more than an epsilon.
func ExampleNoiseFor() {
	noise, err := accounting.NoiseFor(0.01, 1000, 2, 1e-5)
	fmt.Println(noise, err)
	// Output: 0.95934 <nil>
}

// A plan may consist of different steps, as long as it is fixed before the first output: jointly they cost less than the sum.
func ExampleEpsilonOf() {
	warmUp := accounting.Steps{SampleRate: 0.001, NoiseMultiplier: 0.8, Count: 500}
	training := accounting.Steps{SampleRate: 0.02, NoiseMultiplier: 1.5, Count: 400}
	for _, plan := range [][]accounting.Steps{{warmUp}, {training}, {warmUp, training}} {
		eps, err := accounting.EpsilonOf(plan, 1e-6)
		fmt.Printf("%.3f %v\n", eps, err)
	}
	// Output:
	// 0.393 <nil>
	// 1.412 <nil>
	// 1.426 <nil>
}

// Runs that are chosen by what earlier ones released: an account admits more of them than the sum of their epsilons would.
func ExampleFilter() {
	limit, _ := accounting.NewEpsilon(3)
	delta, _ := accounting.NewDelta(1e-6)
	account := accounting.Filter{Limit: limit, Delta: delta, Orders: accounting.FilterOrders(limit, delta)}

	each, _ := accounting.NewEpsilon(1)
	share := delta.Share(each, limit)
	noise, _ := accounting.NoiseFor(0.01, 1000, each.Float(), share.Float())
	spent := accounting.Cost{Renyi: make([]accounting.Renyi, len(account.Orders))}
	runs := 0
	for {
		// Here somebody would look at what the last run released, and might ask for other steps or another eps.
		divergences, err := accounting.RenyiOf([]accounting.Steps{{SampleRate: 0.01, NoiseMultiplier: noise, Count: 1000}}, account.Orders)
		if err != nil {
			fmt.Println(err)
			return
		}
		total := spent.Plus(accounting.Cost{Epsilon: each, Delta: share, Renyi: divergences})
		if !account.Admits(total) {
			break
		}
		spent, runs = total, runs+1
	}
	last, ok := account.NoiseLeft(spent, 0.01, 1000, 0)
	fmt.Printf("%d runs of eps %v under a limit of %v, %.3f of it spent\n", runs, each, limit, account.Spent(spent).Float())
	fmt.Printf("what is left is enough for noise %v: %v\n", last, ok)
	// Output:
	// 7 runs of eps 1 under a limit of 3, 2.988 of it spent
	// what is left is enough for noise 6.9498: true
}
