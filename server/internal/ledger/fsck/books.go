package fsck

import (
	"math/big"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// book is an account as fsck follows it.
type book struct {
	owner      string
	limit      accounting.Epsilon
	delta      accounting.Delta
	orders     []int64
	sums       *sums
	runs       map[string]*run
	scientists map[string]accounting.Epsilon // the limits of some
	by         map[string]*big.Int           // what each scientist's runs draw
	seq        int64
	head       string
	frozen     bool
	heir       string
	closed     bool
}

// What the form allows.
const (
	longestID     = 128
	longestReason = 512
	mostOrders    = 16
)

// follow judges a movement by what came before it.
func (c *checker) follow(m receipt.Body, body []byte) {
	b := c.books[m.Account]
	if m.Type == receipt.Open {
		if b != nil || c.of[m.Dataset] != "" || m.Account != m.Dataset {
			c.finds(m.Account, "account", "the account is opened twice")
			return
		}
		b = &book{
			owner: m.Owner, limit: m.Limit, delta: m.Delta, orders: m.Orders,
			sums: newSums(len(m.Orders)), runs: map[string]*run{}, scientists: map[string]accounting.Epsilon{}, by: map[string]*big.Int{},
		}
		c.books[m.Account], c.of[m.Dataset] = b, m.Account
	}
	if b == nil || b.heir != "" {
		c.finds(m.Account, "account", "there is no such account")
		return
	}
	if m.Seq != b.seq+1 || m.Prev != b.head {
		c.finds(m.Account, "account", "it does not follow on the account's receipt %d", b.seq)
	}
	if b.closed {
		c.finds(m.Account, "account", "it follows on the account's close, on which nothing follows")
	}
	b.seq, b.head = m.Seq, receipt.HashText(body)
	if m.Owner != b.owner {
		c.finds(m.Account, "account", "it names another owner than the account's")
	}
	if slices.ContainsFunc([]string{m.Dataset, m.Owner, m.Scientist, m.TestOf, m.Run}, func(id string) bool { return len(id) > longestID }) {
		c.finds(m.Account, "form", "an identifier of more than %d bytes", longestID)
	}
	c.move(b, m)
	c.compare(b, m)
}

func (c *checker) move(b *book, m receipt.Body) {
	switch m.Type {
	case receipt.Open:
		c.terms(m)
	case receipt.Join:
		c.terms(m)
		c.join(b, m)
	case receipt.Limit:
		c.elsewhere(m)
		c.limit(b, m)
	case receipt.Reserve:
		c.elsewhere(m)
		c.reserve(b, m)
	case receipt.Data, receipt.Release, receipt.Settle:
		c.about(b, m)
	case receipt.Freeze:
		c.freeze(b, m)
	case receipt.Close:
		c.close(b, m)
	default:
		c.finds(m.Account, "form", "there is no movement %q", m.Type)
	}
}

// terms judges what an account promises.
func (c *checker) terms(m receipt.Body) {
	wrong := m.Dataset == "" || m.Limit < 0 || m.Declared <= 0 || len(m.Orders) == 0 || len(m.Orders) > mostOrders
	for _, order := range m.Orders {
		wrong = wrong || order < 2
	}
	for _, digest := range []string{m.Blob, m.Rows} {
		wrong = wrong || !isHex(digest)
	}
	if wrong || accounting.CheckDelta(m.Delta, m.Declared) != nil {
		c.finds(m.Account, "account", "it has terms that there cannot be: limit %s, delta %s, %d declared, orders %v", m.Limit, m.Delta, m.Declared, m.Orders)
	}
}

func (c *checker) elsewhere(m receipt.Body) {
	if c.of[m.Dataset] != m.Account {
		c.finds(m.Account, "account", "dataset %s draws on another account", m.Dataset)
	}
}

func (c *checker) limit(b *book, m receipt.Body) {
	before := b.limit
	if m.Scientist != "" {
		before = b.scientists[m.Scientist]
	}
	if m.Limit <= 0 || (before != 0 && m.Limit >= before) {
		c.finds(m.Account, "limit", "a limit that is not lower than the one before")
	}
	if m.Scientist == "" {
		b.limit = m.Limit
	} else {
		b.scientists[m.Scientist] = m.Limit
	}
}

func (c *checker) freeze(b *book, m receipt.Body) {
	if b.frozen || m.Reason == "" || len(m.Reason) > longestReason {
		c.finds(m.Account, "account", "it is frozen twice, or for no reason")
	}
	b.frozen = true
}

// close judges the last movement of an account, which tells what was drawn at every order.
func (c *checker) close(b *book, m receipt.Body) {
	for id, r := range b.runs {
		if r.outcome == "" {
			c.finds(m.Account, "run", "the account is closed while run %s is under way", id)
		}
	}
	drawn := make([]accounting.Renyi, len(b.orders))
	for i := range drawn {
		drawn[i] = accounting.Renyi(capped(b.sums.renyi[i]))
	}
	if !slices.Equal(m.Orders, b.orders) || !slices.Equal(m.Renyi, drawn) {
		c.finds(m.Account, "sums", "the close tells %v at the orders %v, added up are %v at %v", m.Renyi, m.Orders, drawn, b.orders)
	}
	b.closed = true
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
