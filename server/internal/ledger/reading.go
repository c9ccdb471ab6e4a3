package ledger

import (
	"cmp"
	"slices"
)

// Account returns a dataset's account as it is now, also that of a deleted dataset.
func (l *Ledger) Account(dataset string) (Account, error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	a, ok := l.books.accounts[dataset]
	if !ok {
		return Account{}, noAccount()
	}
	copied := a.Account
	copied.Entries = slices.Clone(a.Entries)
	return copied, nil
}

// Run names a run under way.
type Run struct {
	Dataset, Run string
	DataGiven    bool
}

// Unsettled lists the runs that have neither been released nor settled. At a start they belong to a server that died: those without data
// are to be released, those with it settled as failed.
func (l *Ledger) Unsettled() []Run {
	l.reading.RLock()
	defer l.reading.RUnlock()
	runs := make([]Run, 0, len(l.books.open))
	for key := range l.books.open {
		a := l.books.accounts[key.dataset]
		runs = append(runs, Run{Dataset: key.dataset, Run: key.run, DataGiven: a.Entries[a.byRun[key.run]].DataGiven})
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Run, b.Run)) })
	return runs
}
