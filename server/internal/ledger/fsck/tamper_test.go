package fsck

import (
	"bytes"
	"math"
	"slices"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// The movements of eventful, by what they are.
const (
	openD = iota
	chargeA
	dataA
	settleA
	chargeB
	releaseB
	lower
	limitAlice
	openE
	chargeX
	dataX
	settleX
	joinJ
	chargeC
	dataC
	openF
	freezeF
)

// eventful is a ledger with every type of movement.
func eventful(t testing.TB) *house {
	h := newHouse(t)
	h.must(h.l.OpenAccount(dataset("d", 6e9)))
	h.completed("d", "a", usual)
	h.run("d", "b", usual)
	h.must(h.l.Release("d", "b"), h.l.LowerLimit("d", 5e9), h.l.LimitScientist("d", alice, 4e9), h.l.OpenAccount(dataset("e", 6e9)))
	h.run("e", "x", usual)
	h.must(h.l.DataGiven("e", "x"))
	drawn, err := planning.Drawn(h.price("e", usual).Charge, 50)
	h.must(err, h.l.SettleCancelled("e", "x", drawn))
	h.must(h.l.JoinAccounts(dataset("j", 0), []string{"d", "e"}, planning.Recomputed))
	h.run("j", "c", usual)
	h.must(h.l.DataGiven("j", "c"), h.l.OpenAccount(dataset("f", 0)))
	ofAnotherCopy := movementsOf(t, h.content())[openF]
	ofAnotherCopy.Declared++
	body, err := ofAnotherCopy.Encode()
	h.must(err)
	standing, _, err := h.l.Present(receipt.Sign(testKey(), body))
	h.must(err)
	if standing != ledger.Forgotten {
		t.Fatalf("standing %v", standing)
	}
	return h
}

func TestAnHonestLedgerHasNoFindings(t *testing.T) {
	h := eventful(t)
	report := h.check()
	wantNone(t, report)
	if report.Records != freezeF+2 || report.Accounts != 3 || len(report.Charges) != 4 || report.Torn != 0 {
		t.Errorf("report %+v", report)
	}
	wantNone(t, h.forge(movementsOf(t, h.content()))) // so that what the next test finds was not put there by forging
}

// Whoever has the key can write every number, hash and sum anew, and sign it. What is left of the rules still shows.
func TestWhatAKeyHolderChangesIsNamed(t *testing.T) {
	h := eventful(t)
	cases := map[string]struct {
		change       func(ms []receipt.Body) []receipt.Body
		check, words string
	}{
		"a lower eps": {func(ms []receipt.Body) []receipt.Body {
			repriced(t, &ms[chargeA], func(p *price) { p.epsilon -= p.epsilon / 100 })
			return ms
		}, "charge", "its steps cost"},
		"a lower eps than authorised":        {func(ms []receipt.Body) []receipt.Body { ms[chargeA].Epsilon--; return ms }, "charge", "another price"},
		"a higher eps than authorised":       {func(ms []receipt.Body) []receipt.Body { ms[chargeA].Epsilon++; return ms }, "charge", "another price"},
		"another delta than authorised":      {func(ms []receipt.Body) []receipt.Body { ms[chargeA].RunDelta--; return ms }, "charge", "another price"},
		"another divergence than authorised": {func(ms []receipt.Body) []receipt.Body { ms[chargeA].Renyi[1]--; return ms }, "charge", "another price"},
		"a charge at other orders": {func(ms []receipt.Body) []receipt.Body {
			authorised(t, &ms[chargeA], func(c *bastionlabv1.Charge) { c.Renyi[0].Order++ })
			return ms
		}, "charge", "another price"},
		"a charge of another dataset": {func(ms []receipt.Body) []receipt.Body {
			authorised(t, &ms[chargeA], func(c *bastionlabv1.Charge) { c.DatasetId = "e" })
			return ms
		}, "charge", "another price"},
		"a charge without steps": {func(ms []receipt.Body) []receipt.Body {
			authorised(t, &ms[chargeA], func(c *bastionlabv1.Charge) { c.Steps = nil })
			return ms
		}, "charge", "another price"},
		"a charge of more steps": {func(ms []receipt.Body) []receipt.Body {
			authorised(t, &ms[chargeA], func(c *bastionlabv1.Charge) { c.Steps[0].Count++ })
			return ms
		}, "charge", "its steps draw"},
		"a charge of steps without noise": {func(ms []receipt.Body) []receipt.Body {
			authorised(t, &ms[chargeA], func(c *bastionlabv1.Charge) { c.Steps[0].NoiseMultiplier = 0 })
			return ms
		}, "charge", "no accountant takes"},
		"a charge on no known device": {func(ms []receipt.Body) []receipt.Body {
			authorised(t, &ms[chargeA], func(c *bastionlabv1.Charge) { c.Device = "cpu" })
			return ms
		}, "charge", "device that is not documented"},
		"a charge by no accountant": {func(ms []receipt.Body) []receipt.Body {
			authorised(t, &ms[chargeA], func(c *bastionlabv1.Charge) { c.Accountant = "trust me" })
			return ms
		}, "charge", "names no accountant"},
		"a charge that is none": {func(ms []receipt.Body) []receipt.Body { ms[chargeA].Charge = []byte{0xff}; return ms }, "charge", "cannot be read"},
		"a divergence below that of its steps": {func(ms []receipt.Body) []receipt.Body {
			repriced(t, &ms[chargeA], func(p *price) { p.renyi[0] -= p.renyi[0] / 100 })
			return ms
		}, "charge", "its steps draw"},
		"a negative eps": {func(ms []receipt.Body) []receipt.Body {
			repriced(t, &ms[chargeA], func(p *price) { p.epsilon = -1 })
			return ms
		}, "charge", "negative"},
		"a negative divergence": {func(ms []receipt.Body) []receipt.Body {
			repriced(t, &ms[chargeA], func(p *price) { p.renyi[1] = math.MinInt64 })
			return ms
		}, "charge", "negative"},
		"a charge without its noise, as one without noise": {func(ms []receipt.Body) []receipt.Body {
			ms[chargeA].Epsilon, ms[chargeA].RunDelta, ms[chargeA].Renyi, ms[chargeA].Infinite = 0, 0, nil, true
			return ms
		}, "charge", "authorised otherwise"},
		"a charge without noise on a limited dataset": {func(ms []receipt.Body) []receipt.Body {
			ms[chargeC].Epsilon, ms[chargeC].RunDelta, ms[chargeC].Renyi, ms[chargeC].Infinite, ms[chargeC].Charge = 0, 0, nil, true, nil
			return ms
		}, "limit", "no filter admits"},
		"a charge that no filter admits": {func(ms []receipt.Body) []receipt.Body {
			repriced(t, &ms[chargeC], func(p *price) {
				p.epsilon, p.renyi = 5e9, slices.Repeat([]accounting.Renyi{accounting.MaxRenyi}, len(p.renyi))
			})
			return ms
		}, "limit", "no filter admits"},
		"a charge above its scientist's limit": {func(ms []receipt.Body) []receipt.Body {
			ms[limitAlice].Limit = 2e9
			return ms
		}, "limit", "scientist"},
		"a run charged twice":    {func(ms []receipt.Body) []receipt.Body { ms[chargeC].Run, ms[dataC].Run = "a", "a"; return ms }, "charge", "twice"},
		"a charge dropped":       {func(ms []receipt.Body) []receipt.Body { return slices.Delete(ms, chargeA, chargeA+1) }, "run", "has no charge"},
		"data before the charge": {func(ms []receipt.Body) []receipt.Body { ms[chargeA], ms[dataA] = ms[dataA], ms[chargeA]; return ms }, "run", "has no charge"},
		"data given twice":       {func(ms []receipt.Body) []receipt.Body { return slices.Insert(ms, dataA, ms[dataA]) }, "run", "cannot be"},
		"given back after data": {func(ms []receipt.Body) []receipt.Body {
			ms[settleA].Type, ms[settleA].Outcome = receipt.Release, ""
			return ms
		}, "run", "cannot be"},
		"data after it was given back":            {func(ms []receipt.Body) []receipt.Body { ms[lower] = about(ms[releaseB], receipt.Data); return ms }, "run", "has ended"},
		"settled without data":                    {func(ms []receipt.Body) []receipt.Body { return slices.Delete(ms, dataA, dataA+1) }, "run", "cannot be"},
		"settled as nothing":                      {func(ms []receipt.Body) []receipt.Body { ms[settleA].Outcome = "released"; return ms }, "run", "outcome"},
		"a failed run, in part":                   {func(ms []receipt.Body) []receipt.Body { ms[settleX].Outcome = "failed"; return ms }, "run", "was not cancelled"},
		"a part of more":                          {func(ms []receipt.Body) []receipt.Body { ms[settleX].Renyi[0] = ms[chargeX].Renyi[0] + 1; return ms }, "run", "to more"},
		"a part of less than nothing":             {func(ms []receipt.Body) []receipt.Body { ms[settleX].Renyi[0] = -1; return ms }, "run", "less than nothing"},
		"a run of another dataset":                {func(ms []receipt.Body) []receipt.Body { ms[dataC].Dataset = "d"; return ms }, "run", "has no charge"},
		"a charge on a dataset elsewhere":         {func(ms []receipt.Body) []receipt.Body { ms[chargeA].Dataset = "f"; return ms }, "account", "draws on another account"},
		"a limit on a dataset elsewhere":          {func(ms []receipt.Body) []receipt.Body { ms[lower].Dataset = "f"; return ms }, "account", "draws on another account"},
		"a limit raised":                          {func(ms []receipt.Body) []receipt.Body { ms[lower].Limit = 7e9; return ms }, "limit", "not lower"},
		"a limit taken away":                      {func(ms []receipt.Body) []receipt.Body { ms[lower].Limit = 0; return ms }, "limit", "not lower"},
		"a scientist's limit raised":              {func(ms []receipt.Body) []receipt.Body { ms[lower] = ms[limitAlice]; ms[limitAlice].Limit++; return ms }, "limit", "not lower"},
		"an account opened twice":                 {func(ms []receipt.Body) []receipt.Body { return slices.Insert(ms, openE, ms[openD]) }, "account", "opened twice"},
		"an account never opened":                 {func(ms []receipt.Body) []receipt.Body { return slices.Delete(ms, openE, openE+1) }, "account", "no such account"},
		"a movement of another owner":             {func(ms []receipt.Body) []receipt.Body { ms[chargeA].Owner = bob; return ms }, "account", "another owner"},
		"a delta of one":                          {func(ms []receipt.Body) []receipt.Body { ms[openD].Delta = 1e18; return ms }, "account", "terms"},
		"a delta above 1/declared":                {func(ms []receipt.Body) []receipt.Body { ms[openD].Declared = 1e7; return ms }, "account", "terms"},
		"an order below two":                      {func(ms []receipt.Body) []receipt.Body { ms[openD].Orders[0] = 1; return ms }, "account", "terms"},
		"a negative limit":                        {func(ms []receipt.Body) []receipt.Body { ms[openF].Limit = -1; return ms }, "account", "terms"},
		"a limit raised by joining":               {func(ms []receipt.Body) []receipt.Body { ms[joinJ].Limit = 5e9 + 1; return ms }, "join", "loosens"},
		"a limit taken by joining":                {func(ms []receipt.Body) []receipt.Body { ms[joinJ].Limit = 0; return ms }, "join", "loosens"},
		"a delta raised by joining":               {func(ms []receipt.Body) []receipt.Body { ms[joinJ].Delta++; return ms }, "join", "loosens"},
		"other orders by joining":                 {func(ms []receipt.Body) []receipt.Body { ms[joinJ].Orders[0]++; return ms }, "join", "loosens"},
		"a joining that carries a hundredth less": {func(ms []receipt.Body) []receipt.Body { ms[joinJ].Renyi[0] -= ms[joinJ].Renyi[0] / 100; return ms }, "join", "carried over"},
		"a joining that carries nothing":          {func(ms []receipt.Body) []receipt.Body { ms[joinJ].Renyi = nil; return ms }, "join", "carried over"},
		"a joining with itself":                   {func(ms []receipt.Body) []receipt.Body { ms[joinJ].Accounts = []string{"d"}; return ms }, "join", "cannot be joined"},
		"a joining with nobody's":                 {func(ms []receipt.Body) []receipt.Body { ms[joinJ].Accounts = []string{"g"}; return ms }, "join", "cannot be joined"},
		"a charge on what was joined":             {func(ms []receipt.Body) []receipt.Body { ms[chargeC].Account, ms[chargeC].Dataset = "e", "e"; return ms }, "account", "no such account"},
		"a charge on a frozen account": {func(ms []receipt.Body) []receipt.Body {
			charge := ms[chargeC]
			charge.Account, charge.Dataset, charge.Run = "f", "f", "late"
			return append(ms, charge)
		}, "charge", "frozen"},
		"frozen twice":                  {func(ms []receipt.Body) []receipt.Body { return append(ms, ms[freezeF]) }, "account", "frozen"},
		"frozen for no reason":          {func(ms []receipt.Body) []receipt.Body { ms[freezeF].Reason = ""; return ms }, "account", "frozen"},
		"a movement of a later release": {func(ms []receipt.Body) []receipt.Body { ms[lower].Type = "gift"; return ms }, "form", "no movement"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ms := c.change(movementsOf(t, h.content()))
			content, expected := h.forged(ms, true)
			report := checked(t, content, expected)
			wantCheck(t, report, c.check, c.words)
			if len(report.Findings) > 0 && report.Records != int64(len(ms))+1 {
				t.Errorf("it stopped after %d of %d records", report.Records, len(ms)+1)
			}
		})
	}
}

func about(m receipt.Body, kind receipt.Type) receipt.Body {
	m.Type = kind
	return m
}

// Signed and chained, with numbers, hashes and sums left as they were, or made up.
func TestANumberAHashOrASumThatIsMadeUpIsNamed(t *testing.T) {
	h := eventful(t)
	cases := map[string]struct {
		change       func(ms []receipt.Body) []receipt.Body
		check, words string
	}{
		"two charges exchanged": {func(ms []receipt.Body) []receipt.Body {
			ms[chargeA], ms[chargeB] = ms[chargeB], ms[chargeA]
			return ms
		}, "account", "does not follow"},
		"a charge dropped":       {func(ms []receipt.Body) []receipt.Body { return slices.Delete(ms, chargeB, chargeB+2) }, "account", "does not follow"},
		"a higher sum":           {func(ms []receipt.Body) []receipt.Body { ms[dataC].After.Spent++; return ms }, "sums", "added up"},
		"a lower sum":            {func(ms []receipt.Body) []receipt.Body { ms[dataC].After.Spent--; return ms }, "sums", "added up"},
		"a lower sum of deltas":  {func(ms []receipt.Body) []receipt.Body { ms[dataC].After.SpentDelta--; return ms }, "sums", "added up"},
		"a higher limit after":   {func(ms []receipt.Body) []receipt.Body { ms[dataC].After.Limit++; return ms }, "sums", "added up"},
		"not frozen after":       {func(ms []receipt.Body) []receipt.Body { ms[freezeF].After.Frozen = false; return ms }, "sums", "added up"},
		"another number":         {func(ms []receipt.Body) []receipt.Body { ms[dataC].Seq++; return ms }, "account", "does not follow"},
		"another one before":     {func(ms []receipt.Body) []receipt.Body { ms[dataC].Prev = alice; return ms }, "account", "does not follow"},
		"a number below nothing": {func(ms []receipt.Body) []receipt.Body { ms[openD].Seq = -1; return ms }, "account", "does not follow"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			content, expected := h.forged(c.change(movementsOf(t, h.content())), false)
			wantCheck(t, checked(t, content, expected), c.check, c.words)
		})
	}
}

// A run that was taken out with all that follows from it leaves a ledger that holds. The mark does not fit it any more.
func TestARunTakenOutWhollyIsNamedByTheMarkOnly(t *testing.T) {
	h := eventful(t)
	ms := slices.Delete(movementsOf(t, h.content()), chargeB, releaseB+1)
	wantNone(t, h.forge(ms))
	content, _ := h.forged(ms, true)
	wantCheck(t, checked(t, content, h.expected()), "mark", "put back from an older copy")
}

func TestADamagedByteIsNamed(t *testing.T) {
	h := newHouse(t)
	h.must(h.l.OpenAccount(dataset("d", 6e9)), h.l.LowerLimit("d", 5e9))
	good, record := h.content(), int64(0)
	for at := range good {
		changed := bytes.Clone(good)
		changed[at] ^= 1
		report := checked(t, changed, h.expected())
		if len(report.Findings) == 0 || report.Findings[0].Record != record {
			t.Fatalf("byte %d of record %d: %+v", at, record, report.Findings)
		}
		if good[at] == '\n' {
			record++
		}
	}
}

func TestASignatureOfAnotherKeyIsNamed(t *testing.T) {
	h := eventful(t)
	bodies := bodiesOf(h.content())
	for at := range bodies {
		content, expected := chainedBy(bodies, func(i int, body []byte) []byte {
			signature := receipt.Sign(testKey(), body).Signature
			if i == at {
				signature[0] ^= 1
			}
			return signature
		})
		report := checked(t, content, expected)
		if len(report.Findings) != 1 || report.Findings[0].Record != int64(at) || report.Findings[0].Check != "signature" {
			t.Errorf("record %d: %+v", at, report.Findings)
		}
	}
}
