package fsck

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// house is a ledger on a real file whose runs have the prices that a server gives them.
type house struct {
	t    testing.TB
	l    *ledger.Ledger
	dir  string
	mark memoryMark
}

type memoryMark struct {
	records, bytes int64
	chain          []byte
}

func (m *memoryMark) Acknowledged() (records, bytes int64, chain []byte, err error) {
	return m.records, m.bytes, m.chain, nil
}

func (m *memoryMark) Acknowledge(records, bytes int64, chain []byte) error {
	m.records, m.bytes, m.chain = records, bytes, slices.Clone(chain)
	return nil
}

func testKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

func newHouse(t testing.TB) *house {
	h := &house{t: t, dir: t.TempDir()}
	h.reopen()
	return h
}

func (h *house) reopen() {
	h.t.Helper()
	if h.l != nil {
		h.must(h.l.Close())
	}
	var err error
	h.l, err = ledger.Open(h.dir, &h.mark, ledger.Writer{Key: testKey(), Origin: receipt.Origin{Boot: "boot", Level: "file", Release: "1.0.0"}})
	h.must(err)
}

func (h *house) must(errs ...error) {
	h.t.Helper()
	for i, err := range errs {
		if err != nil {
			h.t.Fatalf("movement %d: %v", i, err)
		}
	}
}

const (
	declared  = int64(4459)
	testDelta = accounting.Delta(1e13)
)

// owner and scientists are named by digests of their keys, as receipts have them.
var owner, alice, bob = strings.Repeat("0", 64), strings.Repeat("a", 64), strings.Repeat("b", 64)

func dataset(id string, limit accounting.Epsilon) ledger.Dataset {
	return ledger.Dataset{ID: id, Owner: owner, Limit: limit, Delta: testDelta, Declared: declared, BlobHMAC: make([]byte, 32)}
}

// shape is a run as a scientist asks for it.
type shape struct {
	eps, delta float64 // delta 0: the run's share
	epochs     float64
	batch      int64
	test       bool
	declared   int64 // 0: as usual
}

var usual = shape{eps: 1, epochs: 2, batch: 45}

// price is what a server charges for a run of that shape now.
func (h *house) price(id string, s shape) ledger.Price {
	h.t.Helper()
	price, err := h.priced(id, s)
	h.must(err)
	return price
}

// priced is price, or its refusal.
func (h *house) priced(id string, s shape) (ledger.Price, error) {
	h.t.Helper()
	a, err := h.l.Account(id)
	h.must(err)
	account := planning.Account{
		Limit: a.Limit, DatasetDelta: a.Delta, Orders: a.Orders, Spent: a.Spent, SpentDelta: a.SpentDelta, SpentRenyi: a.Renyi, Infinite: a.Infinite,
	}
	slots := declared
	if s.declared > 0 {
		slots = s.declared
	}
	var plan planning.Plan
	if s.test {
		plan, err = planning.PriceTest(planning.TestRequest{Account: account, Declared: slots, Metric: planning.Accuracy, Loss: "cross_entropy", Epsilon: &s.eps, Accountant: remembered})
	} else {
		r := planning.Request{
			Account: account, Declared: slots, Epochs: s.epochs, Epsilon: &s.eps, BatchSize: &s.batch,
			MaxBatchSize: 4, MaxGradNorm: 1, LearningRate: 0.1, Trainable: 1000, Accountant: remembered,
		}
		if s.delta > 0 {
			r.Delta = &s.delta
		}
		plan, err = planning.Price(r)
	}
	if err != nil {
		return ledger.Price{}, err
	}
	charge, err := planning.Charge(plan, id, make([]byte, 32))
	return ledger.Price{Cost: accounting.Cost{Epsilon: plan.Epsilon, Delta: plan.Delta, Renyi: plan.Renyi}, Orders: plan.Orders, Charge: charge}, err
}

// run charges one.
func (h *house) run(id, run string, s shape) {
	h.t.Helper()
	h.must(h.l.Reserve(id, run, alice, h.price(id, s)))
}

// completed is one from its charge to its end.
func (h *house) completed(id, run string, s shape) {
	h.t.Helper()
	h.run(id, run, s)
	h.must(h.l.DataGiven(id, run), h.l.Settle(id, run, ledger.OutcomeCompleted))
}

func (h *house) content() []byte {
	h.t.Helper()
	content, err := os.ReadFile(filepath.Join(h.dir, ledger.FileName))
	h.must(err)
	return content
}

func (h *house) expected() Expected {
	return Expected{Key: testKey().Public().(ed25519.PublicKey), Marked: true, Records: h.mark.records, Bytes: h.mark.bytes, Chain: h.mark.chain}
}

func (h *house) check() Report {
	h.t.Helper()
	return checked(h.t, h.content(), h.expected())
}

func checked(t testing.TB, content []byte, expected Expected) Report {
	t.Helper()
	report, err := Check(bytes.NewReader(content), expected)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// remembered is the accountant, asked once for each noise.
var remembered = &memory{calibrated: map[[4]float64]accounting.Calibration{}}

type memory struct {
	mu         sync.Mutex
	calibrated map[[4]float64]accounting.Calibration
}

func (m *memory) Calibrate(rate float64, steps int64, eps, delta float64) (accounting.Calibration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [4]float64{rate, float64(steps), eps, delta}
	found, ok := m.calibrated[key]
	var err error
	if !ok {
		if found, err = accounting.Calibrate(rate, steps, eps, delta); err == nil {
			m.calibrated[key] = found
		}
	}
	return found, err
}

func (*memory) EpsilonOf(plan []accounting.Steps, delta float64) (float64, error) {
	return accounting.EpsilonOf(plan, delta)
}

// bodiesOf takes a file apart.
func bodiesOf(content []byte) (bodies [][]byte) {
	for _, line := range bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n")) {
		bodies = append(bodies, line[hexDigits+1+signDigits+1:])
	}
	return bodies
}

// chained makes a file of bodies, as somebody can who has the key, and what is then acknowledged.
func chained(bodies [][]byte) ([]byte, Expected) {
	return chainedBy(bodies, func(_ int, body []byte) []byte { return receipt.Sign(testKey(), body).Signature })
}

func chainedBy(bodies [][]byte, sign func(i int, body []byte) []byte) ([]byte, Expected) {
	var content bytes.Buffer
	value := make([]byte, 32)
	for i, body := range bodies {
		signature := sign(i, body)
		after := receipt.Hash(slices.Concat([]byte("bastionlab ledger 2\n"), value, signature, body))
		value = after[:]
		content.WriteString(hex.EncodeToString(value) + " " + base64.StdEncoding.EncodeToString(signature) + " " + string(body) + "\n")
	}
	return content.Bytes(), Expected{Key: testKey().Public().(ed25519.PublicKey), Marked: true, Records: int64(len(bodies)), Bytes: int64(content.Len()), Chain: value}
}
