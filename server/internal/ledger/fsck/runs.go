package fsck

import (
	"math/big"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

type run struct {
	m       receipt.Body // its charge
	renyi   []accounting.Renyi
	data    bool
	outcome string
}

func (c *checker) reserve(b *book, m receipt.Body) {
	if b.runs[m.Run] != nil || b.frozen {
		c.finds(m.Account, "charge", "run %s is charged twice, or on a frozen account", m.Run)
	}
	none := m.Epsilon == 0 && m.RunDelta == 0 && len(m.Renyi) == 0
	if m.Run == "" || m.Epsilon < 0 || m.RunDelta < 0 || negative(m.Renyi) || m.Infinite != none || (m.Epsilon == 0) != none {
		c.finds(m.Account, "charge", "run %s has a negative charge, or none, or one besides being without noise", m.Run)
	}
	r := &run{m: m, renyi: m.Renyi}
	b.runs[m.Run] = r
	b.count(r, 1)
	c.charges = append(c.charges, charged{c.at, b, r})
	if b.limit != 0 && (b.sums.infinite > 0 || !b.sums.admitted(b)) {
		c.finds(m.Account, "limit", "run %s was charged though no filter admits it", m.Run)
	}
	c.ofScientist(b, m)
}

// count adds a run up, or with a sign of -1 takes it out again.
func (b *book) count(r *run, sign int64) {
	b.sums.add(r, sign)
	if b.by[r.m.Scientist] == nil {
		b.by[r.m.Scientist] = new(big.Int)
	}
	addTo(b.by[r.m.Scientist], sign, int64(r.m.Epsilon))
}

// overLimit says whether more is charged than a limit allows, that of the account or that of the scientist.
func (b *book) overLimit(scientist string) bool {
	if b.limit != 0 && (b.sums.infinite > 0 || !b.sums.admitted(b)) {
		return true
	}
	limit, limited := b.scientists[scientist]
	by := b.by[scientist]
	return limited && by != nil && by.Cmp(big.NewInt(int64(limit))) > 0
}

// ofScientist holds a scientist's runs to the limit that the owner set for them.
func (c *checker) ofScientist(b *book, m receipt.Body) {
	limit, limited := b.scientists[m.Scientist]
	if !limited {
		return
	}
	if m.Infinite || b.by[m.Scientist].Cmp(big.NewInt(int64(limit))) > 0 {
		c.finds(m.Account, "limit", "run %s was charged over its scientist's limit of %s", m.Run, limit)
	}
}

func negative(costs []accounting.Renyi) bool {
	return slices.ContainsFunc(costs, func(cost accounting.Renyi) bool { return cost < 0 })
}

const released = "released"

// about judges what is said of a run that was charged.
func (c *checker) about(b *book, m receipt.Body) {
	r := b.runs[m.Run]
	switch {
	case r == nil || r.outcome != "" || r.m.Dataset != m.Dataset:
		c.finds(m.Account, "run", "run %s has no charge, or has ended", m.Run)
		return
	case m.Type == receipt.Data && r.data, m.Type == receipt.Release && r.data, m.Type == receipt.Settle && !r.data:
		c.finds(m.Account, "run", "run %s: %s at a time when it cannot be", m.Run, m.Type)
	}
	switch m.Type {
	case receipt.Data:
		if b.frozen || b.overLimit(r.m.Scientist) {
			c.finds(m.Account, "limit", "run %s was given data past a limit, or on a frozen account", m.Run)
		}
		r.data = true
	case receipt.Release:
		r.outcome = released
		b.count(r, -1)
	default:
		c.settle(b, m, r)
	}
}

func (c *checker) settle(b *book, m receipt.Body, r *run) {
	if !slices.Contains([]string{"completed", "failed", "cancelled"}, m.Outcome) {
		c.finds(m.Account, "run", "run %s is settled with the outcome %q", m.Run, m.Outcome)
	}
	r.outcome = "settled"
	if len(m.Renyi) == 0 {
		return
	}
	if m.Outcome != "cancelled" || len(m.Renyi) != len(r.renyi) {
		c.finds(m.Account, "run", "run %s is settled to a part and was not cancelled", m.Run)
		return
	}
	for i := range m.Renyi {
		if m.Renyi[i] > r.renyi[i] || m.Renyi[i] < 0 {
			c.finds(m.Account, "run", "run %s is settled to more than it was charged, or to less than nothing", m.Run)
		}
	}
	b.sums.draw(r.renyi, -1)
	r.renyi = m.Renyi
	b.sums.draw(r.renyi, 1)
}
