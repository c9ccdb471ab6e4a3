package trainer

import (
	"crypto/rand"
	"fmt"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
	"google.golang.org/protobuf/proto"
)

// aliveInterval is how long the server waits at most for a sign of life while passes go on. It is far below the server's stall window.
const aliveInterval = 30 * time.Second

// trainOnRecords does the whole run. PRIVACY: whatever it returns as an error is told to nobody.
func (p *Process) trainOnRecords(run *run) (*trainerv1.Finished, error) {
	given, err := p.receiveGiven(run)
	if err != nil {
		return nil, err
	}
	defer given.close()
	noise, err := newKeystream(rand.Reader)
	if err != nil {
		return nil, err
	}
	draws, err := newDraws(rand.Reader)
	if err != nil {
		return nil, err
	}
	order, err := newKeystream(rand.Reader)
	if err != nil {
		return nil, err
	}
	epochs, err := p.newEpochs(run, given)
	if err != nil {
		return nil, err
	}
	settings := run.settings
	teller := p.newTeller(epochs.schedule, epochs.current.Begin)
	for step := epochs.current.Begin + 1; step <= settings.GetSteps(); step++ {
		sample, err := epochs.sample(step) // the first of an epoch waits until the samples of all of it are durable
		if err != nil {
			return nil, err
		}
		if err := shuffle(sample, order); err != nil {
			return nil, err
		}
		for _, slots := range passes(sample, settings.GetPassSize(), given.count, settings.GetPassesPerStep()) {
			if err := passOn(run.trainer, given.records, slots, draws.of(step, slots), settings.GetPassSize(), teller); err != nil {
				return nil, fmt.Errorf("step %d: %w", step, err)
			}
		}
		// PRIVACY: a step without a record is noised and released like any other.
		if err := run.trainer.Step(noise); err != nil {
			return nil, fmt.Errorf("step %d: %w", step, err)
		}
		if err := teller.stepped(step, run.trainer.Loss()); err != nil {
			return nil, err
		}
	}
	return writeWeights(run.trainer, given.output)
}

// passOn makes one pass. Where the model fails on one of its slots, each record is probed by itself and the pass is made again without
// those that fail.
// PRIVACY: that it took longer is all that can be seen of it.
func passOn(trainer Trainer, records *records, slots []int64, seeds []uint64, passSize int64, teller *teller) error {
	failed, err := trainer.Pass(records.bytes, records.count, slots, seeds)
	if err != nil {
		return fmt.Errorf("pass: %w", err)
	}
	if !failed || passSize == 1 {
		return teller.alive() // a record that was alone is left out
	}
	for i, slot := range slots {
		if slot == emptySlot {
			continue
		}
		fails, err := trainer.Probe(records.bytes, records.count, slot, seeds[i])
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		if fails {
			slots[i] = emptySlot
		}
		// One record may make many passes of one; the server must not take that for silence.
		if err := teller.alive(); err != nil {
			return err
		}
	}
	if err := trainer.Again(records.bytes, records.count, slots, seeds); err != nil {
		return fmt.Errorf("pass again: %w", err)
	}
	return teller.alive()
}

// teller sends progress.
type teller struct {
	process  *Process
	schedule schedule.Schedule
	losses   float64 // of the steps since an epoch ended, added up
	steps    int64   // how many those are
	last     *trainerv1.Progress
	lastTime time.Time
}

// newTeller begins where an earlier attempt began its last epoch, with what was told of that but the loss, which that attempt told. An epoch is
// repeated as a whole, so its loss is the mean over the steps of one attempt.
func (p *Process) newTeller(plan schedule.Schedule, stepsDone int64) *teller {
	last := plan.After(stepsDone)
	if last == nil {
		last = &trainerv1.Progress{}
	}
	return &teller{process: p, schedule: plan, last: last, lastTime: time.Now()}
}

// stepped hears the loss that a step released.
// PRIVACY: each is a coordinate of a noised vector, so their mean may leave. It is told once, at the epoch's end, and the server shows it when
// the state after the epoch is durable.
func (t *teller) stepped(step int64, loss float64) error {
	t.losses, t.steps = t.losses+loss, t.steps+1
	progress := t.schedule.After(step)
	if progress == nil {
		return nil
	}
	if t.schedule.EndsEpoch(step) {
		if t.schedule.TellsLosses() {
			progress.Loss = proto.Float64(t.losses / float64(t.steps))
		}
		t.losses, t.steps = 0, 0
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
