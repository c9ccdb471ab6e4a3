package fsck

import (
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// rounds is how often a random test is made: all with `make test-all`.
func rounds(some, all int) int {
	if os.Getenv("BASTIONLAB_ALL") != "" {
		return all
	}
	return some
}

// Somebody who has the key changes anything. What a check finds nothing wrong with, a server opens: it is the stricter of the two.
func TestWhatHasNoFindingsOpens(t *testing.T) {
	h := newHouse(t)
	quick := shape{eps: 1, test: true}
	h.must(h.l.OpenAccount(dataset("d", 6e9)), h.l.OpenAccount(dataset("e", 0)), h.l.OpenAccount(dataset("f", 0)))
	h.completed("d", "a", quick)
	h.run("e", "x", quick)
	h.run("f", "y", quick)
	h.must(h.l.LimitScientist("d", alice, 5e9), h.l.LowerLimit("d", 5e9), h.l.Release("f", "y"), h.l.DataGiven("e", "x"))
	h.must(h.l.JoinAccounts(dataset("j", 0), []string{"d", "e"}, planning.Recomputed))
	h.run("j", "c", quick)
	good := movementsOf(t, h.content())
	wantNone(t, h.forge(good))
	random := rand.New(rand.NewPCG(1, 2))
	silent := 0
	for range rounds(200, 3000) {
		ms := slices.Clone(good)
		var what string
		for range 1 + random.IntN(2) {
			ms, what = changed(random, ms)
		}
		content, expected := h.forged(ms, random.IntN(8) > 0)
		report := checked(t, content, expected)
		if len(report.Findings) > 0 {
			continue
		}
		silent++
		if err := opens(t, content, expected); err != nil {
			t.Errorf("%s: no finding, and a start says %v", what, err)
		}
	}
	if silent == 0 {
		t.Error("whatever was changed was found: this test looks at nothing")
	}
}

// changed makes one change.
func changed(random *rand.Rand, ms []receipt.Body) ([]receipt.Body, string) {
	at, other := random.IntN(len(ms)), random.IntN(len(ms))
	switch random.IntN(8) {
	case 0:
		return slices.Delete(ms, at, at+1), "dropped " + string(ms[at].Type)
	case 1:
		return slices.Insert(ms, other, ms[at]), "doubled " + string(ms[at].Type)
	case 2:
		ms[at], ms[other] = ms[other], ms[at]
		return ms, "exchanged " + string(ms[at].Type) + " and " + string(ms[other].Type)
	}
	m := reflect.ValueOf(&ms[at]).Elem()
	field := m.Field(random.IntN(m.NumField()))
	from := reflect.ValueOf(ms[other]).Field(random.IntN(m.NumField()))
	name := string(ms[at].Type)
	switch {
	case random.IntN(4) == 0 && from.Type() == field.Type():
		field.Set(from)
	case field.CanInt():
		field.SetInt([]int64{0, 1, -1, field.Int() + 1, field.Int() - 1, math.MaxInt64, math.MinInt64}[random.IntN(7)])
	case field.Kind() == reflect.Bool:
		field.SetBool(!field.Bool())
	case field.Kind() == reflect.String:
		field.SetString([]string{"", "d", "e", "f", "j", "a", owner, alice, "completed", "cancelled"}[random.IntN(10)])
	case field.Kind() == reflect.Slice && field.Len() > 0:
		copied := reflect.MakeSlice(field.Type(), field.Len(), field.Len())
		reflect.Copy(copied, field)
		if element := copied.Index(random.IntN(copied.Len())); element.CanInt() {
			element.SetInt([]int64{0, 1, -1, element.Int() - 1, math.MaxInt64}[random.IntN(5)])
		} else {
			copied = copied.Slice(0, copied.Len()-1)
		}
		field.Set(copied)
	}
	return ms, "changed " + name
}
