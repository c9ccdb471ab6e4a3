// Package planning prices a run: from what is asked for and what an account holds it derives the steps, the noise and the charge, or
// the refusal. It is pure: the same request gives the same plan, bit for bit, and nothing is spent by asking.
//
// Invariants: the noise is solved for the very eps and delta that are charged, so a price is never below the true cost; a run's delta is its
// share of the dataset's, so that runs whose eps add up to the limit always fit; every refusal says what would fit.
//
// Non-goals: it reserves nothing and knows no run, model or clock. Whether the budget is still there when the run starts is the ledger's to say.
package planning

import (
	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// Request is a run as its scientist wants it, on an account as it stands.
type Request struct {
	Account
	Declared int64 // slots of the dataset

	Epochs       float64
	Epsilon      *float64 // nil: without noise, on a dataset without a limit only
	Delta        *float64 // nil: the run's share
	BatchSize    *int64   // nil: chosen
	MaxBatchSize int64    // records in memory in one pass
	MaxGradNorm  float64
	LearningRate float64

	Metrics      bool     // release a noised loss of every epoch
	Loss         string   // of the model
	Classes      int64    // the last dimension of the model's output
	Release      string   // "" or "certified", or "exact"
	ConstantTime bool     // makes the release exact, and the number of passes of every step the same
	Device       string   // "" or CPU, or one of Devices
	Devices      []string // what the server offers beside the CPU

	Trainable        int64   // numbers that the model trains: they make the grid
	Parameters       int64   // of the model, for the estimate of time; 0: unknown
	RecordsPerSecond float64 // as measured, for the same; 0: unknown

	Accountant Accountant // nil: the package accounting
}

// Accountant is the part of a price that takes time. Whoever gives another than the package accounting answers for its answers being the
// same; it may remember them, and may refuse to go on.
type Accountant interface {
	Calibrate(sampleRate float64, steps int64, eps, delta float64) (accounting.Calibration, error)
	EpsilonOf(plan []accounting.Steps, delta float64) (float64, error)
}

func (r Request) accountant() Accountant { return orComputed(r.Accountant) }

func orComputed(a Accountant) Accountant {
	if a == nil {
		return computed{}
	}
	return a
}

// computed is the package accounting.
type computed struct{}

func (computed) Calibrate(sampleRate float64, steps int64, eps, delta float64) (accounting.Calibration, error) {
	return accounting.Calibrate(sampleRate, steps, eps, delta)
}

func (computed) EpsilonOf(plan []accounting.Steps, delta float64) (float64, error) {
	return accounting.EpsilonOf(plan, delta)
}

// Plan is what a run will do and cost.
type Plan struct {
	NoiseMultiplier float64
	SampleRate      float64
	Steps           int64
	BatchSize       int64
	MaxBatchSize    int64
	MaxGradNorm     float64
	Epochs          float64

	Private        bool // false: neither clipping nor noise, and the account counts as infinite
	Epsilon        accounting.Epsilon
	Delta          accounting.Delta
	Renyi          []accounting.Renyi // what it draws on the account's counting filters, at Orders
	Orders         []int64
	RemainingAfter accounting.Epsilon // 0 where Unlimited
	Unlimited      bool
	Accountant     string // how eps was shown; empty where not Private
	ReleaseMode    string
	GridExponent   int     // the grid's width is MaxGradNorm * 2^-GridExponent; 0 where not Private
	GridError      float64 // what the grid may change of one record's contribution, in MaxGradNorm
	Eta            float64 // one record moves a step's sum by at most MaxGradNorm * (1 + Eta), and the noise is scaled to that
	PassesPerStep  int64   // in constant time; 0: as many as a sample needs
	LossBound      float64 // up to where a record's loss counts; 0: no losses
	Metric         string  // what a test measures; empty: a training run
	Device         string  // what the run computes on; empty: the CPU

	Seconds  float64 // an estimate; 0: not known
	Warnings []string
}

// Price plans the run or refuses it: InvalidArgument for what can never be run, BudgetExceeded for what does not fit any more.
func Price(r Request) (Plan, error) {
	if err := r.check(); err != nil {
		return Plan{}, err
	}
	plan := Plan{
		MaxBatchSize: r.MaxBatchSize,
		MaxGradNorm:  r.MaxGradNorm,
		Epochs:       r.Epochs,
		Unlimited:    r.Limit == 0,
		ReleaseMode:  ReleasePlain,
		Device:       r.device(),
	}
	var err error
	if r.Metrics {
		if plan.LossBound, err = lossBound(r.Loss, r.Classes); err != nil {
			return Plan{}, err
		}
	}
	if r.Epsilon == nil {
		err = plan.withoutNoise(r)
	} else {
		err = plan.withNoise(r)
	}
	if err != nil {
		return Plan{}, err
	}
	plan.Seconds = estimateSeconds(plan, r)
	plan.Warnings = warnings(plan, r)
	return plan, nil
}

func (p *Plan) withNoise(r Request) error {
	if err := p.pay(r.Account, asked{r.Epsilon, r.Delta, r.Declared}); err != nil {
		return err
	}
	schedule, err := r.schedule(p.solvedFor())
	if err != nil {
		return err
	}
	p.BatchSize, p.Steps, p.SampleRate = schedule.batchSize, schedule.steps, schedule.sampleRate
	if err := p.calibrate(r.Account, r.accountant()); err != nil {
		return err
	}
	released := releaseOf(r.releaseMode(), r.Trainable)
	p.ReleaseMode, p.GridExponent, p.GridError, p.Eta = released.mode, released.gridExponent, released.gridError, released.eta
	if r.ConstantTime {
		p.PassesPerStep = passesPerStep(r.Declared, p.SampleRate)
	}
	p.MaxBatchSize = min(p.MaxBatchSize, released.largestPass())
	return released.check(p.NoiseMultiplier, r.Declared, p.Steps, r.Trainable)
}

// pay reads eps and delta. Whether the account admits them is known when there is a noise.
func (p *Plan) pay(a Account, r asked) error {
	price, err := a.price(r)
	if err != nil {
		return err
	}
	p.Private, p.Epsilon, p.Delta, p.RemainingAfter = true, price.epsilon, price.delta, price.remainingAfter
	return nil
}

// solvedFor is what the noise is solved for: the integers that are charged, of which eps was rounded down and delta is at most the run's
// share.
// PRIVACY: what the sampler of the noise is short of a true normal distribution is paid for; docs/release.md.
func (p *Plan) solvedFor() (eps, delta float64) {
	return p.Epsilon.Float() - samplerShare, p.Delta.Float()
}

// calibrate solves for the noise of the plan's steps, and asks the account whether it admits the run.
func (p *Plan) calibrate(a Account, by Accountant) error {
	eps, delta := p.solvedFor()
	found, err := by.Calibrate(p.SampleRate, p.Steps, eps, delta)
	if err != nil {
		return err
	}
	p.NoiseMultiplier, p.Accountant = found.NoiseMultiplier, string(found.Bound.Method)
	return p.admit(a, by)
}

func (r Request) releaseMode() string {
	if r.Release == "" && r.ConstantTime {
		return ReleaseExact
	}
	return r.Release
}

func (p *Plan) withoutNoise(r Request) error {
	batchSize := min(r.MaxBatchSize, r.Declared) // without noise nothing speaks for more than fits in memory
	if r.BatchSize != nil {
		batchSize = *r.BatchSize
	}
	schedule, err := r.scheduleOf(batchSize)
	if err != nil {
		return err
	}
	p.BatchSize, p.Steps, p.SampleRate = schedule.batchSize, schedule.steps, schedule.sampleRate
	p.MaxBatchSize = min(p.MaxBatchSize, mostPassSize)
	return nil
}
