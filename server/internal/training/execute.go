package training

import (
	"context"
	"errors"
	"os"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/dataset"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// execute brings a run that was taken from the queue to its end, or to where it waits for the dataset's owner.
func (s *Service) execute(ctx context.Context, l *live) {
	serving := ctx
	ctx, interrupt := context.WithCancelCause(context.WithoutCancel(ctx))
	defer interrupt(nil)
	if cause := l.begin(interrupt); cause != nil {
		interrupt(cause)
	}
	// A server that stops says so, rather than only that a context ended.
	defer context.AfterFunc(serving, func() { interrupt(errStopping) })()
	verdict := again
	for verdict == again {
		verdict = s.attempt(serving, ctx, l, interrupt)
	}
	if verdict == waits {
		s.await(serving, ctx, l)
		return
	}
	s.leave(serving, l)
}

// equipment is all that an attempt needs, gathered before the data are given.
type equipment struct {
	records dataset.Records
	tester  Tester // of a test, which needs nothing else

	trainer Trainer // of a training run
	output  *os.File
	resumed *os.File // the state that the attempt goes on from; nil: it begins anew
	states  *states
}

func (e *equipment) close() {
	for _, file := range []*os.File{e.records.File, e.output, e.resumed} {
		if file != nil {
			file.Close()
		}
	}
	if e.states != nil {
		e.states.close()
	}
	if p := e.process(); p != nil {
		_ = p.Close() // how it ended is known from Run
	}
}

// process is the sandboxed process, nil while there is none.
func (e *equipment) process() interface {
	Ended() <-chan struct{}
	Close() error
} {
	switch {
	case e.tester != nil:
		return e.tester
	case e.trainer != nil:
		return e.trainer
	}
	return nil
}

// prepare gathers the equipment. Whatever fails here costs nothing.
func (s *Service) prepare(ctx context.Context, l *live) (_ *equipment, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := &equipment{}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if err := s.startProcess(ctx, l, e); err != nil {
		return nil, err
	}
	if e.records, err = s.Datasets.OpenRecords(ctx, l.order.dataset.GetId()); err != nil {
		return nil, err
	}
	if e.trainer != nil {
		if err := s.openFiles(ctx, l, e); err != nil {
			return nil, err
		}
	}
	select {
	case <-e.process().Ended(): // memory that decrypting took, it may have lacked
		return nil, errTrainerGone
	default:
		return e, ctx.Err()
	}
}

// startProcess has a process prepared that has no data.
func (s *Service) startProcess(ctx context.Context, l *live, e *equipment) error {
	program, err := s.Models.Open(ctx, l.order.model)
	if err != nil {
		return err
	}
	defer program.Close()
	var initial *os.File
	train := told(l)
	if from := l.order.continued; train.GetHasInitialWeights() || l.order.test.GetHasWeights() {
		if initial, err = s.Store.BlobMemfd(ctx, weightsKind, from.ID, from.WeightsSHA256); err != nil {
			return err
		}
		defer initial.Close()
	}
	if l.order.test != nil {
		e.tester, err = s.Launcher.PrepareTest(ctx, l.order.test, program, initial)
	} else {
		e.trainer, err = s.Launcher.Prepare(ctx, train, program, initial)
	}
	return err
}

// openFiles opens what a trainer writes into, and the state that it goes on from.
func (s *Service) openFiles(ctx context.Context, l *live, e *equipment) (err error) {
	if e.output, err = storage.NewMemfd("weights"); err != nil {
		return err
	}
	if e.states, err = s.newStates(l); err != nil {
		return err
	}
	if row := l.state(); row.StateID != "" {
		e.resumed, err = s.Store.DatasetMemfd(ctx, row.DatasetID, stateKind, row.StateID, row.StateSHA256)
	}
	return err
}

// trainWithData gives the trainer the records and sees the attempt to its end. The run stays charged whatever happens here.
func (s *Service) trainWithData(ctx context.Context, l *live, e *equipment) verdict {
	row := l.state()
	data, files := dataOf(row, e)
	finished, err := e.trainer.Run(ctx, data, files, e.states.hear, e.states.keep)
	closeErr := e.trainer.Close() // it is gone before its output is read
	if err = errors.Join(err, closeErr); err != nil {
		return s.ended(ctx, l)
	}
	if err := s.keepWeights(ctx, l, e, finished.GetOutputBytes()); err != nil {
		s.forgetResults(ctx, &row) // the next attempt's have the same name
		return s.ended(ctx, l)
	}
	return s.complete(ctx, l)
}

// complete ends a run of which all that it gives is kept: an interruption from here on comes too late.
func (s *Service) complete(ctx context.Context, l *live) verdict {
	ctx = context.WithoutCancel(ctx)
	row := l.state()
	if err := s.Budget.Settle(row.DatasetID, row.ID, ledger.OutcomeCompleted); err != nil {
		s.Log.ErrorContext(ctx, "cannot settle a completed run; what it gave stays here", "run", row.ID, "error", err)
		s.endWithData(ctx, l)
		return over
	}
	row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_COMPLETED)
	row.StepsDone = l.order.plan.GetSteps()
	row.EpochsDone = int64(len(l.order.train.GetSettings().GetEpochEnds()))
	s.forgetState(ctx, &row)
	s.Log.InfoContext(ctx, "run completed", "run", row.ID)
	s.end(ctx, l, row)
	return over
}

// keepWeights checks and seals the output, and records where it lies. Neither the weights nor the last epoch's loss leave yet.
func (s *Service) keepWeights(ctx context.Context, l *live, e *equipment, outputBytes int64) error {
	if err := storage.SealMemfd(e.output); err != nil {
		return err
	}
	trained, err := readOutput(e.output, outputBytes, l.order.model.Report.GetParameters())
	if err != nil {
		return err
	}
	row := l.state()
	ctx = context.WithoutCancel(ctx) // the trainer has finished: an interruption comes too late
	if row.WeightsSHA256, row.WeightsBytes, err = sealWeights(s.Store, row.ID, e.output, trained); err != nil {
		return err
	}
	row.History = e.states.withPending(row.History)
	if err := s.Store.UpdateRun(ctx, row); err != nil {
		return err
	}
	l.show(row)
	return nil
}
