package fsck

import (
	"bytes"
	"testing"
)

// Whatever lies under the ledger's name and whatever was acknowledged: a check ends, with a finding or with a file that a server opens.
func FuzzCheckRawFile(f *testing.F) {
	h := newHouse(f)
	h.must(h.l.OpenAccount(dataset("d", 6e9)))
	h.completed("d", "a", shape{eps: 1, test: true})
	good, mark := h.content(), h.expected()
	f.Add(good, mark.Records, mark.Bytes, mark.Chain)
	f.Add(good[:len(good)-10], mark.Records-1, int64(0), []byte(nil))
	f.Add([]byte("\n\n"), int64(1), int64(1), []byte{1})
	f.Fuzz(func(t *testing.T, content []byte, records, size int64, chain []byte) {
		expected := Expected{Key: mark.Key, Marked: true, Records: records, Bytes: size, Chain: chain}
		checkEnds(t, content, expected)
		checkEnds(t, content, Expected{})
	})
}

// Bodies that are signed and chained, so that the fuzzer gets behind that.
func FuzzCheckBodies(f *testing.F) {
	f.Add(bytes.Join(bodiesOf(eventful(f).content()), []byte("\n")))
	f.Fuzz(func(t *testing.T, bodies []byte) {
		content, expected := chained(bytes.Split(bodies, []byte("\n")))
		checkEnds(t, content, expected)
	})
}

func checkEnds(t *testing.T, content []byte, expected Expected) {
	report := checked(t, content, expected)
	if report.Records < 0 || report.Bytes+report.Torn > int64(len(content)) {
		t.Fatalf("report %+v of %d bytes", report, len(content))
	}
	if expected.Marked && len(report.Findings) == 0 {
		if err := opens(t, content, expected); err != nil {
			t.Fatalf("no finding, and a start says %v", err)
		}
	}
}
