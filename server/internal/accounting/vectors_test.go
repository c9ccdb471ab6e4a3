package accounting_test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// vectors reads a table of vectors/accounting. Its figures were computed with dp-accounting (PLD, RDP) and prv-accountant, which bracket each other.
func vectors(t testing.TB, name string) []row {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "..", "vectors", "accounting", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for _, line := range lines[1:] {
		r := row{t: t}
		r.fields = map[string]string{}
		for i, value := range line {
			r.fields[lines[0][i]] = value
		}
		rows = append(rows, r)
	}
	return rows
}

type row struct {
	t      testing.TB
	fields map[string]string
}

func (r row) number(name string) float64 {
	r.t.Helper()
	v, err := strconv.ParseFloat(r.fields[name], 64)
	if err != nil {
		r.t.Fatalf("column %s: %v", name, err)
	}
	return v
}

func (r row) steps() accounting.Steps {
	return accounting.Steps{SampleRate: r.number("q"), NoiseMultiplier: r.number("sigma"), Count: int64(r.number("T"))}
}

func (r row) plan() []accounting.Steps {
	r.t.Helper()
	var triples [][3]float64
	if err := json.Unmarshal([]byte(r.fields["runs_json(q,sigma,T)"]), &triples); err != nil {
		r.t.Fatal(err)
	}
	var plan []accounting.Steps
	for _, triple := range triples {
		plan = append(plan, accounting.Steps{SampleRate: triple[0], NoiseMultiplier: triple[1], Count: int64(triple[2])})
	}
	return plan
}

// agrees is what the project asks of its accountant: not below the pessimistic reference by more than 1e-4, and not above it by more
// than 0.5%, or 1e-4 where that is more.
func agrees(eps, reference float64) bool {
	return eps >= reference-1e-4 && eps <= reference+max(0.005*reference, 1e-4)
}

func TestEpsilonReproducesTheReference(t *testing.T) {
	rows := vectors(t, "accounting_reference.csv")
	if len(rows) != 34 {
		t.Fatalf("%d rows, want 34", len(rows))
	}
	for _, r := range rows {
		bound, err := accounting.Evaluate([]accounting.Steps{r.steps()}, r.number("delta"))
		if err != nil {
			t.Fatal(err)
		}
		reference := r.number("eps_pld_pessimistic")
		if bound.Method != accounting.PLD || !agrees(bound.Epsilon, reference) {
			t.Errorf("row %s: eps %.6f by %s, want %.6f by pld", r.fields["id"], bound.Epsilon, bound.Method, reference)
		}
		if lower := r.number("eps_prv_lower"); bound.Epsilon < lower {
			t.Errorf("row %s: eps %.6f is below the proven lower bound %.6f", r.fields["id"], bound.Epsilon, lower)
		}
		if renyi := r.number("eps_rdp"); bound.Epsilon > renyi {
			t.Errorf("row %s: eps %.6f is above the Renyi bound %.6f", r.fields["id"], bound.Epsilon, renyi)
		}
	}
}

func TestHeterogeneousPlansReproduceTheReference(t *testing.T) {
	for _, r := range vectors(t, "accounting_heterogeneous.csv") {
		bound, err := accounting.Evaluate(r.plan(), r.number("delta"))
		if err != nil {
			t.Fatal(err)
		}
		reference := r.number("eps_pld_joint")
		if bound.Method != accounting.PLD || !agrees(bound.Epsilon, reference) {
			t.Errorf("row %s: eps %.6f by %s, want %.6f by pld", r.fields["id"], bound.Epsilon, bound.Method, reference)
		}
	}
}

func TestNoiseReproducesTheReference(t *testing.T) {
	for _, r := range vectors(t, "accounting_calibrated_sigma.csv") {
		q, count, eps, delta := r.number("q"), int64(r.number("T")), r.number("eps_target"), r.number("delta")
		found, err := accounting.Calibrate(q, count, eps, delta)
		if err != nil {
			t.Fatal(err)
		}
		sigma := r.number("sigma_pld_ceil1e-4")
		if found.NoiseMultiplier < sigma || found.NoiseMultiplier > 1.001*sigma {
			t.Errorf("row %s: noise %v, want %v and at most 0.1%% more", r.fields["id"], found.NoiseMultiplier, sigma)
		}
		again, err := accounting.EpsilonOf([]accounting.Steps{{SampleRate: q, NoiseMultiplier: found.NoiseMultiplier, Count: count}}, delta)
		if err != nil || again > eps || again != found.Bound.Epsilon {
			t.Errorf("row %s: the noise found costs %v (%v), want what calibration showed (%v) and at most %v", r.fields["id"], again, err, found.Bound.Epsilon, eps)
		}
	}
}
