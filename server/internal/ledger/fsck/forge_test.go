package fsck

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// movementsOf are a file's movements, without its own record.
func movementsOf(t testing.TB, content []byte) (movements []receipt.Body) {
	t.Helper()
	for _, body := range bodiesOf(content)[1:] {
		m, err := receipt.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		movements = append(movements, m)
	}
	return movements
}

// forge writes movements anew, as somebody can who has the key: numbered, with the sums that they come to, and signed.
func (h *house) forge(movements []receipt.Body) Report {
	h.t.Helper()
	content, expected := h.forged(movements, true)
	return checked(h.t, content, expected)
}

func (h *house) forged(movements []receipt.Body, consistent bool) ([]byte, Expected) {
	h.t.Helper()
	bodies := bodiesOf(h.content())[:1]
	seq, head := map[string]int64{}, map[string]string{}
	for i, m := range movements {
		if consistent {
			seq[m.Account]++
			m.Seq, m.Prev = seq[m.Account], head[m.Account]
			m.After = sumsOf(movements[:i+1], m.Account).after
		}
		body, err := m.Encode()
		h.must(err)
		head[m.Account] = receipt.HashText(body)
		bodies = append(bodies, body)
	}
	return chained(bodies)
}

// price is what repriced changes, in a movement and in the charge that it holds.
type price struct {
	epsilon accounting.Epsilon
	delta   accounting.Delta
	renyi   []accounting.Renyi
}

func repriced(t testing.TB, m *receipt.Body, change func(*price)) {
	t.Helper()
	p := price{m.Epsilon, m.RunDelta, slices.Clone(m.Renyi)}
	change(&p)
	m.Epsilon, m.RunDelta, m.Renyi = p.epsilon, p.delta, p.renyi
	authorised(t, m, func(charge *bastionlabv1.Charge) {
		charge.EpsilonNano, charge.DeltaAtto = int64(p.epsilon), int64(p.delta)
		for i := range charge.Renyi {
			charge.Renyi[i].Pico = int64(p.renyi[i])
		}
	})
}

// authorised changes the charge only.
func authorised(t testing.TB, m *receipt.Body, change func(*bastionlabv1.Charge)) {
	t.Helper()
	charge := &bastionlabv1.Charge{}
	if err := proto.Unmarshal(m.Charge, charge); err != nil {
		t.Fatal(err)
	}
	change(charge)
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(charge)
	if err != nil {
		t.Fatal(err)
	}
	m.Charge = encoded
}

func wantNone(t testing.TB, report Report) {
	t.Helper()
	for _, f := range report.Findings {
		t.Errorf("found %+v", f)
	}
}

// wantCheck wants a finding of a check that says these words.
func wantCheck(t testing.TB, report Report, check, words string) {
	t.Helper()
	if !slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Check == check && strings.Contains(f.What, words) }) {
		t.Errorf("nothing of the check %q says %q: %+v", check, words, report.Findings)
	}
}

// total is an account added up from nothing.
type total struct {
	after receipt.After
	renyi []*big.Int
}

// sumsOf is slow and obviously right: from all movements it takes those of the account and of all that it continues, and adds up what was
// charged and not given back.
func sumsOf(movements []receipt.Body, account string) total {
	members := map[string]bool{account: true}
	for _, m := range slices.Backward(movements) { // so that what a joined account had joined before is seen too
		if m.Type == receipt.Join && members[m.Account] {
			for _, id := range m.Accounts {
				members[id] = true
			}
		}
	}
	released, part := map[string]bool{}, map[string][]accounting.Renyi{}
	found := total{}
	for _, m := range movements {
		if !members[m.Account] {
			continue
		}
		switch m.Type {
		case receipt.Release:
			released[m.Run] = true
		case receipt.Settle:
			part[m.Run] = m.Renyi
		case receipt.Freeze:
			found.after.Frozen = true
		}
		if m.Account != account {
			continue
		}
		if m.Type == receipt.Open || m.Type == receipt.Join {
			found.after.Limit, found.after.Delta = m.Limit, m.Delta
		}
		if m.Type == receipt.Open {
			for range m.Orders {
				found.renyi = append(found.renyi, new(big.Int))
			}
		}
		if m.Type == receipt.Limit && m.Scientist == "" {
			found.after.Limit = m.Limit
		}
	}
	epsilon, delta := new(big.Int), new(big.Int)
	for _, m := range movements {
		if !members[m.Account] || (m.Type != receipt.Reserve && m.Type != receipt.Join) || (m.Type == receipt.Reserve && released[m.Run]) {
			continue
		}
		epsilon.Add(epsilon, big.NewInt(int64(m.Epsilon)))
		delta.Add(delta, big.NewInt(int64(m.RunDelta)))
		found.after.Infinite = found.after.Infinite || m.Infinite
		if m.Account != account {
			continue // what it draws at this account's orders is in the joining
		}
		drawn := m.Renyi
		if m.Type == receipt.Reserve && len(part[m.Run]) > 0 {
			drawn = part[m.Run]
		}
		for i := range min(len(drawn), len(found.renyi)) {
			found.renyi[i].Add(found.renyi[i], big.NewInt(int64(drawn[i])))
		}
	}
	found.after.Spent, found.after.SpentDelta = accounting.Epsilon(least(epsilon)), accounting.Delta(least(delta))
	return found
}

// least is the sum, or the last integer.
func least(sum *big.Int) int64 {
	if sum.IsInt64() {
		return sum.Int64()
	}
	return math.MaxInt64
}
