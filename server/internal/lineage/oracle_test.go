package lineage

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// row is the digest of a row that is called by a number.
func row(number int) Digest {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(number)))
	return Digest(sum[:DigestBytes])
}

func rowsOf(numbers ...int) []Digest {
	var digests []Digest
	for _, number := range numbers {
		digests = append(digests, row(number))
	}
	return digests
}

func setOf(numbers ...int) Set { return NewSet(rowsOf(numbers...)) }

func span(from, until int) (numbers []int) {
	for i := from; i < until; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}

// oracleSet says the same as Set, in a way that is plainly right.
type oracleSet map[Digest]bool

func oracleOf(s Set) oracleSet {
	o := oracleSet{}
	for _, r := range s.rows {
		o[r] = true
	}
	return o
}

func (o oracleSet) outside(others ...oracleSet) (count int) {
next:
	for r := range o {
		for _, other := range others {
			if other[r] {
				continue next
			}
		}
		count++
	}
	return count
}

// oracleDecide walks the rule as it is told: again and again the nearest account that was not judged yet.
func oracleDecide(upload Upload, known []Known) map[string]bool {
	joined, judged := map[string]bool{}, map[string]bool{}
	own := func(k Known) int {
		if k.Account == upload.PairedWith {
			return oracleOf(k.Shared).outside(oracleOf(upload.WithTraining))
		}
		return len(oracleOf(k.Shared))
	}
	for len(judged) < len(known) {
		var nearest *Known
		for i := range known {
			k := &known[i]
			if judged[k.Account] {
				continue
			}
			if nearest == nil || own(*k) > own(*nearest) || own(*k) == own(*nearest) && k.Rows < nearest.Rows {
				nearest = k
			}
		}
		judged[nearest.Account] = true
		counted := 0
		for r := range oracleOf(nearest.Shared) {
			counts := nearest.Account != upload.PairedWith || !oracleOf(upload.WithTraining)[r]
			for _, other := range known {
				if joined[other.Account] && oraclePartners(other, *nearest) && oracleOf(other.Shared)[r] {
					counts = false
				}
			}
			if counts {
				counted++
			}
		}
		joined[nearest.Account] = counted > 0 && (counted*10 >= upload.Rows || counted*10 >= nearest.Rows)
	}
	return joined
}

func oraclePartners(a, b Known) bool {
	for _, p := range a.Partners {
		if p == b.Account {
			return true
		}
	}
	for _, p := range b.Partners {
		if p == a.Account {
			return true
		}
	}
	return false
}

// some picks each of the numbers with the chance.
func some(random *rand.Rand, chance float64, numbers []int) (picked []int) {
	for _, number := range numbers {
		if random.Float64() < chance {
			picked = append(picked, number)
		}
	}
	return picked
}
