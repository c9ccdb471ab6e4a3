package lineage

import "slices"

// Set is the distinct rows of a dataset or an account, by their digests. The zero Set is empty. It is never changed once made.
type Set struct {
	rows []Digest // ascending
}

// NewSet makes a set of the digests, in any order and as often as they come. It takes the slice over.
func NewSet(digests []Digest) Set {
	slices.SortFunc(digests, compare)
	return Set{slices.Compact(digests)}
}

// Len is how many distinct rows there are.
func (s Set) Len() int { return len(s.rows) }

// Common is what two sets share, in memory for no more than that.
func Common(a, b Set) Set {
	rows := make([]Digest, 0, a.Len()-a.outside(b))
	at := 0
	for _, row := range a.rows {
		if b.reaches(&at, row) {
			rows = append(rows, row)
		}
	}
	return Set{rows}
}

// Union is what is in either set.
func Union(a, b Set) Set {
	if a.Len() == 0 {
		return b
	}
	rows := make([]Digest, 0, len(a.rows)+len(b.rows))
	i, j := 0, 0
	for i < len(a.rows) && j < len(b.rows) {
		c := compare(a.rows[i], b.rows[j])
		if c <= 0 {
			rows = append(rows, a.rows[i])
			i++
		} else {
			rows = append(rows, b.rows[j])
		}
		if c >= 0 {
			j++
		}
	}
	rows = append(rows, a.rows[i:]...)
	return Set{append(rows, b.rows[j:]...)}
}

// outside counts the rows that are in none of the others.
func (s Set) outside(others ...Set) int {
	count := 0
	at := make([]int, len(others))
	for _, row := range s.rows {
		found := false
		for i := range others {
			found = found || others[i].reaches(&at[i], row)
		}
		if !found {
			count++
		}
	}
	return count
}

// reaches moves a place in the set on to the first row that is not before the one given, and says whether it is that one.
func (s Set) reaches(at *int, row Digest) bool {
	for *at < len(s.rows) {
		switch c := compare(s.rows[*at], row); {
		case c == 0:
			return true
		case c > 0:
			return false
		}
		*at++
	}
	return false
}
