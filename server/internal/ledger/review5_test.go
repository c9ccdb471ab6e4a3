package ledger

import (
	"bytes"
	"encoding/base64"
	"testing"
)

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
func TestReviewTheNewestMovementsOfOneAccountCannotBeTakenOut(t *testing.T) {
	l, disk, _ := newLedger(t)
	must(t, opened(l, "d", "owner", 6e9, testDelta, testDeclared), opened(l, "e", "owner", 6e9, testDelta, testDeclared))
	must(t, reserve(l, "e", "hidden", 5e9, 7), l.DataGiven("e", "hidden"), l.Settle("e", "hidden", OutcomeCompleted))
	must(t, reserve(l, "d", "a", 2e9, 7), l.DataGiven("d", "a"), l.Settle("d", "a", OutcomeCompleted))
	edited, mark := without(t, disk.content, `"run":"hidden"`)
	again, err := openOn(edited, mark)
	if err != nil {
		return
	}
	a, _ := again.Account("e")
	t.Errorf("it opens, and of 5 that were spent on e it knows %s", a.Spent)
}

// The same before a joining, whose receipt tells the sums of both accounts: that the data of a run were given can be taken out.
func TestReviewThatDataWereGivenBeforeAJoiningCannotBeTakenOut(t *testing.T) {
	l, disk, _ := newLedger(t)
	must(t, opened(l, "d", "owner", 6e9, testDelta, testDeclared), opened(l, "e", "owner", 6e9, testDelta, testDeclared))
	must(t, reserve(l, "e", "hidden", 5e9, 7), l.DataGiven("e", "hidden"))
	must(t, l.JoinAccounts(Dataset{ID: "again", Owner: "owner", Limit: 6e9, Delta: testDelta, Declared: testDeclared}, []string{"d", "e"}, flat(3)))
	edited, mark := without(t, disk.content, `"type":"data"`)
	again, err := openOn(edited, mark)
	if err != nil {
		return
	}
	must(t, again.Release("e", "hidden"))
	a, _ := again.Account("e")
	t.Errorf("it opens, and a run that had the data was given back: %s is spent", a.Spent)
}
