package ledger

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

const manyRuns = 10_000

// longPrice is a price with a charge as long as that of a training run, at all orders of the account.
func longPrice(t testing.TB, l *Ledger) Price {
	a, err := l.Account("d")
	must(t, err)
	return Price{
		Cost:   accounting.Cost{Epsilon: 1e6, Delta: 1, Renyi: slices.Repeat([]accounting.Renyi{123_456_789}, len(a.Orders))},
		Orders: a.Orders,
		Charge: bytes.Repeat([]byte("charge...."), 20),
	}
}

// many is a ledger of so many runs on one dataset, each from its charge to its end.
func many(t testing.TB) (*Ledger, *memoryDisk, *memoryMark) {
	t.Helper()
	l, disk, mark := newLedger(t)
	openAccount(t, l, 1e5)
	must(t, l.LimitScientist("d", "scientist", 1e13))
	price := longPrice(t, l)
	for i := range manyRuns {
		run := runName(i)
		must(t, l.Reserve("d", run, "scientist", price), l.DataGiven("d", run), l.Settle("d", run, OutcomeCompleted))
	}
	return l, disk, mark
}

// What a server does at its start and what a scientist waits for stay short on a dataset that was used for years. The time is the
// processor's, so that a busy machine does not fail it.
func TestTenThousandRunsOpenWithinASecondAndTheNextIsAdmittedAtOnce(t *testing.T) {
	if raceDetected {
		t.Skip("the race detector makes everything ten times slower")
	}
	_, disk, mark := many(t)
	opening, admission := time.Hour, time.Hour
	for try := range 3 {
		start := processorTime(t)
		l := reopened(t, disk, mark)
		opening = min(opening, processorTime(t)-start)
		price := longPrice(t, l)
		start = processorTime(t)
		must(t, l.Reserve("d", "next"+runName(try), "scientist", price))
		admission = min(admission, processorTime(t)-start)
	}
	t.Logf("opening %v, admission %v, %d bytes", opening, admission, len(disk.content))
	if opening > time.Second {
		t.Errorf("opening took %v", opening)
	}
	if admission > 50*time.Millisecond {
		t.Errorf("admission took %v", admission)
	}
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func BenchmarkOpenTenThousandRuns(b *testing.B) {
	_, disk, mark := many(b)
	b.ResetTimer()
	for b.Loop() {
		reopened(b, disk, mark)
	}
}

// BenchmarkCharges is how many charges a second the server takes: on a real disk, each synced, and its mark in the database too.
func BenchmarkCharges(b *testing.B) {
	for name, whole := range map[string]bool{"reserve": false, "reserve, data and settle": true} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			store, err := storage.Open(b.Context(), dir, storage.File)
			must(b, err)
			defer store.Close()
			l, err := Open(dir, store.LedgerMark(), testWriter())
			must(b, err)
			defer l.Close()
			openAccount(b, l, 1e6)
			price := longPrice(b, l)
			i := 0
			for b.Loop() {
				run := runName(i)
				must(b, l.Reserve("d", run, "scientist", price))
				if whole {
					must(b, l.DataGiven("d", run), l.Settle("d", run, OutcomeCompleted))
				}
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "charges/s")
		})
	}
}
