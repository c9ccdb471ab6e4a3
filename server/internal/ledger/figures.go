package ledger

// Figures is what can be said of a ledger without opening an account.
type Figures struct {
	Accounts, Frozen int
	Broken           bool // it takes nothing more until it was opened again
}

// Figures counts. It does not wait for the disk.
func (l *Ledger) Figures() Figures {
	f := Figures{Broken: l.journal.failed.Load()}
	l.reading.RLock()
	defer l.reading.RUnlock()
	seen := map[string]bool{} // an account that joined others goes by one name
	for _, id := range l.books.of {
		if seen[id] {
			continue
		}
		seen[id] = true
		f.Accounts++
		if l.books.accounts[id].Frozen != "" {
			f.Frozen++
		}
	}
	return f
}
