package fsck

import (
	"math"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// joining is what joined accounts brought along, and the charges that it must cover.
type joining struct {
	record  int64
	account string
	orders  []int64
	drawn   []accounting.Renyi
	charges [][]byte
}

func (c *checker) join(b *book, m receipt.Body) {
	if c.of[m.Dataset] != "" || !slices.Equal(m.Orders, b.orders) || looser(m, b) {
		c.finds(m.Account, "join", "a joining that loosens the account, or of a dataset that has one")
	}
	if (len(m.Accounts) == 0) != (len(m.Renyi) == 0) || (len(m.Renyi) != 0 && len(m.Renyi) != len(b.orders)) || negative(m.Renyi) {
		c.finds(m.Account, "join", "what was carried over is not what accounts can draw")
	}
	j := joining{record: c.at, account: m.Account, orders: m.Orders, drawn: m.Renyi}
	for _, id := range m.Accounts {
		other := c.books[id]
		if other == nil || other == b || other.heir != "" || other.closed || other.owner != b.owner {
			c.finds(m.Account, "join", "account %s cannot be joined", id)
			continue
		}
		if looser(m, other) {
			c.finds(m.Account, "join", "a joining that loosens account %s", id)
		}
		j.charges = append(j.charges, c.inherit(b, other, m)...)
		other.heir = m.Account
		for dataset, account := range c.of {
			if account == id {
				c.of[dataset] = m.Account
			}
		}
	}
	c.joinings = append(c.joinings, j)
	b.sums.draw(m.Renyi, 1)
	b.limit, b.delta = m.Limit, m.Delta
	c.of[m.Dataset] = m.Account
}

// looser says whether a joining promises less than an account did.
func looser(m receipt.Body, b *book) bool {
	return m.Delta > b.delta || (b.limit != 0 && (m.Limit == 0 || m.Limit > b.limit))
}

// inherit moves an account's runs. What they draw at the heir's orders is in the joining, and is recomputed here.
func (c *checker) inherit(b, other *book, m receipt.Body) (charges [][]byte) {
	b.frozen = b.frozen || other.frozen
	for id, r := range other.runs {
		r.renyi = nil
		if b.runs[id] != nil {
			c.finds(m.Account, "join", "both accounts charge run %s", id)
		}
		b.runs[id] = r
		if r.outcome != released {
			b.count(r, 1)
			charges = append(charges, r.m.Charge)
		}
	}
	for scientist, limit := range other.scientists {
		if known, ok := b.scientists[scientist]; !ok || limit < known {
			b.scientists[scientist] = limit
		}
	}
	return charges
}

func (c *checker) recomputeJoining(j joining) {
	for i, order := range j.orders {
		total := 0.0
		for _, encoded := range j.charges {
			charge, err := decode(encoded)
			if err != nil {
				total = math.Inf(1)
				continue
			}
			drawn, err := accounting.RenyiOf(stepsOf(charge), []int64{order})
			if charge.GetPrivate() && err == nil {
				total += float64(drawn[0])
			}
		}
		if len(j.charges) > 0 && (i >= len(j.drawn) || (total*(1-1e-9) > float64(j.drawn[i]) && j.drawn[i] < accounting.MaxRenyi)) {
			c.finds(j.account, "join", "what joined accounts draw at order %d is more than was carried over", order)
		}
	}
}
