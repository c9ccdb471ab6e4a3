package fsck

import (
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// book is an account as fsck follows it.
type book struct {
	owner  string
	limit  accounting.Epsilon
	delta  accounting.Delta
	orders []int64
	sums   *sums
	runs   map[string]*run
	seq    int64
	head   string
	frozen bool
	heir   string
}

type run struct {
	m       receipt.Body // its charge
	renyi   []accounting.Renyi
	data    bool
	outcome string
}

// follow judges a movement by what came before it.
func (c *checker) follow(m receipt.Body, body []byte) {
	b := c.books[m.Account]
	if m.Type == receipt.Open {
		if b != nil || c.of[m.Dataset] != "" || m.Account != m.Dataset {
			c.finds(m.Account, "account", "the account is opened twice")
			return
		}
		b = &book{owner: m.Owner, limit: m.Limit, delta: m.Delta, orders: m.Orders, sums: newSums(len(m.Orders)), runs: map[string]*run{}}
		c.books[m.Account], c.of[m.Dataset] = b, m.Account
	}
	if b == nil || b.heir != "" {
		c.finds(m.Account, "account", "there is no such account")
		return
	}
	if m.Seq != b.seq+1 || m.Prev != b.head {
		c.finds(m.Account, "account", "it does not follow on the account's receipt %d", b.seq)
	}
	b.seq, b.head = m.Seq, receipt.HashText(body)
	if m.Owner != b.owner {
		c.finds(m.Account, "account", "it names another owner than the account's")
	}
	c.move(b, m)
	c.compare(b, m)
}

func (c *checker) move(b *book, m receipt.Body) {
	switch m.Type {
	case receipt.Open:
	case receipt.Join:
		c.join(b, m)
	case receipt.Limit:
		c.limit(b, m)
	case receipt.Reserve:
		c.reserve(b, m)
	case receipt.Data, receipt.Release, receipt.Settle:
		c.about(b, m)
	case receipt.Freeze:
		b.frozen = true
	default:
		c.finds(m.Account, "form", "there is no movement %q", m.Type)
	}
}

func (c *checker) limit(b *book, m receipt.Body) {
	if m.Scientist != "" {
		return // the owner's choice, which no promise to records rests on
	}
	if m.Limit <= 0 || (b.limit != 0 && m.Limit >= b.limit) {
		c.finds(m.Account, "limit", "a limit that is not lower than the one before")
	}
	b.limit = m.Limit
}

func (c *checker) reserve(b *book, m receipt.Body) {
	if b.runs[m.Run] != nil || b.frozen {
		c.finds(m.Account, "charge", "run %s is charged twice, or on a frozen account", m.Run)
	}
	r := &run{m: m, renyi: m.Renyi}
	b.runs[m.Run] = r
	b.sums.add(r, 1)
	c.charges = append(c.charges, charged{c.at, b, r})
	if b.limit != 0 && (b.sums.infinite > 0 || !b.sums.admitted(b)) {
		c.finds(m.Account, "limit", "run %s was charged though no filter admits it", m.Run)
	}
}

func (c *checker) about(b *book, m receipt.Body) {
	r := b.runs[m.Run]
	switch {
	case r == nil || r.outcome != "":
		c.finds(m.Account, "run", "run %s has no charge, or has ended", m.Run)
		return
	case m.Type == receipt.Data && r.data, m.Type == receipt.Release && r.data, m.Type == receipt.Settle && !r.data:
		c.finds(m.Account, "run", "run %s: %s at a time when it cannot be", m.Run, m.Type)
	}
	switch m.Type {
	case receipt.Data:
		r.data = true
	case receipt.Release:
		r.outcome = "released"
		b.sums.add(r, -1)
	default:
		r.outcome = m.Outcome
		if len(m.Renyi) > 0 {
			c.settledInPart(b, m, r)
		}
	}
}

func (c *checker) settledInPart(b *book, m receipt.Body, r *run) {
	if m.Outcome != "cancelled" || len(m.Renyi) != len(r.renyi) {
		c.finds(m.Account, "run", "run %s is settled to a part and was not cancelled", m.Run)
		return
	}
	for i := range m.Renyi {
		if m.Renyi[i] > r.renyi[i] {
			c.finds(m.Account, "run", "run %s is settled to more than it was charged", m.Run)
		}
	}
	b.sums.draw(r.renyi, -1)
	r.renyi = m.Renyi
	b.sums.draw(r.renyi, 1)
}

func (c *checker) join(b *book, m receipt.Body) {
	if c.of[m.Dataset] != "" || !slices.Equal(m.Orders, b.orders) || m.Delta > b.delta || (b.limit != 0 && (m.Limit == 0 || m.Limit > b.limit)) {
		c.finds(m.Account, "join", "a joining that loosens the account, or of a dataset that has one")
	}
	j := joining{record: c.at, account: m.Account, orders: m.Orders, drawn: m.Renyi}
	for _, id := range m.Accounts {
		other := c.books[id]
		if other == nil || other == b || other.heir != "" || other.owner != b.owner {
			c.finds(m.Account, "join", "account %s cannot be joined", id)
			continue
		}
		if m.Delta > other.delta || (other.limit != 0 && (m.Limit == 0 || m.Limit > other.limit)) {
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

// inherit moves an account's runs. What they draw at the heir's orders is in the joining, and is recomputed here.
func (c *checker) inherit(b, other *book, m receipt.Body) (charges [][]byte) {
	b.frozen = b.frozen || other.frozen
	for id, r := range other.runs {
		r.renyi = nil
		if b.runs[id] != nil {
			c.finds(m.Account, "join", "both accounts charge run %s", id)
		}
		b.runs[id] = r
		if r.outcome != "released" {
			b.sums.add(r, 1)
			charges = append(charges, r.m.Charge)
		}
	}
	return charges
}

// compare holds the sums that a receipt tells against those added up here.
func (c *checker) compare(b *book, m receipt.Body) {
	after := receipt.After{
		Limit: b.limit, Delta: b.delta, Spent: accounting.Epsilon(capped(b.sums.epsilon)), SpentDelta: accounting.Delta(capped(b.sums.delta)),
		Infinite: b.sums.infinite > 0, Frozen: b.frozen,
	}
	if m.After != after {
		c.finds(m.Account, "sums", "it tells %+v, added up are %+v", m.After, after)
	}
}
