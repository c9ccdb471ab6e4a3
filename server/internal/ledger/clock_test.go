package ledger

import (
	"testing"
	"time"
)

// Whatever the clock says when a movement is made, it can be read again: the numbers order movements, not the times.
func TestAClockThatJumpsMakesNoLedgerThatDoesNotOpen(t *testing.T) {
	l, disk, mark := newLedger(t)
	openAccount(t, l, 6)
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
}
