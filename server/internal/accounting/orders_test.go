package accounting

import (
	"math"
	"slices"
	"testing"
)

func TestFilterOrders(t *testing.T) {
	for _, c := range []struct {
		limit Epsilon
		delta float64
		want  []int64
	}{
		{one, 1e-6, []int64{29, 23, 17, 12}},
		{6 * one, 1e-5, []int64{5, 4, 3, 2}},
		{10 * one, 1e-5, []int64{4, 3, 2}},
		{0, 1e-5, []int64{4, 3, 2}}, // as if the limit were 10
		{-5, 1e-5, []int64{4, 3, 2}},
		{1e15, 1e-5, []int64{2}},
		{1, 1e-18, []int64{82893063349, 66314450679, 49735838010, 33157225340}},
		{one, 0, nil},
		{one, -1, nil},
	} {
		if got := FilterOrders(c.limit, Delta(math.Round(c.delta*1e18))); !slices.Equal(got, c.want) {
			t.Errorf("limit %v delta %v: %v, want %v", c.limit, c.delta, got, c.want)
		}
	}
	if got := FilterOrders(one, math.MaxInt64); got != nil {
		t.Errorf("delta above 1: %v", got)
	}
}
