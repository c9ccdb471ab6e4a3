package fsck

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// opens says whether a server starts on a file and a mark.
func opens(t testing.TB, content []byte, expected Expected) error {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ledger.FileName), content, 0o600); err != nil {
		t.Fatal(err)
	}
	mark := &memoryMark{records: expected.Records, bytes: expected.Bytes, chain: slices.Clone(expected.Chain)}
	if len(mark.chain) > 0 { // as the ledger's key would have sealed it: whether it did is judged by who has the key
		mark.chain = ledger.Seal(testKey(), mark.records, mark.bytes, mark.chain[:min(len(mark.chain), 32)])
	}
	l, err := ledger.Open(dir, mark, ledger.Writer{Key: testKey(), Origin: receipt.Origin{Boot: "boot", Level: "file", Release: "1.0.0"}})
	if err != nil {
		return err
	}
	return l.Close()
}

// What a crash leaves is no finding; what it cannot leave is one. A server that is started on the file judges the same.
func TestARawFileIsJudgedAsAStartJudgesIt(t *testing.T) {
	h := eventful(t)
	good, mark := h.content(), h.expected()
	lines := bytes.SplitAfter(good, []byte("\n"))
	lines = lines[:len(lines)-1]
	before := func(n int) Expected { // what was acknowledged n records ago
		kept := bytes.Join(lines[:len(lines)-n], nil)
		_, expected := chained(bodiesOf(kept))
		return expected
	}
	with := func(tail string) []byte { return append(bytes.Clone(good), tail...) }
	other := eventful(t)
	other.must(other.l.OpenAccount(dataset("other", 0)))
	otherKey := mark
	otherKey.Key = make(ed25519.PublicKey, ed25519.PublicKeySize)
	looseSignature := bytes.Clone(good)
	looseSignature[hexDigits+1+85]++ // of its last digit two bits are no part of a signature
	cases := map[string]struct {
		content      []byte
		expected     Expected
		check, words string // empty: no finding
		torn         int64
	}{
		"whole":                                         {good, mark, "", "", 0},
		"empty, and nothing acknowledged":               {nil, Expected{Key: mark.Key, Marked: true}, "", "", 0},
		"empty":                                         {nil, mark, "chain", "the file is empty", 0},
		"empty, and no mark known":                      {nil, Expected{}, "chain", "the file is empty", 0},
		"torn beyond what was acknowledged":             {with("1234"), mark, "", "", 4},
		"torn, and its newline is there":                {with(strings.Repeat("\x00", 300) + "\n"), mark, "", "", 301},
		"torn first record":                             {good[:100], Expected{Key: mark.Key, Marked: true}, "", "", 100},
		"torn within what was acknowledged":             {good[:len(good)-20], mark, "chain", "cut within what was acknowledged", int64(len(lines[len(lines)-1])) - 20},
		"one record not acknowledged":                   {good, before(1), "", "", 0},
		"one record not acknowledged, and a torn one":   {with("1234"), before(1), "mark", "a crash leaves one more at most", 4},
		"two records not acknowledged":                  {good, before(2), "mark", "a crash leaves one more at most", 0},
		"no mark in the database":                       {good, Expected{Key: mark.Key, Marked: true}, "mark", "a crash leaves one more at most", 0},
		"rubbish beyond what was acknowledged":          {with("a\nb\n"), mark, "chain", "more than the rest of one record", 2},
		"rubbish of one line, and the beginning of one": {with("a\nb"), mark, "chain", "more than the rest of one record", 2},
		"an endless line":                               {with(strings.Repeat("a", maxLine+1)), mark, "chain", "a line of more than", 0},
		"the last record cut off":                       {good[:len(good)-len(lines[len(lines)-1])], mark, "mark", "it was cut or put back from an older copy", 0},
		"the mark of another directory":                 {good, other.expected(), "mark", "put back from an older copy", 0},
		"the file of another directory":                 {other.content(), mark, "mark", "do not belong together", 0},
		"a mark with another checksum":                  {good, Expected{Key: mark.Key, Marked: true, Records: mark.Records, Bytes: mark.Bytes, Chain: make([]byte, 32)}, "mark", "do not belong together", 0},
		"a mark with another length":                    {good, Expected{Key: mark.Key, Marked: true, Records: mark.Records, Bytes: mark.Bytes - 1, Chain: mark.Chain}, "mark", "do not belong together", 0},
		"a mark of bytes without records":               {nil, Expected{Key: mark.Key, Marked: true, Bytes: 1}, "mark", "is damaged", 0},
		"a mark without a checksum":                     {good, Expected{Key: mark.Key, Marked: true, Records: mark.Records, Bytes: mark.Bytes}, "mark", "is damaged", 0},
		"a mark of less than nothing":                   {[]byte("torn"), Expected{Key: mark.Key, Marked: true, Records: -1, Bytes: -1, Chain: mark.Chain}, "mark", "is damaged", 4},
		"a signature written otherwise":                 {looseSignature, mark, "chain", "its checksum does not fit", 0},
		"the file of another key":                       {good, otherKey, "key", "another key", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			report := checked(t, c.content, c.expected)
			if c.check == "" {
				wantNone(t, report)
			} else {
				wantCheck(t, report, c.check, c.words)
			}
			if report.Torn != c.torn {
				t.Errorf("%d bytes are torn, want %d", report.Torn, c.torn)
			}
			if !c.expected.Marked || c.check == "key" {
				return // a start knows both
			}
			if err := opens(t, c.content, c.expected); (err == nil) != (c.check == "") {
				t.Errorf("a start says %v", err)
			}
		})
	}
}

// While a server writes, more may be acknowledged after the mark was read than before.
func TestWhatAServerWritesMeanwhileIsNoFinding(t *testing.T) {
	h := newHouse(t)
	h.must(h.l.OpenAccount(dataset("d", 6e9)))
	expected := h.expected()
	for i := range 5 {
		h.must(h.l.LowerLimit("d", 5e9-accounting.Epsilon(i)))
	}
	content := h.content()
	wantCheck(t, checked(t, content, expected), "mark", "a crash leaves one more at most")
	for newest, fits := range map[int64]bool{h.mark.records: true, h.mark.records - 1: true, h.mark.records - 2: false} {
		expected.Newest = newest
		if report := checked(t, content, expected); (len(report.Findings) == 0) != fits {
			t.Errorf("%d of %d acknowledged: %+v", newest, h.mark.records, report.Findings)
		}
	}
}

func TestADiskThatCannotBeReadIsAnError(t *testing.T) {
	broken := errors.New("the disk failed")
	if _, err := Check(io.MultiReader(strings.NewReader("ab"), failing{broken}), Expected{}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := Read(failing{broken}, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestReadTellsAllMovementsUpToTheFirstThatDoesNotFit(t *testing.T) {
	h := eventful(t)
	told := 0
	tell := func([]byte, receipt.Body) { told++ }
	if err := Read(bytes.NewReader(append(h.content(), "torn"...)), tell); err != nil || told != freezeF+1 {
		t.Errorf("told %d, %v", told, err)
	}
	lines := bytes.SplitAfter(h.content(), []byte("\n"))
	told = 0
	err := Read(bytes.NewReader(bytes.Join(slices.Delete(lines, 3, 4), nil)), tell)
	if err == nil || told != 2 || !strings.Contains(err.Error(), "record 3 of the ledger") {
		t.Errorf("told %d, %v", told, err)
	}
}
