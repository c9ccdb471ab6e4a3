package lineage

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestASetIsItsDistinctRowsInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		numbers := some(random, 0.5, span(0, 50))
		set := setOf(numbers...)
		twice := append(slices.Clone(numbers), some(random, 0.5, numbers)...)
		random.Shuffle(len(twice), func(i, j int) { twice[i], twice[j] = twice[j], twice[i] })
		if again := setOf(twice...); !slices.Equal(again.rows, set.rows) || set.Len() != len(numbers) {
			t.Fatalf("%d rows, %d in another order, of %d", set.Len(), again.Len(), len(numbers))
		}
		if !slices.IsSortedFunc(set.rows, func(a, b Digest) int { return bytes.Compare(a[:], b[:]) }) {
			t.Fatal("not in the order of bytes.Compare")
		}
	}
}

func TestDigestsThatDifferAtTheirEndDiffer(t *testing.T) {
	for at := range DigestBytes {
		a, b := Digest{}, Digest{}
		b[at] = 0x80
		if compare(a, b) >= 0 || compare(b, a) <= 0 || compare(b, b) != 0 {
			t.Errorf("byte %d is not compared", at)
		}
	}
}

func TestSetsAreThoseOfTheOracle(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for range 1000 {
		pick := func() Set { return setOf(some(random, random.Float64(), span(0, 30))...) }
		a, b, c := pick(), pick(), pick()
		common, union := oracleSet{}, oracleOf(b)
		for r := range oracleOf(a) {
			union[r] = true
			if oracleOf(b)[r] {
				common[r] = true
			}
		}
		for name, test := range map[string]struct {
			got  Set
			want oracleSet
		}{"common": {Common(a, b), common}, "union": {Union(a, b), union}} {
			if !slices.Equal(test.got.rows, NewSet(test.want.list()).rows) {
				t.Fatalf("%s: %d rows, want %d", name, test.got.Len(), len(test.want))
			}
		}
		if got, want := a.outside(b, c), oracleOf(a).outside(oracleOf(b), oracleOf(c)); got != want {
			t.Fatalf("%d rows are outside, want %d", got, want)
		}
		if got := a.outside(); got != a.Len() {
			t.Fatalf("%d rows are outside of nothing, want %d", got, a.Len())
		}
	}
}

func (o oracleSet) list() (digests []Digest) {
	for r := range o {
		digests = append(digests, r)
	}
	return digests
}
