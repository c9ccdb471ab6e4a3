package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
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

// Movements with a good checksum and a good signature that do not follow from those before them: only a server that does not keep the rules
// could have written them.
func TestAMovementThatBreaksTheRulesDoesNotOpen(t *testing.T) {
	begun := func(more ...receipt.Body) []receipt.Body {
		return append([]receipt.Body{opening(6e9), taken("a", 5e9, 2)}, more...)
	}
	about := func(kind receipt.Type, run string) receipt.Body {
		return receipt.Body{Type: kind, Dataset: "d", Run: run}
	}
	malformed := opening(6e9)
	malformed.Blob = "0"
	zeroOrders := opening(6e9)
	zeroOrders.Orders = nil
	fewOrders := taken("b", 1e9, 1)
	fewOrders.Renyi = fewOrders.Renyi[:1]
	settled := func(outcome string, part accounting.Renyi) receipt.Body {
		m := about(receipt.Settle, "a")
		m.Outcome, m.Renyi = outcome, slices.Repeat([]accounting.Renyi{part}, len(testOrders()))
		return m
	}
	joined := func(limit accounting.Epsilon, delta accounting.Delta) receipt.Body {
		return receipt.Body{Type: receipt.Join, Dataset: "j", Limit: limit, Delta: delta, Orders: testOrders(), Declared: testDeclared}
	}
	cases := map[string][]receipt.Body{
		"joined to a higher limit":   begun(joined(7e9, testDelta)),
		"joined to no limit":         begun(joined(0, testDelta)),
		"joined to a larger delta":   begun(joined(6e9, testDelta+1)),
		"over the limit":             begun(taken("b", 2e9, 0)),
		"over half of delta":         begun(taken("b", 1e9, testDelta/2)),
		"negative charge":            begun(taken("b", -1, 0)),
		"charge at other orders":     begun(fewOrders),
		"limit raised":               begun(receipt.Body{Type: receipt.Limit, Dataset: "d", Limit: 7e9}),
		"released after data":        begun(about(receipt.Data, "a"), about(receipt.Release, "a")),
		"settled to more":            begun(about(receipt.Data, "a"), settled(OutcomeCancelled, accounting.MaxRenyi+1)),
		"failed settled to a part":   begun(about(receipt.Data, "a"), settled(OutcomeFailed, 1)),
		"complete settled to a part": begun(about(receipt.Data, "a"), settled(OutcomeCompleted, 1)),
		"data past a lowered limit":  begun(receipt.Body{Type: receipt.Limit, Dataset: "d", Limit: 1e9}, about(receipt.Data, "a")),
		"data on a frozen account":   begun(receipt.Body{Type: receipt.Freeze, Dataset: "d", Reason: "why"}, about(receipt.Data, "a")),
		"no such run":                {opening(6e9), about(receipt.Release, "a")},
		"no such account":            {taken("a", 1, 1)},
		"account twice":              {opening(6e9), opening(6e9)},
		"account without orders":     {zeroOrders},
		"malformed digest":           {malformed},
		"newer type":                 begun(receipt.Body{Type: "gift", Dataset: "d"}),
		"charge on a frozen account": begun(receipt.Body{Type: receipt.Freeze, Dataset: "d", Reason: "why"}, taken("b", 1e9, 1)),
		"frozen twice":               begun(receipt.Body{Type: receipt.Freeze, Dataset: "d", Reason: "why"}, receipt.Body{Type: receipt.Freeze, Dataset: "d", Reason: "why"}),
	}
	for name, movements := range cases {
		t.Run(name, func(t *testing.T) {
			content, mark := forged(movements...)
			_, err := openOn(&memoryDisk{content: content, exists: true, named: true}, mark)
			wantMisfit(t, err, len(movements), "does not follow")
			// Beyond the mark it is no torn write either: its checksum is right.
			_, before := forged(movements[:len(movements)-1]...)
			_, err = openOn(&memoryDisk{content: content, exists: true, named: true}, before)
			wantMisfit(t, err, len(movements), "does not follow")
		})
	}
}

// Bodies with a good checksum and a good signature that are not written as this program writes them.
func TestABodyWrittenInAnotherWayDoesNotOpen(t *testing.T) {
	good := bodiesOf(forgedContent(opening(6e9), taken("a", 1e9, 1)))
	replaced := func(at int, old, with string) []string {
		changed := slices.Clone(good)
		changed[at] = strings.Replace(good[at], old, with, 1)
		if changed[at] == good[at] {
			panic(old)
		}
		return changed
	}
	cases := map[string]struct {
		bodies []string
		record int
		words  string
	}{
		"newer form of the file":  {replaced(0, `"v":2`, `"v":3`), 0, "form 3, this release knows form 2"},
		"newer form of a receipt": {replaced(2, `"v":1`, `"v":2`), 2, "no record of this release"},
		"another key":             {replaced(0, `"key":"d7`, `"key":"d8`), 0, "another key"},
		"begun twice":             {[]string{good[0], good[0]}, 1, "no record of this release"},
		"never begun":             {[]string{good[1]}, 0, "begins with its own record"},
		"unknown member":          {replaced(2, `"seq":2`, `"seq":2,"gift":1`), 2, "no record of this release"},
		"member twice":            {replaced(2, `"seq":2`, `"seq":2,"seq":2`), 2, "no record of this release"},
		"member in another case":  {replaced(2, `"seq":2`, `"SEQ":2`), 2, "no record of this release"},
		"spaces":                  {replaced(2, `{`, ` {`), 2, "no record of this release"},
		"two values":              {[]string{good[0], good[1] + good[1]}, 1, "no record of this release"},
		"no value":                {[]string{good[0], ""}, 1, "no record of this release"},
		"another number":          {replaced(2, `"seq":2`, `"seq":3`), 2, "its number or the hash"},
		"another predecessor":     {replaced(2, `"prev":"`, `"prev":"00`), 2, "its number or the hash"},
		"other sums":              {replaced(2, `"spent":1000000000`, `"spent":0`), 2, "the sums that it tells"},
		"another account":         {replaced(2, `"account":"d"`, `"account":"e"`), 2, "does not follow"},
		"another owner":           {replaced(2, `"owner":"owner"`, `"owner":"somebody"`), 2, "does not follow"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			content, mark := chained(c.bodies)
			_, err := openOn(&memoryDisk{content: content, exists: true, named: true}, mark)
			wantMisfit(t, err, c.record, c.words)
		})
	}
}

// Whoever knows the form, and not the key, can make a file whose checksums are right.
func TestAFileThatAnotherKeySignedDoesNotOpen(t *testing.T) {
	l, disk, mark := newLedger(t)
	history(t, l)
	opened(l, "e", "owner", 6e9, testDelta, testDeclared)
	bodies := bodiesOf(disk.content)
	for at := range bodies {
		content, forgedMark := chainedBy(bodies, func(i int, body []byte) []byte {
			signature := receipt.Sign(testWriter().Key, body).Signature
			if i == at {
				signature[0] ^= 1
			}
			return signature
		})
		_, err := openOn(&memoryDisk{content: content, exists: true, named: true}, forgedMark)
		last := at == len(bodies)-1 || at == len(bodies)-2 // of its account: those before are bound by its hashes
		if at == 0 || last {
			wantMisfit(t, err, at, "not signed by this ledger's key")
		} else if err != nil {
			t.Errorf("record %d: %v", at, err)
		}
	}
	_ = mark
}

func wantMisfit(t *testing.T, err error, record int, words string) {
	t.Helper()
	var misfit *IntegrityError
	if !errors.As(err, &misfit) || misfit.Record != int64(record) || !strings.Contains(misfit.Reason, words) {
		t.Fatalf("got %v, want record %d: %s", err, record, words)
	}
}

func testOrders() []int64 { return accounting.FilterOrders(6e9, testDelta) }

// opening is the movement that begins the account "d".
func opening(limit accounting.Epsilon) receipt.Body {
	return receipt.Body{Type: receipt.Open, Dataset: "d", Limit: limit, Delta: testDelta, Orders: testOrders(), Declared: testDeclared}
}

// taken is a charge on it.
func taken(run string, e accounting.Epsilon, delta accounting.Delta) receipt.Body {
	return receipt.Body{Type: receipt.Reserve, Dataset: "d", Run: run, Epsilon: e, RunDelta: delta, Renyi: costOf(e, delta).Renyi}
}

// forged is a file of movements that nobody checked, and the mark at its end.
func forged(movements ...receipt.Body) ([]byte, *memoryMark) {
	key := testWriter().Key.Public().(ed25519.PublicKey)
	first, err := json.Marshal(genesis{Form: formVersion, Type: "ledger", UnixMS: 1, ID: "00", Key: hex.EncodeToString(key)})
	if err != nil {
		panic(err)
	}
	b, bodies := newBooks(), []string{string(first)}
	for _, m := range movements {
		m.Form, m.UnixMS, m.Origin, m.Account, m.Owner = receipt.Form, 1, testWriter().Origin, "d", "owner"
		m.Seq, m.Prev = b.next("d")
		m.After = afterOrNothing(&b, m)
		body, err := m.Encode()
		if err != nil {
			panic(err)
		}
		bodies = append(bodies, string(body))
		applyIfPossible(&b, m, placeOf(0, body))
	}
	return chained(bodies)
}

func forgedContent(movements ...receipt.Body) []byte {
	content, _ := forged(movements...)
	return content
}

// What breaks the rules may also be what the books cannot hold.
func afterOrNothing(b *books, m receipt.Body) (after receipt.After) {
	defer func() { _ = recover() }()
	return b.after(m).after()
}

func applyIfPossible(b *books, m receipt.Body, at place) {
	defer func() { _ = recover() }()
	b.apply(m, b.after(m), at)
}

func bodiesOf(content []byte) (bodies []string) {
	for _, encoded := range bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n")) {
		bodies = append(bodies, string(encoded[prefixBytes:]))
	}
	return bodies
}

// chained makes a file of bodies with right checksums and signatures, and the mark at its end.
func chained(bodies []string) ([]byte, *memoryMark) {
	return chainedBy(bodies, func(_ int, body []byte) []byte { return receipt.Sign(testWriter().Key, body).Signature })
}

// chainedBy is chained with other signatures. The form is written anew here, from the description.
func chainedBy(bodies []string, sign func(i int, body []byte) []byte) ([]byte, *memoryMark) {
	var content bytes.Buffer
	value := make([]byte, 32)
	for i, body := range bodies {
		signature := sign(i, []byte(body))
		digest := sha256.New()
		digest.Write([]byte("bastionlab ledger 2\n"))
		digest.Write(value)
		digest.Write(signature)
		digest.Write([]byte(body))
		value = digest.Sum(nil)
		content.WriteString(hex.EncodeToString(value) + " " + base64.StdEncoding.EncodeToString(signature) + " " + body + "\n")
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
	for i := range got.Entries {
		got.Entries[i].receipts, got.Entries[i].Renyi = nil, nil
	}
	entry := func(run string, e accounting.Epsilon, delta accounting.Delta, given bool, outcome string) Entry {
		return Entry{
			Run: run, Dataset: "d", Scientist: "scientist", DataGiven: given, Outcome: outcome, ReservedUnixMS: 1_700_000_000_000,
			Price: Price{Cost: accounting.Cost{Epsilon: e, Delta: delta}, Charge: []byte("charge of " + run)},
		}
	}
	want := []Entry{
		entry("a", 2e9, 1666666666666, true, OutcomeCompleted), entry("b", 1e9, 833333333333, false, OutcomeReleased), entry("c", 1e9, 1000000000000, true, ""),
	}
	if !reflect.DeepEqual(got.Entries, want) {
		t.Errorf("got  %+v\nwant %+v", got.Entries, want)
	}
	if got.ID != "d" || got.Owner != "owner" || got.Limit != 5e9 || got.Delta != 1e13 || got.Spent != 3e9 || got.SpentDelta != 2666666666666 {
		t.Errorf("account %+v", got)
	}
}

// Builds before the first release wrote ledgers without signatures.
func TestAnUnsignedFileIsRefusedWithItsReason(t *testing.T) {
	content, err := os.ReadFile("testdata/unsigned.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, acknowledged := range []bool{true, false} {
		mark := &memoryMark{}
		if acknowledged {
			lines := bytes.SplitAfter(content, []byte("\n"))
			mark = &memoryMark{records: int64(len(lines) - 1), bytes: int64(len(content)), chain: chainOf(lines[len(lines)-2])}
		}
		_, err = openOn(&memoryDisk{content: content, exists: true, named: true}, mark)
		wantMisfit(t, err, 0, "were not signed")
	}
}

// On a real disk, with the mark where the server has it.
func TestOnDiskWithTheMarkInTheDatabase(t *testing.T) {
	dir := t.TempDir()
	store, err := storage.Open(t.Context(), dir, storage.File)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, store.LedgerMark(), testWriter())
	if err != nil {
		t.Fatal(err)
	}
	history(t, l)
	before := accountOf(t, l)
	if _, err := Open(dir, store.LedgerMark(), testWriter()); err == nil || !strings.Contains(err.Error(), "another process") {
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
	if store, err = storage.Open(t.Context(), dir, storage.File); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if l, err = Open(dir, store.LedgerMark(), testWriter()); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if after := accountOf(t, l); !reflect.DeepEqual(before, after) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
	must(t, charge(l, "next", 1))
}
