package lineage

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// call is one RemoteDataset: a training set and, or not, its test set. accounts are numbered as they are opened.
type call struct {
	train, test []int
	accounts    string
	apart       []Apart
}

// A pair of 800 and 200 rows in every way that it can be uploaded again, and everything that only looks like it.
func TestWhatIsUploadedAgainDrawsOnItsOldAccounts(t *testing.T) {
	train, test := span(0, 800), span(800, 1000)
	first := call{train, test, "1 2", nil}
	overlapping := span(700, 900) // half of it is in the training set
	overlaps := call{train, overlapping, "1 2", []Apart{{"1", 100}}}
	inside := span(0, 200)
	for name, calls := range map[string][]call{
		"a pair":                         {first, first},
		"thrice":                         {first, first, first},
		"a row dropped from each":        {first, {train[1:], test[:199], "1 2", nil}},
		"half of each":                   {first, {train[:400], test[:100], "1 2", nil}},
		"the training set alone":         {first, {train, nil, "1", nil}},
		"the test set alone":             {first, {test, nil, "2", nil}},
		"roles exchanged":                {first, {test, train, "2 1", nil}},
		"another pair":                   {first, {span(2000, 2800), span(2800, 3000), "3 4", nil}},
		"another test set":               {first, {train, span(2000, 2200), "1 3", nil}},
		"another test set, then the old": {first, {train, span(2000, 2200), "1 3", nil}, {train, test, "1 2", nil}},
		"another training set":           {first, {span(2000, 2800), test, "3 2", nil}},
		"all in one":                     {first, {span(0, 1000), nil, "1", nil}, {test, nil, "1", nil}},

		"an overlapping pair":                     {overlaps, {train, overlapping, "1 2", []Apart{{"2", 100}, {"1", 100}}}},
		"an overlapping pair, a row dropped":      {overlaps, {train[:799], overlapping[1:], "1 2", []Apart{{"2", 99}, {"1", 99}}}},
		"an overlapping training set alone":       {overlaps, {train, nil, "1", []Apart{{"2", 100}}}},
		"an overlapping test set alone":           {overlaps, {overlapping, nil, "2", []Apart{{"1", 100}}}},
		"an overlapping pair, roles exchanged":    {overlaps, {overlapping, train, "2 1", []Apart{{"1", 100}, {"2", 100}}}},
		"an overlapping pair, another test set":   {overlaps, {train, span(600, 650), "1 3", []Apart{{"2", 100}, {"1", 50}}}},
		"a test set inside its training set":      {{train, inside, "1 2", []Apart{{"1", 200}}}, {train, inside, "1 2", []Apart{{"2", 200}, {"1", 200}}}},
		"a test set inside, alone":                {{train, inside, "1 2", []Apart{{"1", 200}}}, {inside[1:], nil, "2", []Apart{{"1", 199}}}},
		"a training set inside its test set":      {{inside, train, "1 2", []Apart{{"1", 200}}}, {inside, train, "1 2", []Apart{{"2", 200}, {"1", 200}}}},
		"a training set that is its test set":     {{train, train, "1 2", []Apart{{"1", 800}}}, {train, train, "1 2", []Apart{{"2", 800}, {"1", 800}}}},
		"a training set alone, then with a test":  {{train, nil, "1", nil}, {train, test, "1 2", nil}},
		"the same, and the two sets overlap":      {{train, nil, "1", nil}, {train, overlapping, "1 2", []Apart{{"1", 100}}}},
		"a new split of a pair":                   {first, {span(200, 1000), span(0, 200), "1 1", nil}},
		"a new split of one dataset":              {{span(0, 1000), nil, "1", nil}, {train, test, "1 1", nil}},
		"rows moved from training to test":        {first, {train[100:], span(0, 300), "1 1", nil}},
		"a tenth of the test moved from training": {first, {train[20:], append(span(0, 20), test[:180]...), "1 1", nil}},
		"less than a tenth of the test moved":     {first, {train[19:], append(span(0, 19), test...), "1 2", []Apart{{"1", 19}}}},

		"a tenth of either":            {{span(0, 100), nil, "1", nil}, {span(90, 190), nil, "1", nil}},
		"less than a tenth of either":  {{span(0, 100), nil, "1", nil}, {span(91, 191), nil, "2", []Apart{{"1", 9}}}},
		"a tenth of the account":       {{span(0, 10), nil, "1", nil}, {span(9, 1000), nil, "1", nil}},
		"a tenth of the upload":        {{span(0, 1000), nil, "1", nil}, {span(999, 1009), nil, "1", nil}},
		"one row of eleven":            {{span(0, 1000), nil, "1", nil}, {span(999, 1010), nil, "2", []Apart{{"1", 1}}}},
		"the same row over and over":   {{[]int{1, 1, 1}, nil, "1", nil}, {append(span(1, 12), 1, 1, 1), nil, "1", nil}},
		"two accounts that become one": {{span(0, 100), nil, "1", nil}, {span(100, 200), nil, "2", nil}, {span(50, 150), nil, "1", nil}, {span(180, 200), nil, "1", nil}},
		"an account that grew":         {{span(0, 100), nil, "1", nil}, {span(90, 1000), nil, "1", nil}, {span(950, 1000), nil, "1", nil}},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			var o owner
			for number, c := range calls {
				train, test := rowsOf(c.train...), rowsOf(c.test...)
				for _, rows := range [][]Digest{train, test} {
					random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
				}
				accounts, apart := o.call(train, test)
				if accounts != c.accounts {
					t.Fatalf("call %d is on %s, want %s", number+1, accounts, c.accounts)
				}
				if len(apart)+len(c.apart) > 0 && !reflect.DeepEqual(apart, c.apart) {
					t.Errorf("call %d: told %v, want %v", number+1, apart, c.apart)
				}
			}
		})
	}
}

// However much the two sets of a pair share, uploading it again finds exactly its two accounts.
func TestNoPairUploadedAgainBecomesOneAccount(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		n, m := 2+random.IntN(60), 2+random.IntN(60)
		shift := random.IntN(n + 1)
		train, test := rowsOf(span(0, n)...), rowsOf(span(shift, shift+m)...)
		var o owner
		o.call(train, test)
		again := func() string {
			accounts, _ := o.call(train[random.IntN(2):], test[:len(test)-random.IntN(2)])
			return accounts
		}
		for range 3 {
			if accounts := again(); accounts != "1 2" && accounts != "2 1" {
				t.Fatalf("%d and %d rows, the second from %d on: uploaded again on %s", n, m, shift, accounts)
			}
		}
	}
}

func TestWithoutPairsTheRuleIsATenth(t *testing.T) {
	for _, test := range []struct {
		shared, upload, account int
		joins                   bool
	}{
		{0, 1, 1, false}, {1, 1, 1, true}, {1, 10, 1000, true}, {1, 1000, 10, true}, {1, 11, 11, false}, {2, 11, 11, true},
		{99, 1000, 991, false}, {100, 1000, 5000, true}, {0, 0, 0, false}, {1e8, 1e9, 1e9 + 1, true}, {1e8 - 1, 1e9, 1e9, false},
	} {
		if joins := enough(test.shared, test.upload, test.account); joins != test.joins {
			t.Errorf("%+v: %v", test, joins)
		}
	}
}

func TestAccountsAreNamedInTheOrderTheyWereGiven(t *testing.T) {
	upload := setOf(span(0, 100)...)
	var known []Known
	for i, size := range []int{20, 5, 60, 1} {
		known = append(known, Known{Account: string(rune('a' + i)), Rows: 100, Shared: Common(upload, setOf(span(0, size)...))})
	}
	decision := Decide(Upload{Rows: 100}, known)
	if !slices.Equal(decision.Joins, []string{"a", "c"}) || !slices.Equal(decision.Apart, []Apart{{"b", 5}, {"d", 1}}) {
		t.Errorf("%+v", decision)
	}
}
