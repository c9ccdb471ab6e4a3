package ledger

import (
	"strings"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// Whatever the clock says when a movement is made, the ledger opens and its receipt holds: the numbers order movements, not the times.
func TestAClockThatJumpsMakesNoReceiptThatNobodyTakes(t *testing.T) {
	l, disk, mark := newLedger(t)
	must(t, l.OpenAccount(Dataset{ID: "d", Owner: strings.Repeat("0", 64), Limit: eps(t, 6), Delta: testDelta, Declared: testDeclared, BlobHMAC: make([]byte, 32)}))
	limit := eps(t, 5.9)
	for _, now := range []time.Time{
		time.Now().AddDate(30, 0, 0), time.Now().AddDate(-30, 0, 0), time.Unix(0, 0), time.Unix(-1_000_000, 0),
		time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Now(),
	} {
		l.now = func() time.Time { return now }
		must(t, l.LowerLimit("d", limit))
		limit--
		must(t, l.Close())
		if l = reopened(t, disk, mark); accountOf(t, l).Limit != limit+1 {
			t.Errorf("after %s the limit is %s", now, accountOf(t, l).Limit)
		}
	}
	receipts, err := l.Receipts("d", 0, 100)
	must(t, err)
	for i, each := range receipts {
		file, err := each.File()
		must(t, err)
		if _, err := receipt.Verify(file, nil, func(receipt.Body) error { return nil }); err != nil {
			t.Errorf("receipt %d: %v: %s", i+1, err, each.Body)
		}
	}
}
