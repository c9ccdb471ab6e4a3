package receipt

import (
	"math"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// runKey names a run's charge, which stays one when the account that it is in is joined to another.
type runKey struct{ dataset, run string }

// prices are the reserves of a book by their run. A book in which a run has two, which no ledger writes, has both.
func prices(bodies []Body) map[runKey][]Body {
	found := map[runKey][]Body{}
	for _, b := range bodies {
		if b.Type == Reserve {
			key := runKey{b.Dataset, b.Run}
			found[key] = append(found[key], b)
		}
	}
	return found
}

// follows says whether the account, which was not closed, can be what b says of it, after what the receipt before it in the account said; the rules are those
// of docs/receipts.md. reserves are those of the run whose charge b gives back, as far as they are known.
func (b Body) follows(before After, reserves []Body) bool {
	spent, delta := []accounting.Epsilon{}, []accounting.Delta{}
	for _, r := range reserves {
		spent, delta = append(spent, r.Epsilon), append(delta, r.RunDelta)
	}
	return b.Type != Open && b.termsFollow(before) &&
		sumFollows(b.Type, before.Spent, b.After.Spent, b.Epsilon, spent) &&
		sumFollows(b.Type, before.SpentDelta, b.After.SpentDelta, b.RunDelta, delta) &&
		b.marksFollow(before, reserves)
}

func (b Body) termsFollow(before After) bool {
	after := b.After
	// No limit is above every limit.
	falls := after.Limit != 0 && (before.Limit == 0 || after.Limit < before.Limit)
	switch {
	case b.Type == Join:
		return (falls || after.Limit == before.Limit) && after.Delta <= before.Delta
	case b.Type == Limit && b.Scientist == "":
		return falls && after.Limit == b.Limit && after.Delta == before.Delta
	}
	return after.Limit == before.Limit && after.Delta == before.Delta
}

func sumFollows[Unit ~int64](kind Type, before, after, price Unit, givenBack []Unit) bool {
	switch {
	case kind == Join:
		return after >= before
	case kind == Release:
		for _, each := range givenBack {
			// What stopped at the end of the integers does not tell how far beyond it was.
			if before != math.MaxInt64 && after != before-each {
				return false
			}
		}
		return after <= before
	case price > math.MaxInt64-before:
		return after == math.MaxInt64
	}
	return after == before+price
}

func (b Body) marksFollow(before After, reserves []Body) bool {
	after := b.After
	switch b.Type {
	case Join:
		return (after.Infinite || !before.Infinite) && (after.Frozen || !before.Frozen)
	case Release:
		// A run without noise that never had the data leaves the account finite, unless another one had them.
		mayEnd := before.Infinite
		for _, r := range reserves {
			mayEnd = mayEnd && r.Infinite
		}
		return after.Frozen == before.Frozen && (after.Infinite == before.Infinite || mayEnd)
	}
	return after.Infinite == (before.Infinite || b.Infinite) && after.Frozen == (before.Frozen || b.Type == Freeze)
}
