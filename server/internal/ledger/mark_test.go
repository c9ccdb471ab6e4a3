package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"
)

// openSealed opens as a server does.
func openSealed(disk *memoryDisk, mark *memoryMark) (*Ledger, error) {
	disk.position = 0
	return open("", sealedMark{mark, testWriter().Key}, testWriter(), disk, clock)
}

// newSealed is a ledger with a mark that is sealed.
func newSealed(t *testing.T) (*Ledger, *memoryDisk, *memoryMark) {
	t.Helper()
	disk := &memoryDisk{}
	mark := &memoryMark{disk: disk}
	l, err := openSealed(disk, mark)
	must(t, err)
	return l, disk, mark
}

// without takes lines out of a file and writes chain and mark anew, which needs no key.
func without(t *testing.T, content []byte, out ...string) (*memoryDisk, *memoryMark) {
	t.Helper()
	var edited []byte
	var at chain
	records := int64(0)
	for _, encoded := range bytes.SplitAfter(content, []byte("\n")) {
		if len(encoded) == 0 {
			continue
		}
		drop := false
		for _, words := range out {
			drop = drop || bytes.Contains(encoded, []byte(words))
		}
		if drop {
			continue
		}
		signature, err := base64.StdEncoding.DecodeString(string(encoded[chainDigits+1 : prefixBytes-1]))
		must(t, err)
		again, after, err := line{signature, encoded[prefixBytes : len(encoded)-1]}.encode(at)
		must(t, err)
		edited, at = append(edited, again...), after
		records++
	}
	disk := &memoryDisk{content: edited, exists: true, named: true, synced: len(edited)}
	return disk, &memoryMark{disk: disk, records: records, bytes: int64(len(edited)), chain: at[:]}
}

// Whoever can write to the disk and has no key can take the newest movements of one account out, and leave all others: the chain over the whole
// file and the mark are not keyed.
func TestTheNewestMovementsOfOneAccountCannotBeTakenOut(t *testing.T) {
	l, disk, genuine := newSealed(t)
	must(t, opened(l, "d", "owner", 6e9, testDelta, testDeclared), opened(l, "e", "owner", 6e9, testDelta, testDeclared))
	must(t, reserve(l, "e", "hidden", 5e9, 7), l.DataGiven("e", "hidden"), l.Settle("e", "hidden", OutcomeCompleted))
	must(t, reserve(l, "d", "a", 2e9, 7), l.DataGiven("d", "a"), l.Settle("d", "a", OutcomeCompleted))
	edited, mark := without(t, disk.content, `"run":"hidden"`)
	wantUnsealed(t, edited, mark, genuine)
	if l, err := openSealed(disk, genuine); err != nil || len(l.Unsettled()) != 0 {
		t.Errorf("as it was: %v", err)
	}
}

// The same before a joining, whose receipt tells the sums of both accounts: that the data of a run were given can be taken out.
func TestThatDataWereGivenBeforeAJoiningCannotBeTakenOut(t *testing.T) {
	l, disk, genuine := newSealed(t)
	must(t, opened(l, "d", "owner", 6e9, testDelta, testDeclared), opened(l, "e", "owner", 6e9, testDelta, testDeclared))
	must(t, reserve(l, "e", "hidden", 5e9, 7), l.DataGiven("e", "hidden"))
	must(t, l.JoinAccounts(Dataset{ID: "again", Owner: "owner", Limit: 6e9, Delta: testDelta, Declared: testDeclared}, []string{"d", "e"}, flat(3)))
	edited, mark := without(t, disk.content, `"type":"data"`)
	wantUnsealed(t, edited, mark, genuine)
}

// wantUnsealed wants an edited file refused, with whatever mark somebody without the key can put beside it.
func wantUnsealed(t *testing.T, edited *memoryDisk, mark, genuine *memoryMark) {
	t.Helper()
	marks := map[string]memoryMark{
		"made anew":                  *mark,
		"with the code of another":   {records: mark.records, bytes: mark.bytes, chain: append(bytes.Clone(mark.chain), genuine.chain[32:]...)},
		"with a code of zeros":       {records: mark.records, bytes: mark.bytes, chain: append(bytes.Clone(mark.chain), make([]byte, 32)...)},
		"the genuine one":            *genuine,
		"with no records":            {chain: genuine.chain},
		"none, as in a new database": {},
	}
	for name, m := range marks {
		m.disk = nil
		_, err := openSealed(edited, &m)
		var misfit *IntegrityError
		if !errors.As(err, &misfit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
