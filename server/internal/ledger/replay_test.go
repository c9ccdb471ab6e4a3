package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// history makes one movement of each type.
func history(t testing.TB, l *Ledger) {
	t.Helper()
	openAccount(t, l, 6.0)
	must(t,
		charge(l, "a", 2e9), l.DataGiven("d", "a"), l.Settle("d", "a", OutcomeCompleted),
		charge(l, "b", 1e9), l.Release("d", "b"),
		l.LowerLimit("d", 5e9),
		charge(l, "c", 1e9), l.DataGiven("d", "c"),
	)
}

func TestAReplayedLedgerIsTheLedger(t *testing.T) {
	l, disk, mark := newLedger(t)
	history(t, l)
	size := len(disk.content)
	again := reopened(t, disk, mark)
	if !reflect.DeepEqual(accountOf(t, l), accountOf(t, again)) {
		t.Errorf("before %+v\nafter  %+v", accountOf(t, l), accountOf(t, again))
	}
	if len(disk.content) != size {
		t.Error("opening wrote something")
	}
	if want := (Opening{Records: 10}); again.Opening() != want {
		t.Errorf("opening %+v", again.Opening())
	}
}

// What a crash can leave of the record that was being written: any beginning of it. What was acknowledged is never touched.
func TestATornTailIsDroppedAndAWholeRecordIsKept(t *testing.T) {
	l, disk, mark := newLedger(t)
	history(t, l)
	before, beforeMark, beforeAccount := bytes.Clone(disk.content), *mark, accountOf(t, l)
	must(t, charge(l, "last", 1e9))
	whole, afterAccount := bytes.Clone(disk.content), accountOf(t, l)
	for end := len(before); end <= len(whole); end++ {
		mark := beforeMark
		mark.disk = nil
		found := &memoryDisk{content: bytes.Clone(whole[:end]), exists: true, named: true, synced: len(before)}
		again, err := openOn(found, &mark)
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", end-len(before), err)
		}
		want, wantBytes, opening := beforeAccount, before, Opening{Records: 10, DroppedBytes: int64(end - len(before))}
		if end == len(whole) {
			want, wantBytes, opening = afterAccount, whole, Opening{Records: 11, Adopted: true}
		}
		if !reflect.DeepEqual(accountOf(t, again), want) || !bytes.Equal(found.content, wantBytes) || again.Opening() != opening {
			t.Fatalf("cut after %d bytes: %+v, opening %+v", end-len(before), accountOf(t, again), again.Opening())
		}
		// What was only in memory when the server died must be on disk before it counts.
		if mark.bytes != int64(len(wantBytes)) || found.synced != len(wantBytes) {
			t.Fatalf("cut after %d bytes: acknowledged up to %d, synced up to %d", end-len(before), mark.bytes, found.synced)
		}
		must(t, charge(again, "next", 1e9))
		if a := accountOf(t, reopened(t, found, &mark)); a.Entries[len(a.Entries)-1].Run != "next" {
			t.Fatalf("cut after %d bytes: the next charge was lost", end-len(before))
		}
	}
}

// A crash can also leave the length of a record without its content.
func TestATailOfZerosIsDropped(t *testing.T) {
	l, disk, mark := newLedger(t)
	history(t, l)
	size := len(disk.content)
	for _, tail := range []string{"\x00", strings.Repeat("\x00", 300), strings.Repeat("\x00", 299) + "\n", "\n"} {
		disk.content = append(disk.content[:size], tail...)
		if again := reopened(t, disk, mark); again.Opening().DroppedBytes != int64(len(tail)) || len(disk.content) != size {
			t.Errorf("%q: %+v", tail, again.Opening())
		}
	}
}

func TestEveryChangedByteOfWhatWasAcknowledgedIsNamed(t *testing.T) {
	l, disk, mark := newLedger(t)
	history(t, l)
	good := bytes.Clone(disk.content)
	line := int64(0)
	for at := range good {
		disk.content = bytes.Clone(good)
		disk.content[at] ^= 1
		changed := bytes.Clone(disk.content)
		_, err := openOn(disk, mark)
		var misfit *IntegrityError
		if !errors.As(err, &misfit) || misfit.Record != line || misfit.Reason == "" {
			t.Fatalf("byte %d of record %d: %v", at, line, err)
		}
		if !bytes.Equal(disk.content, changed) {
			t.Fatalf("byte %d: the file was changed", at)
		}
		if good[at] == '\n' {
			line++
		}
	}
}

func TestALedgerThatLostOrGainedRecordsDoesNotOpen(t *testing.T) {
	l, disk, mark := newLedger(t)
	history(t, l)
	good := bytes.Clone(disk.content)
	lines := bytes.SplitAfter(good, []byte("\n"))
	lines = lines[:len(lines)-1]
	older := *mark // as it was two records ago
	older.records, older.bytes = mark.records-2, mark.bytes-int64(len(lines[8])+len(lines[9]))
	older.chain = chainOf(lines[7])
	cases := map[string]struct {
		content []byte
		mark    memoryMark
		exists  bool
		record  int64
		words   string
	}{
		"file gone":                 {nil, *mark, false, 0, "is missing, and 10 records were acknowledged"},
		"file empty":                {nil, *mark, true, 0, "ends after 0 records"},
		"last record cut off":       {bytes.Join(lines[:9], nil), *mark, true, 9, "older copy"},
		"half of the last":          {good[:len(good)-20], *mark, true, 9, "cut or changed"},
		"record taken out":          {bytes.Join(slices.Delete(slices.Clone(lines), 3, 4), nil), *mark, true, 3, "checksum"},
		"records exchanged":         {bytes.Join([][]byte{lines[0], lines[2], lines[1]}, nil), *mark, true, 1, "checksum"},
		"record twice":              {bytes.Join(append(slices.Clone(lines), lines[9]), nil), memoryMark{}, true, 1, "only 0 records were acknowledged"},
		"mark two records behind":   {good, older, true, 9, "the database beside the ledger is new or older"},
		"mark gone":                 {good, memoryMark{}, true, 1, "only 0 records were acknowledged"},
		"mark of another ledger":    {good, memoryMark{records: mark.records, bytes: mark.bytes, chain: make([]byte, 32)}, true, 9, "another checksum"},
		"mark within a record":      {good, memoryMark{records: mark.records, bytes: mark.bytes - 1, chain: mark.chain}, true, 9, "were acknowledged"},
		"mark with another count":   {good, memoryMark{records: mark.records - 1, bytes: mark.bytes, chain: mark.chain}, true, 9, "were acknowledged"},
		"mark without a chain":      {good, memoryMark{records: mark.records, bytes: mark.bytes}, true, 10, "position is damaged"},
		"mark with a long chain":    {good, memoryMark{records: mark.records, bytes: mark.bytes, chain: make([]byte, 33)}, true, 10, "position is damaged"},
		"rubbish after the mark":    {append(bytes.Clone(good), "a\nb\n"...), *mark, true, 10, "more than the rest of one record"},
		"too much after the mark":   {append(bytes.Clone(good), make([]byte, MaxRecordBytes+1)...), *mark, true, 10, "more than the rest of one record"},
		"rubbish and no mark":       {[]byte("a\nb\n"), memoryMark{}, true, 0, "more than the rest of one record"},
		"endless line in the chain": {append(bytes.Clone(lines[0]), make([]byte, 2*MaxRecordBytes)...), *mark, true, 1, "cut or changed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			found := &memoryDisk{content: bytes.Clone(c.content), exists: c.exists, named: true}
			c.mark.disk = nil
			mark := c.mark
			_, err := openOn(found, &mark)
			var misfit *IntegrityError
			if !errors.As(err, &misfit) || misfit.Record != c.record || !strings.Contains(misfit.Reason, c.words) {
				t.Fatalf("got %v, want record %d: %s", err, c.record, c.words)
			}
			if !bytes.Equal(found.content, c.content) || found.exists != c.exists || !reflect.DeepEqual(mark, c.mark) {
				t.Error("file or mark was changed")
			}
		})
	}
}

func chainOf(line []byte) []byte {
	value, err := hex.DecodeString(string(line[:chainDigits]))
	if err != nil {
		panic(err)
	}
	return value
}

// Records with a good checksum that do not follow from those before them: somebody who knows the form wrote them.
func TestARecordThatBreaksTheRulesDoesNotOpen(t *testing.T) {
	begin := `{"type":"ledger","at":1,"version":1,"id":"00"}`
	open := `{"type":"account","at":1,"dataset":"d","limit":6,"declared":1,"delta":10}`
	run := `{"type":"reserve","at":1,"dataset":"d","run":"a","epsilon":5,"delta":2}`
	data := `{"type":"data","at":1,"dataset":"d","run":"a"}`
	cases := map[string]struct {
		bodies []string
		words  string
	}{
		"over the limit":        {[]string{begin, open, run, `{"type":"reserve","at":1,"dataset":"d","run":"b","epsilon":2}`}, "does not follow"},
		"over half of delta":    {[]string{begin, open, run, `{"type":"reserve","at":1,"dataset":"d","run":"b","epsilon":1,"delta":4}`}, "does not follow"},
		"negative charge":       {[]string{begin, open, run, `{"type":"reserve","at":1,"dataset":"d","run":"b","epsilon":-1}`}, "does not follow"},
		"limit raised":          {[]string{begin, open, run, `{"type":"limit","at":1,"dataset":"d","limit":7}`}, "does not follow"},
		"released after data":   {[]string{begin, open, run, data, `{"type":"release","at":1,"dataset":"d","run":"a"}`}, "does not follow"},
		"no such run":           {[]string{begin, open, `{"type":"release","at":1,"dataset":"d","run":"a"}`}, "does not follow"},
		"no such account":       {[]string{begin, run}, "does not follow"},
		"account twice":         {[]string{begin, open, open}, "does not follow"},
		"begun twice":           {[]string{begin, begin}, "does not follow"},
		"never begun":           {[]string{open}, "does not follow"},
		"newer form":            {[]string{`{"type":"ledger","at":1,"version":2,"id":"00"}`}, "form 2, this release knows form 1"},
		"newer type":            {[]string{begin, open, `{"type":"gift","at":1,"dataset":"d"}`}, "none of this release"},
		"unknown field":         {[]string{begin, `{"type":"account","at":1,"dataset":"d","limit":6,"declared":1,"delta":10,"gift":1}`}, "no record of this release"},
		"field twice":           {[]string{begin, `{"type":"account","at":1,"dataset":"d","limit":6,"declared":1,"delta":10,"delta":10}`}, "in another way"},
		"field in another case": {[]string{begin, `{"type":"account","at":1,"dataset":"d","LIMIT":6,"declared":1,"delta":10}`}, "in another way"},
		"spaces":                {[]string{begin, ` ` + open}, "in another way"},
		"two values":            {[]string{begin, open + open}, "in another way"},
		"no value":              {[]string{begin, ``}, "no record of this release"},
		"malformed digest":      {[]string{begin, `{"type":"account","at":1,"dataset":"d","declared":1,"blob":"0","delta":10}`}, "does not follow"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			content, mark := chained(c.bodies)
			_, err := openOn(&memoryDisk{content: content, exists: true, named: true}, mark)
			var misfit *IntegrityError
			if !errors.As(err, &misfit) || misfit.Record != int64(len(c.bodies)-1) || !strings.Contains(misfit.Reason, c.words) {
				t.Fatalf("got %v, want record %d: %s", err, len(c.bodies)-1, c.words)
			}
			// Beyond the mark it is no torn write either: its checksum is right.
			if len(c.bodies) > 1 {
				_, before := chained(c.bodies[:len(c.bodies)-1])
				if _, err := openOn(&memoryDisk{content: content, exists: true, named: true}, before); !errors.As(err, &misfit) {
					t.Fatalf("as the last record: %v", err)
				}
			}
		})
	}
}

// chained makes a file of bodies with right checksums, and the mark at its end. It is written anew here, from the description.
func chained(bodies []string) ([]byte, *memoryMark) {
	var content bytes.Buffer
	value := make([]byte, 32)
	for _, body := range bodies {
		digest := sha256.New()
		digest.Write([]byte("bastionlab ledger 1\n"))
		digest.Write(value)
		digest.Write([]byte(body))
		value = digest.Sum(nil)
		content.WriteString(hex.EncodeToString(value) + " " + body + "\n")
	}
	return content.Bytes(), &memoryMark{records: int64(len(bodies)), bytes: int64(content.Len()), chain: value}
}

// The file was written by the first release: every later one must read it the same.
func TestTheFirstReleasesFileIsRead(t *testing.T) {
	content, err := os.ReadFile("testdata/first.log")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	mark := &memoryMark{records: int64(len(lines) - 1), bytes: int64(len(content)), chain: chainOf(lines[len(lines)-2])}
	l, err := openOn(&memoryDisk{content: content, exists: true, named: true}, mark)
	if err != nil {
		t.Fatal(err)
	}
	got := accountOf(t, l)
	want := Account{
		Dataset: "d", Owner: "owner", Limit: 5e9, Delta: 1e13, Declared: 4459, BlobSHA256: []byte{1, 2}, Spent: 3e9, SpentDelta: 2666666666666,
		Entries: []Entry{
			{Run: "a", Epsilon: 2e9, Delta: 1666666666666, Charge: []byte("charge of a"), DataGiven: true, Outcome: OutcomeCompleted, ReservedUnixMS: 1_700_000_000_000},
			{Run: "b", Epsilon: 1e9, Delta: 833333333333, Charge: []byte("charge of b"), Outcome: OutcomeReleased, ReservedUnixMS: 1_700_000_000_000},
			{Run: "c", Epsilon: 1e9, Delta: 1000000000000, Charge: []byte("charge of c"), DataGiven: true, ReservedUnixMS: 1_700_000_000_000},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// On a real disk, with the mark where the server has it.
func TestOnDiskWithTheMarkInTheDatabase(t *testing.T) {
	dir := t.TempDir()
	store, err := storage.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, store.LedgerMark())
	if err != nil {
		t.Fatal(err)
	}
	history(t, l)
	before := accountOf(t, l)
	if _, err := Open(dir, store.LedgerMark()); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	must(t, l.Close(), store.Close())
	if err := charge(l, "late", 1); err == nil {
		t.Error("a closed ledger took a charge")
	}
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if store, err = storage.Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if l, err = Open(dir, store.LedgerMark()); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if after := accountOf(t, l); !reflect.DeepEqual(before, after) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
	must(t, charge(l, "next", 1))
}
