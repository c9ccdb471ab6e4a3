package lineage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// situation is an upload and an owner's accounts, drawn such that rows are shared every way they can be.
type situation struct {
	set    []int
	known  []Known
	upload Upload
	rows   [][]int // of the accounts
}

func draw(random *rand.Rand) situation {
	var s situation
	universe := span(0, 5+random.IntN(80))
	s.set = append(some(random, random.Float64(), universe), 1000)
	accounts := random.IntN(6)
	for i := range accounts {
		s.rows = append(s.rows, some(random, random.Float64(), universe))
		k := Known{Account: fmt.Sprint(i)}
		for random.IntN(2) == 0 {
			k.Partners = append(k.Partners, fmt.Sprint(random.IntN(accounts)))
		}
		s.known = append(s.known, k)
	}
	if accounts > 0 && random.IntN(2) == 0 {
		s.upload.PairedWith = fmt.Sprint(random.IntN(accounts))
		s.upload.WithTraining = setOf(some(random, random.Float64(), s.set)...)
	}
	s.fill()
	return s
}

// fill compares the upload with the accounts.
func (s *situation) fill() {
	set := setOf(s.set...)
	s.upload.Rows = set.Len()
	for i := range s.known {
		rows := setOf(s.rows[i]...)
		s.known[i].Rows, s.known[i].Shared = rows.Len(), Common(set, rows)
	}
}

func situations(t *testing.T, check func(random *rand.Rand, s situation)) {
	t.Helper()
	random := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		if check(random, draw(random)); t.Failed() {
			return
		}
	}
}

func TestTheDecisionIsThatOfTheOracle(t *testing.T) {
	situations(t, func(_ *rand.Rand, s situation) {
		decision, want := Decide(s.upload, s.known), oracleDecide(s.upload, s.known)
		for _, k := range s.known {
			if slices.Contains(decision.Joins, k.Account) != want[k.Account] {
				t.Errorf("joins %v, the oracle %v, of %+v", decision.Joins, want, s)
			}
		}
	})
}

// What the rule promises, said without the order in which it judges: no row of the upload, but for less than a tenth, is on an account
// that is not joined, unless it is on a joined partner of that account or shared with this upload's own training set.
func TestNoAccountIsLeftOutWhoseRowsAreNotOnAJoinedOne(t *testing.T) {
	situations(t, func(_ *rand.Rand, s situation) {
		decision := Decide(s.upload, s.known)
		for _, k := range s.known {
			left := oracleOf(k.Shared)
			for r := range left {
				covered := k.Account == s.upload.PairedWith && oracleOf(s.upload.WithTraining)[r]
				for _, other := range s.known {
					covered = covered || slices.Contains(decision.Joins, other.Account) && oraclePartners(k, other) && oracleOf(other.Shared)[r]
				}
				if covered {
					delete(left, r)
				}
			}
			if !slices.Contains(decision.Joins, k.Account) && enough(len(left), s.upload.Rows, k.Rows) {
				t.Errorf("%s is left out of %+v", k.Account, s)
			}
		}
	})
}

// Everything that is shared is joined or told, once.
func TestEveryAccountThatSharesARowIsJoinedOrTold(t *testing.T) {
	situations(t, func(_ *rand.Rand, s situation) {
		decision := Decide(s.upload, s.known)
		for _, k := range s.known {
			told := slices.IndexFunc(decision.Apart, func(a Apart) bool { return a.Account == k.Account })
			shared := oracleOf(k.Shared)
			if k.Account == s.upload.PairedWith {
				for r := range oracleOf(s.upload.WithTraining) {
					shared[r] = true
				}
			}
			joins := slices.Contains(decision.Joins, k.Account)
			if joins == (told >= 0) && len(shared) > 0 || told >= 0 && decision.Apart[told].Shared != len(shared) {
				t.Errorf("%s shares %d rows: %+v", k.Account, len(shared), decision)
			}
		}
	})
}

func TestTheOrderOfAccountsDoesNotMatter(t *testing.T) {
	situations(t, func(random *rand.Rand, s situation) {
		type nearness struct{ shared, rows int }
		seen := map[nearness]bool{}
		for _, k := range s.known {
			at := nearness{k.Shared.outside(s.upload.exceptions(k)...), k.Rows}
			if seen[at] {
				return // of two accounts that are equally near, the older is the nearer
			}
			seen[at] = true
		}
		before := Decide(s.upload, s.known).Joins
		random.Shuffle(len(s.known), func(i, j int) { s.known[i], s.known[j] = s.known[j], s.known[i] })
		after := Decide(s.upload, s.known).Joins
		slices.Sort(after)
		if !slices.Equal(before, after) {
			t.Errorf("joins %v, then %v, of %+v", before, after, s)
		}
	})
}

// More of an account's rows never free an upload of the account.
func TestAnUploadThatGainsARowOfAnAccountStillJoinsIt(t *testing.T) {
	situations(t, func(random *rand.Rand, s situation) {
		for _, name := range Decide(s.upload, s.known).Joins {
			i := slices.IndexFunc(s.known, func(k Known) bool { return k.Account == name })
			more := s
			more.known, more.rows = slices.Clone(s.known), slices.Clone(s.rows)
			more.rows[i] = append(slices.Clone(s.rows[i]), 2000) // that no other account has
			before := more
			before.fill()
			if !slices.Contains(Decide(before.upload, before.known).Joins, name) {
				continue
			}
			more.set = append(slices.Clone(s.set), 2000)
			more.fill()
			if !slices.Contains(Decide(more.upload, more.known).Joins, name) {
				t.Errorf("no longer joins %s with a row more: %+v", name, more)
			}
		}
	})
}
