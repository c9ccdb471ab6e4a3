package fsck

import (
	"bytes"
	"slices"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// closed is a ledger with two accounts, as an orderly stop leaves it.
func closed(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.must(h.l.OpenAccount(dataset("d", 6e9)), h.l.OpenAccount(dataset("e", 6e9)))
	h.completed("d", "a", usual)
	h.run("d", "b", usual)
	h.must(h.l.CloseAccounts())
	return h
}

func TestAClosedLedgerHasNoFindings(t *testing.T) {
	h := closed(t)
	wantNone(t, h.check())
	movements := movementsOf(t, h.content())
	if last := movements[len(movements)-1]; last.Type != receipt.Close || last.Account != "e" {
		t.Errorf("the last movement is %+v", last)
	}
}

func TestACloseThatTellsSomethingElseOrIsNotTheLastIsNamed(t *testing.T) {
	h := closed(t)
	honest := movementsOf(t, h.content())
	at := slices.IndexFunc(honest, func(m receipt.Body) bool { return m.Type == receipt.Close })
	cases := map[string]struct {
		change       func(ms []receipt.Body) []receipt.Body
		check, words string
	}{
		"less was drawn": {func(ms []receipt.Body) []receipt.Body {
			ms[at].Renyi = slices.Clone(ms[at].Renyi)
			ms[at].Renyi[0]--
			return ms
		}, "sums", "the close tells"},
		"nothing was drawn": {func(ms []receipt.Body) []receipt.Body { ms[at].Renyi = nil; return ms }, "sums", "the close tells"},
		"at other orders": {func(ms []receipt.Body) []receipt.Body {
			ms[at].Orders = slices.Clone(ms[at].Orders)
			ms[at].Orders[0]++
			return ms
		}, "sums", "the close tells"},
		"a limit after it": {func(ms []receipt.Body) []receipt.Body {
			late := about(ms[at], receipt.Limit)
			late.Limit = 1e9
			return append(ms, late)
		}, "account", "it follows on the account's close"},
		"closed twice": {func(ms []receipt.Body) []receipt.Body { return append(ms, ms[at]) }, "account", "it follows on the account's close"},
		"a run under way": {func(ms []receipt.Body) []receipt.Body {
			return slices.DeleteFunc(ms, func(m receipt.Body) bool {
				return (m.Type == receipt.Settle || m.Type == receipt.Release) && m.Run == "b"
			})
		}, "run", "closed while run b is under way"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			movements := c.change(slices.Clone(honest))
			wantCheck(t, h.forge(movements), c.check, c.words)
			content, expected := h.forged(movements, true)
			if opens(t, content, expected) == nil {
				t.Error("a server starts on it")
			}
		})
	}
}

// A ledger that was put aside is judged by itself: its end is where it ends, whole or torn by a crash.
func TestALedgerThatWasPutAsideIsCheckedByItself(t *testing.T) {
	h := closed(t)
	good := h.content()
	lines := bytes.SplitAfter(good, []byte("\n"))
	cases := map[string]struct {
		content      []byte
		check, words string // empty: no finding
		torn         bool
	}{
		"whole":                {good, "", "", false},
		"empty":                {nil, "", "", false},
		"torn":                 {good[:len(good)-20], "", "", true},
		"torn in its first":    {good[:50], "", "", true},
		"torn, newline kept":   {append(bytes.Clone(good[:len(good)-20]), '\n'), "", "", true},
		"rubbish of two lines": {append(bytes.Clone(good), "a\nb\n"...), "chain", "more than the rest of one record", true},
		"a line taken out":     {slices.Concat(bytes.Join(lines[:2], nil), bytes.Join(lines[3:], nil)), "chain", "more than the rest of one record", true},
	}
	for name, c := range cases {
		report, err := Check(bytes.NewReader(c.content), Expected{Aside: true})
		if err != nil || (report.Torn > 0) != c.torn {
			t.Errorf("%s: torn %d, %v", name, report.Torn, err)
		}
		if c.check == "" {
			wantNone(t, report)
		} else {
			wantCheck(t, report, c.check, c.words)
		}
	}
}
