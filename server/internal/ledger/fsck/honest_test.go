package fsck_test

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/ledger/fsck"
	"github.com/bastionlab/bastionlab/server/internal/planning"
)

type mark struct {
	records, size int64
	chain         []byte
}

func (m *mark) Acknowledged() (int64, int64, []byte, error) { return m.records, m.size, m.chain, nil }
func (m *mark) Acknowledge(records, size int64, chain []byte) error {
	m.records, m.size, m.chain = records, size, bytes.Clone(chain)
	return nil
}

// What the planner prices and the ledger takes, fsck must find honest: also where the coarser bound served.
func TestAnHonestRunIsFoundHonestWhateverItsEps(t *testing.T) {
	const owner = "0000000000000000000000000000000000000000000000000000000000000001"
	for _, eps := range []float64{0.001, 0.05, 1, 60, 300, 1000} {
		for _, batch := range []int64{1, 64, 1000} {
			dir := t.TempDir()
			key := ed25519.NewKeyFromSeed(make([]byte, 32))
			l, err := ledger.Open(dir, &mark{}, ledger.Writer{Key: key})
			if err != nil {
				t.Fatal(err)
			}
			limit, _ := accounting.NewEpsilon(eps * 2)
			delta := accounting.DefaultDelta(1000)
			if err := l.OpenAccount(ledger.Dataset{ID: "d", Owner: owner, Limit: limit, Delta: delta, Declared: 1000}); err != nil {
				t.Fatal(err)
			}
			a, _ := l.Account("d")
			plan, err := planning.Price(planning.Request{
				Account:  planning.Account{Limit: a.Limit, DatasetDelta: a.Delta, Orders: a.Orders, SpentRenyi: a.Renyi},
				Declared: 1000, Epochs: 2, Epsilon: &eps, BatchSize: &batch, MaxBatchSize: 4, MaxGradNorm: 1, LearningRate: 0.1, Loss: "cross_entropy", Classes: 2,
				Device: "cpu", Trainable: 10, Parameters: 10,
			})
			if err != nil {
				t.Logf("eps %v, batch %d: %v", eps, batch, err)
				continue
			}
			charge, err := planning.Charge(plan, "d", make([]byte, 32))
			if err != nil {
				t.Fatal(err)
			}
			price := ledger.Price{Cost: accounting.Cost{Epsilon: plan.Epsilon, Delta: plan.Delta, Renyi: plan.Renyi}, Orders: plan.Orders, Charge: charge}
			if err := l.Reserve("d", "r", owner, price); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(filepath.Join(dir, ledger.FileName))
			if err != nil {
				t.Fatal(err)
			}
			report, err := fsck.Check(file, fsck.Expected{})
			if err != nil || len(report.Findings) > 0 {
				t.Errorf("eps %v, batch %d, by %s: %v, %v", eps, batch, plan.Accountant, report.Findings, err)
			}
			file.Close()
			l.Close()
		}
	}
}
