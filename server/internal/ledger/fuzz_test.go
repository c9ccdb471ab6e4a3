package ledger

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// Whatever lies under the ledger's name, opening it ends well or says which record does not fit; what opens is within its limits and
// opens again the same.
func FuzzRawFile(f *testing.F) {
	first, err := os.ReadFile("testdata/first.log")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first, int64(len(first)))
	f.Add(first, int64(0))
	f.Add(first[:400], int64(0))
	f.Add([]byte("\n\n"), int64(1))
	f.Fuzz(func(t *testing.T, content []byte, acknowledged int64) {
		mark := &memoryMark{}
		if acknowledged > 0 && acknowledged <= int64(len(content)) && acknowledged > chainDigits {
			lines := bytes.SplitAfter(content[:acknowledged], []byte("\n"))
			last := lines[max(len(lines)-2, 0)]
			if len(last) > chainDigits {
				mark = &memoryMark{records: int64(max(len(lines)-1, 1)), bytes: acknowledged, chain: make([]byte, 32)}
				_, _ = hexInto(mark.chain, last[:chainDigits])
			}
		}
		checkOpening(t, &memoryDisk{content: bytes.Clone(content), exists: true, named: true}, mark)
	})
}

// Bodies with right checksums, so that the fuzzer gets behind them.
func FuzzBodies(f *testing.F) {
	l, disk, _ := newLedger(f)
	history(f, l)
	must(f, opened(l, "e", "owner", 0, testDelta, 10), reserveWithoutNoise(l, "e", "n"), l.LimitScientist("e", "s", 1))
	must(f, l.JoinAccounts(Dataset{ID: "j", Owner: "owner", Delta: testDelta, Declared: 10}, []string{"d", "e"}, priceNothing))
	f.Add(strings.Join(bodiesOf(disk.content), "\n"))
	f.Fuzz(func(t *testing.T, bodies string) {
		content, mark := chained(strings.Split(bodies, "\n"))
		checkOpening(t, &memoryDisk{content: content, exists: true, named: true}, mark)
	})
}

func checkOpening(t *testing.T, disk *memoryDisk, mark *memoryMark) {
	l, err := openOn(disk, mark)
	var misfit *IntegrityError
	if err != nil {
		if !errors.As(err, &misfit) {
			t.Fatalf("an error without a record: %v", err)
		}
		return
	}
	for id, a := range l.books.accounts {
		if a.heir != "" {
			continue
		}
		if a.Spent < 0 || a.SpentDelta < 0 || (a.Limit > 0 && a.Remaining() < 0) {
			t.Fatalf("account %q: %+v", id, a.Account)
		}
		if again, err := l.Account(id); err != nil || !reflect.DeepEqual(again.Entries, append([]Entry(nil), a.Entries...)) {
			t.Fatalf("account %q is shown otherwise: %v", id, err)
		}
	}
	again, err := openOn(disk, mark)
	if err != nil {
		t.Fatalf("opens once, and then: %v", err)
	}
	if !reflect.DeepEqual(l.books, again.books) || again.Opening().Adopted || again.Opening().DroppedBytes != 0 {
		t.Fatal("opens otherwise the second time")
	}
}

func priceNothing(_ []byte, orders []int64) ([]accounting.Renyi, error) {
	return make([]accounting.Renyi, len(orders)), nil
}

func hexInto(into, digits []byte) (int, error) {
	for i := range into {
		into[i] = nibble(digits[2*i])<<4 | nibble(digits[2*i+1])
	}
	return len(into), nil
}

func nibble(digit byte) byte {
	if digit >= 'a' {
		return digit - 'a' + 10
	}
	return digit - '0'
}
