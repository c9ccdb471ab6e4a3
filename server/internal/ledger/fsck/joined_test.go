package fsck

import (
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// A frozen account that is joined freezes what it becomes.
func TestAFrozenAccountStaysFrozenWhereItIsJoined(t *testing.T) {
	h := newHouse(t)
	h.must(h.l.OpenAccount(dataset("d", 6e9)), h.l.OpenAccount(dataset("e", 6e9)))
	h.run("d", "a", usual)
	body, err := receipt.Body{Form: receipt.Form, Type: receipt.Data, Account: "e", Dataset: "e", Owner: owner, Seq: 9}.Encode()
	h.must(err)
	_, _, err = h.l.Present(receipt.Sign(testKey(), body))
	h.must(err, h.l.JoinAccounts(dataset("j", 0), []string{"d", "e"}, planning.Recomputed))
	wantNone(t, h.check())
	ms := movementsOf(t, h.content())
	late := ms[2]
	late.Run = "late"
	wantCheck(t, h.forge(append(ms, late)), "charge", "on a frozen account")
}

// A run without noise that waited when the limit came is not given data.
func TestDataWithoutNoiseUnderALimitIsNamed(t *testing.T) {
	h := newHouse(t)
	h.must(h.l.OpenAccount(dataset("d", 0)), h.l.Reserve("d", "n", alice, ledger.Price{Infinite: true}), h.l.LowerLimit("d", 5e9))
	wantNone(t, h.check())
	ms := movementsOf(t, h.content())
	wantCheck(t, h.forge(append(ms, about(ms[1], receipt.Data))), "limit", "given data past a limit")
}
