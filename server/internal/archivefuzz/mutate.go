package archivefuzz

import (
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Mutator changes samples. It is not safe for concurrent use.
type Mutator struct {
	seeds, taken, strange []Sample
	calls                 []signature
}

// NewMutator makes a mutator of samples to begin with and of the signatures of operators, one a line (see signature).
func NewMutator(samples []Sample, signatures string) *Mutator {
	return &Mutator{seeds: slices.Clone(samples), calls: parseSignatures(signatures)}
}

// maxKept bounds the memory that kept mutants take, of each kind; the oldest go first.
const (
	maxKept      = 4000
	maxKeptBytes = 96 << 10
)

// Keep makes a mutant a sample that others begin with: it did something that none before it did. What was taken leads to more that is
// taken; what was refused mostly to the same refusal.
func (m *Mutator) Keep(s Sample, taken bool) {
	kept := &m.strange
	if taken {
		kept = &m.taken
	}
	if len(s.Archive) > maxKeptBytes {
		return
	}
	if len(*kept) >= maxKept {
		*kept = slices.Delete(*kept, 0, 1)
	}
	*kept = append(*kept, s)
}

// Pool is how many samples were kept: taken ones and strange ones.
func (m *Mutator) Pool() (taken, strange int) { return len(m.taken), len(m.strange) }

// Taken are the kept samples that were taken.
func (m *Mutator) Taken() []Sample { return m.taken }

// begin picks what a mutant is made of.
func (m *Mutator) begin(r source) Sample {
	switch kind := r.IntN(10); {
	case kind < 5 && len(m.taken) > 0:
		return among(r, m.taken)
	case kind == 5 && len(m.strange) > 0:
		return among(r, m.strange)
	}
	return among(r, m.seeds)
}

// Mutant makes one of a sample, as seed has it.
func (m *Mutator) Mutant(seed uint64) Sample {
	r := source{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
	from := m.begin(r)
	mutant := Sample{Name: from.Name, Archive: from.Archive, Schema: proto.CloneOf(from.Schema), Loss: from.Loss}
	if r.one(20) {
		mutant.Archive = spoil(r, from.Archive)
		return mutant
	}
	entries, err := unpack(from.Archive)
	if err != nil {
		mutant.Archive = spoil(r, from.Archive)
		return mutant
	}
	if !r.one(8) {
		entries = stripped(entries)
	}
	for changes := 1 + r.few(); changes > 0; changes-- {
		entries = m.change(r, entries, &mutant)
	}
	if archive, err := pack(entries); err == nil {
		mutant.Archive = archive
	}
	return mutant
}

// change makes one change of some kind.
func (m *Mutator) change(r source, entries []entry, mutant *Sample) []entry {
	pick := func(has func(entry) bool, change func(source, []byte) []byte) {
		if places := which(entries, has); len(places) > 0 {
			e := &entries[places[r.IntN(len(places))]]
			e.data = change(r, slices.Clone(e.data))
		}
	}
	switch kind := r.IntN(100); {
	case kind < 45:
		pick(entry.isCode, m.insertCall)
	case kind < 66:
		pick(entry.isCode, m.changeCode)
	case kind < 82:
		pick(entry.isPickle, changePickle)
	case kind < 87:
		pick(entry.isTensor, changeTensor)
	case kind < 92:
		changeSchema(r, mutant)
	case kind < 97:
		return changeEntries(r, entries)
	case kind < 99:
		pick(func(e entry) bool { return !e.isTensor() }, spoil)
	default:
		return m.graft(r, entries)
	}
	return entries
}

// graft replaces a member by one of another archive that stands in the same place, or adds it.
func (m *Mutator) graft(r source, entries []entry) []entry {
	other, err := unpack(m.begin(r).Archive)
	if err != nil || len(other) == 0 || len(entries) == 0 {
		return entries
	}
	taken := other[r.IntN(len(other))]
	root := entries[0].name[:len(entries[0].name)-len(entries[0].inFolder())]
	taken.name = root + taken.inFolder()
	for i := range entries {
		if entries[i].name == taken.name {
			entries[i] = taken
			return entries
		}
	}
	return append(entries, taken)
}

// source is a generator with what mutations ask of it.
type source struct{ *rand.Rand }

// one is true once in n times.
func (r source) one(n int) bool { return r.IntN(n) == 0 }

// few is mostly none, seldom many.
func (r source) few() int {
	n := 0
	for n < 8 && r.one(2) {
		n++
	}
	return n
}

func among[T any](r source, values []T) T { return values[r.IntN(len(values))] }
