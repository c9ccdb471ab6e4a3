package training

import (
	"context"
	"errors"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/dataset"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
)

// execute brings a run that was taken from the queue to its end.
func (s *Service) execute(ctx context.Context, l *live) {
	defer s.leave(ctx, l)
	serving := ctx
	ctx, interrupt := context.WithCancelCause(context.WithoutCancel(ctx))
	defer interrupt(nil)
	if cause := l.begin(interrupt); cause != nil {
		interrupt(cause)
	}
	// A server that stops says so, rather than only that a context ended.
	defer context.AfterFunc(serving, func() { interrupt(errStopping) })()
	equipped, err := s.prepare(ctx, l)
	if err != nil {
		s.endBeforeData(ctx, l, err)
		return
	}
	defer equipped.close()
	// Whatever ended the run by now ends it without a charge. The server's stop is looked at itself: its interruption may be on its way.
	if serving.Err() != nil {
		interrupt(errStopping)
	}
	if err := ctx.Err(); err != nil {
		s.endBeforeData(ctx, l, err)
		return
	}
	// PRIVACY: money first. The record that the data are given is on disk before the descriptor is sent.
	if err := s.Budget.DataGiven(l.row.DatasetID, l.row.ID); errors.Is(err, ledger.ErrLimited) {
		s.endBeforeData(ctx, l, err)
		return
	} else if err != nil {
		s.endUncertain(ctx, l, err)
		return
	}
	s.workWithData(ctx, l, equipped)
}

// equipment is all that a run needs, gathered before the data are given.
type equipment struct {
	trainer Trainer // of a training run
	tester  Tester  // of a test
	records dataset.Records
	output  *os.File
}

func (e *equipment) close() {
	for _, file := range []*os.File{e.records.File, e.output} {
		if file != nil {
			file.Close()
		}
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

func (e *equipment) data() *trainerv1.Data {
	return &trainerv1.Data{Records: e.records.Count, RecordBytes: e.records.RecordBytes}
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
	program, err := s.Models.Open(ctx, l.order.model)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	var initial *os.File
	if from := l.order.continued; from != nil {
		if initial, err = s.Store.BlobMemfd(ctx, weightsKind, from.ID, from.WeightsSHA256); err != nil {
			return nil, err
		}
		defer initial.Close()
	}
	if l.order.test != nil {
		e.tester, err = s.Launcher.PrepareTest(ctx, l.order.test, program, initial)
	} else {
		e.trainer, err = s.Launcher.Prepare(ctx, l.order.train, program, initial)
	}
	if err != nil {
		return nil, err
	}
	if e.records, err = s.Datasets.OpenRecords(ctx, l.order.dataset.GetId()); err != nil {
		return nil, err
	}
	if e.output, err = storage.NewMemfd("weights"); err != nil {
		return nil, err
	}
	select {
	case <-e.process().Ended(): // memory that decrypting took, it may have lacked
		return nil, errTrainerGone
	default:
		return e, ctx.Err()
	}
}

// workWithData gives the process the records and sees the run to its end. The run stays charged whatever happens here.
func (s *Service) workWithData(ctx context.Context, l *live, e *equipment) {
	row := l.state()
	row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_RUNNING)
	s.record(ctx, l, row)
	work := s.train
	if e.tester != nil {
		work = s.test
	}
	if err := work(ctx, l, e); err != nil {
		s.endWithData(ctx, l)
		return
	}
	// The process has finished: an interruption from here on comes too late, and what it gave is kept.
	ctx = context.WithoutCancel(ctx)
	if err := s.Budget.Settle(row.DatasetID, row.ID, ledger.OutcomeCompleted); err != nil {
		s.Log.ErrorContext(ctx, "cannot settle a completed run; what it gave stays here", "run", row.ID, "error", err)
		s.endWithData(ctx, l)
		return
	}
	row = l.state()
	row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_COMPLETED)
	row.StepsDone = l.order.plan.GetSteps()
	row.EpochsDone = int64(len(l.order.train.GetSettings().GetEpochEnds()))
	s.Log.InfoContext(ctx, "run completed", "run", row.ID)
	s.end(ctx, l, row)
}

// train gives the trainer the records and keeps the weights.
func (s *Service) train(ctx context.Context, l *live, e *equipment) error {
	finished, err := e.trainer.Run(ctx, e.data(), e.records.File, e.output, s.follow(l))
	closeErr := e.trainer.Close() // it is gone before its output is read
	if err = errors.Join(err, closeErr); err != nil {
		return err
	}
	return s.keepWeights(context.WithoutCancel(ctx), l, e.output, finished.GetOutputBytes())
}

// keepWeights checks and seals the output, and records where it lies. The weights do not leave yet.
func (s *Service) keepWeights(ctx context.Context, l *live, output *os.File, outputBytes int64) error {
	if err := storage.SealMemfd(output); err != nil {
		return err
	}
	trained, err := readOutput(output, outputBytes, l.order.model.Report.GetParameters())
	if err != nil {
		return err
	}
	row := l.state()
	if row.WeightsSHA256, row.WeightsBytes, err = sealWeights(s.Store, row.ID, output, trained); err != nil {
		return err
	}
	if err := s.Store.UpdateRun(ctx, row); err != nil {
		return err
	}
	l.show(row)
	return nil
}

// follow shows a trainer's progress, coarsely.
func (s *Service) follow(l *live) func(*trainerv1.Progress) {
	settings := l.order.train.GetSettings()
	marks := schedule.New(settings.GetEpochEnds(), settings.GetLossBound() > 0)
	seen := coarse{steps: l.order.plan.GetSteps(), epochEnds: settings.GetEpochEnds(), interval: s.ProgressInterval}
	return func(progress *trainerv1.Progress) {
		if progress.Loss != nil {
			s.release(l, progress.GetEpochsDone(), marks.StepsOfEpoch(progress.GetStepsDone()), progress.GetLoss())
		}
		if steps, epochs, changed := seen.tell(progress.GetStepsDone(), s.Now()); changed {
			row := l.state()
			row.StepsDone, row.EpochsDone = steps, epochs
			l.show(showReleased(l, row))
		}
	}
}
