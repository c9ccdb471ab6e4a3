package trainer

import (
	"crypto/rand"
	"fmt"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
)

// aliveInterval is how long the server waits at most for a sign of life while passes go on. It is far below the server's stall window.
const aliveInterval = 30 * time.Second

// trainOnRecords does the whole run. PRIVACY: whatever it returns as an error is told to nobody.
func (p *Process) trainOnRecords(run *run) (*trainerv1.Finished, error) {
	records, err := p.receiveRecords(run)
	if err != nil {
		return nil, err
	}
	defer records.output.Close()
	settings := run.settings
	noise, err := newKeystream(rand.Reader)
	if err != nil {
		return nil, err
	}
	draws, err := newDraws(rand.Reader)
	if err != nil {
		return nil, err
	}
	sampler := newSampler(rand.Reader, settings.GetInclusionThreshold(), includesAll(settings.GetIncludeAll()), settings.GetSlots())
	teller := p.newTeller(schedule.New(settings.GetEpochEnds()))
	var sample []int64
	for step := int64(1); step <= settings.GetSteps(); step++ {
		if sample, err = sampler.sample(sample[:0]); err != nil {
			return nil, err
		}
		for _, slots := range passes(sample, settings.GetPassSize(), records.count) {
			if err := run.trainer.Pass(records.bytes, records.count, slots, draws.of(step, slots)); err != nil {
				return nil, fmt.Errorf("step %d: pass: %w", step, err)
			}
			if err := teller.alive(); err != nil {
				return nil, err
			}
		}
		// PRIVACY: a step without a record is noised and released like any other.
		if err := run.trainer.Step(noise); err != nil {
			return nil, fmt.Errorf("step %d: %w", step, err)
		}
		if err := teller.stepped(step); err != nil {
			return nil, err
		}
	}
	return writeWeights(run.trainer, records.output)
}

// teller sends progress.
type teller struct {
	process  *Process
	schedule schedule.Schedule
	last     *trainerv1.Progress
	lastTime time.Time
}

func (p *Process) newTeller(plan schedule.Schedule) *teller {
	return &teller{process: p, schedule: plan, last: &trainerv1.Progress{}, lastTime: time.Now()}
}

func (t *teller) stepped(step int64) error {
	progress := t.schedule.After(step)
	if progress == nil {
		return nil
	}
	t.last = progress
	return t.send()
}

// alive repeats the last progress where nothing was sent for long: the server can tell a slow trainer from a dead one, and nobody
// learns anything new. It comes from the loop itself, so that an engine that hangs falls silent.
func (t *teller) alive() error {
	if time.Since(t.lastTime) < aliveInterval {
		return nil
	}
	return t.send()
}

func (t *teller) send() error {
	t.lastTime = time.Now()
	return t.process.Seam.Send(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Progress{Progress: t.last}})
}
