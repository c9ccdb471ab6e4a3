package receipt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// latestUnixMS is the last millisecond of the year 9999.
const latestUnixMS = 253402300799999

var (
	opening = []Type{Open, Join}
	orders  = []Type{Open, Join, Close}
	ofRuns  = []Type{Reserve, Data, Release, Settle}
	all     = []Type{Open, Join, Limit, Reserve, Data, Release, Settle, Freeze, Close}
)

// member is what is to be judged of one member of a body.
type member struct {
	name    string
	there   bool
	right   bool   // if it is there
	needed  []Type // with which it is never left out
	allowed []Type
}

// check says whether a body that was decoded holds what docs/receipts.md documents for its type, and no more.
func (b Body) check() error {
	if !slices.Contains(all, b.Type) {
		return fmt.Errorf("there is no receipt of type %.20q", b.Type)
	}
	for _, m := range b.members() {
		switch {
		case !m.there && slices.Contains(m.needed, b.Type):
			return fmt.Errorf("a receipt of type %s without %s", b.Type, m.name)
		case m.there && (!slices.Contains(m.allowed, b.Type) || !m.right):
			return fmt.Errorf("a receipt of type %s with such a member %s", b.Type, m.name)
		}
	}
	if (b.Prev == "") != (b.Seq == 1) {
		return fmt.Errorf("the receipt has number %d, and names another before it or none", b.Seq)
	}
	if b.Type == Reserve && (b.Epsilon > 0) == b.Infinite {
		return fmt.Errorf("a price is an epsilon or infinite")
	}
	return nil
}

func (b Body) members() []member {
	text := func(name, value string, needed, allowed []Type) member {
		return member{name, value != "", isText(value), needed, allowed}
	}
	hash := func(name, value string, needed, allowed []Type) member {
		return member{name, value != "", isHash(value), needed, allowed}
	}
	reserve, freeze, limit := []Type{Reserve}, []Type{Freeze}, []Type{Limit}
	return []member{
		{"at", true, b.UnixMS >= 0 && b.UnixMS <= latestUnixMS, all, all},
		text("account", b.Account, all, all),
		{"seq", true, b.Seq > 0, all, all},
		hash("prev", b.Prev, nil, all),
		text("boot", b.Boot, all, all), text("level", b.Level, all, all), text("release", b.Origin.Release, all, all),
		text("lease", b.Lease, nil, nil),
		text("dataset", b.Dataset, all, all), hash("owner", b.Owner, all, all),
		hash("scientist", b.Scientist, reserve, append(limit, ofRuns...)),
		{"limit", b.Limit != 0, b.Limit > 0, limit, append(limit, opening...)},
		{"delta", b.Delta != 0, b.Delta > 0, nil, opening},
		{"orders", len(b.Orders) > 0, !slices.ContainsFunc(b.Orders, func(order int64) bool { return order <= 0 }), nil, orders},
		{"declared", b.Declared != 0, b.Declared > 0, opening, opening},
		hash("blob", b.Blob, opening, opening), hash("rows", b.Rows, nil, opening), text("test_of", b.TestOf, nil, opening),
		{"accounts", len(b.Accounts) > 0, !slices.ContainsFunc(b.Accounts, func(id string) bool { return !isText(id) }), nil, []Type{Join}},
		text("run", b.Run, ofRuns, ofRuns),
		{"epsilon", b.Epsilon != 0, b.Epsilon > 0, nil, reserve},
		{"run_delta", b.RunDelta != 0, b.RunDelta > 0, nil, reserve},
		{"infinite", b.Infinite, true, nil, reserve},
		{"renyi", len(b.Renyi) > 0, !slices.ContainsFunc(b.Renyi, func(r accounting.Renyi) bool { return r < 0 }), nil, []Type{Join, Reserve, Settle, Close}},
		{"charge", len(b.Charge) > 0, true, reserve, reserve},
		{"outcome", b.Outcome != "", slices.Contains([]string{"completed", "failed", "cancelled"}, b.Outcome), []Type{Settle}, []Type{Settle}},
		text("reason", b.Reason, freeze, freeze), hash("presented", b.Presented, nil, freeze),
		{"after", true, b.After.Limit >= 0 && b.After.Delta >= 0 && b.After.Spent >= 0 && b.After.SpentDelta >= 0, all, all},
	}
}

// isText: printable ASCII without what one language's JSON escapes and another's does not.
func isText(value string) bool {
	for _, r := range value {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\<>&`, r) {
			return false
		}
	}
	return value != ""
}

func isHash(value string) bool {
	return len(value) == 64 && strings.Trim(value, "0123456789abcdef") == ""
}
