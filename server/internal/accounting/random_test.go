package accounting_test

import (
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// TestRandomPlansAgreeWithAnotherAccountant: tools/vectors/accounting.py says how the plans were drawn and their values computed.
func TestRandomPlansAgreeWithAnotherAccountant(t *testing.T) {
	rows := vectors(t, "random_plans.csv")
	if len(rows) != 500 {
		t.Fatalf("%d rows, want 500", len(rows))
	}
	for _, r := range rows {
		t.Run(r.fields["id"], func(t *testing.T) {
			t.Parallel()
			agreesWithin(t, r, []accounting.Steps{r.steps()})
		})
	}
}

func TestRandomMixedPlansAgreeWithAnotherAccountant(t *testing.T) {
	rows := vectors(t, "random_mixed.csv")
	if len(rows) != 20 {
		t.Fatalf("%d rows, want 20", len(rows))
	}
	for _, r := range rows {
		t.Run(r.fields["id"], func(t *testing.T) {
			t.Parallel()
			agreesWithin(t, r, r.plan())
		})
	}
}

func agreesWithin(t *testing.T, r row, plan []accounting.Steps) {
	t.Helper()
	began := time.Now()
	bound, err := accounting.Evaluate(plan, r.number("delta"))
	if err != nil {
		t.Fatal(err)
	}
	if wanted := r.number("eps"); !agrees(bound.Epsilon, wanted) || bound.Method != accounting.PLD {
		t.Errorf("%v delta %v: eps %.6f by %s, want %.6f", plan, r.number("delta"), bound.Epsilon, bound.Method, wanted)
	}
	if took := time.Since(began); took > busy*2*time.Second {
		t.Errorf("%v: evaluated in %v, 2 s are asked for", plan, took)
	}
}
