package training

import (
	"context"
	"errors"
	"os"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// PRIVACY: an attempt that ended without a result is repeated with the same samples, under fresh keys. Where a model can make its trainer end,
// and that depends on noise, each repetition is a choice among noises; so there are few, and each further one is the owner's to grant.
const (
	// freeRepetitions is how often a run is repeated unasked.
	freeRepetitions = 1
	// freeInterruptions is how many attempts at runs on one dataset, of whomever, may end without a result before none of them is repeated
	// unasked, until its owner approves one.
	freeInterruptions = 3
)

// mayRepeat says whether a run begins another attempt unasked, after an attempt that was the dataset's last of so many interruptions.
func mayRepeat(row storage.RunRow, ofDataset int64) bool {
	return row.Attempts < max(1+freeRepetitions, row.Granted) && ofDataset <= freeInterruptions
}

// interrupted counts an attempt that ended without a result, and says whether the run begins another. If not, it waits for the owner.
func (s *Service) interrupted(ctx context.Context, row storage.RunRow, next bastionlabv1.RunStatus) (storage.RunRow, error) {
	row.Interruptions++
	row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_WAITING)
	return s.Store.RecordInterruption(ctx, row, func(ofDataset int64, row storage.RunRow) storage.RunRow {
		if mayRepeat(row, ofDataset) {
			row.Status = int32(next)
		}
		return row
	})
}

// repeat is called when an attempt ended without a result and nobody had wanted that. It says whether another one begins at once.
// PRIVACY: that is not told in the log, and not who or what ended it.
func (s *Service) repeat(ctx context.Context, l *live) bool {
	ctx = context.WithoutCancel(ctx)
	row, err := s.interrupted(ctx, l.state(), bastionlabv1.RunStatus_RUN_STATUS_RUNNING)
	if err != nil {
		// Not counted, not repeated: as far as the row says, the attempt goes on, and the next start counts it.
		s.Log.ErrorContext(ctx, "cannot write a run's state; it waits for the dataset's owner", "run", row.ID, "error", err)
		row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_WAITING)
	}
	if statusOf(row) != bastionlabv1.RunStatus_RUN_STATUS_RUNNING {
		l.paused = row // shown when it can be decided on
		return false
	}
	l.show(row)
	return true
}

// verdict is what follows an attempt.
type verdict int

const (
	over  verdict = iota // the run has ended, or is left for the next start
	again                // another attempt, at once
	waits                // another attempt if the owner approves
)

// attempt prepares a process, gives it the data and sees it to its end.
func (s *Service) attempt(serving, ctx context.Context, l *live, interrupt context.CancelCauseFunc) verdict {
	given := l.dataGiven
	equipped, err := s.prepare(ctx, l)
	if err == nil {
		defer equipped.close()
		// Whatever ended the run by now ends it. The server's stop is looked at itself: its interruption may be on its way.
		if serving.Err() != nil {
			interrupt(errStopping)
		}
		err = ctx.Err()
	}
	if err == nil {
		err = s.begin(ctx, l)
	}
	switch {
	case err == nil && equipped.tester != nil:
		return s.testWithData(ctx, l, equipped)
	case err == nil:
		return s.trainWithData(ctx, l, equipped)
	case given && isStopped(err):
		s.endWithData(ctx, l)
	case given:
		return s.ended(ctx, l)
	case errors.As(err, new(uncertain)):
		s.endUncertain(ctx, l, err)
	default:
		s.endBeforeData(ctx, l, err)
	}
	return over
}

// uncertain is an error of which it is not known what it left in the ledger.
type uncertain struct{ error }

func (u uncertain) Unwrap() error { return u.error }

// begin makes durable that an attempt begins: in the row, and before the first one in the ledger.
func (s *Service) begin(ctx context.Context, l *live) error {
	row := l.state()
	if l.dataGiven {
		// PRIVACY: a limit that was lowered holds for every record given from then on, also to a run that had them before.
		if account, err := s.Budget.Account(row.DatasetID); err != nil {
			return err
		} else if account.OverLimit() {
			return ledger.ErrLimited
		} else if account.Frozen != "" {
			return ledger.ErrFrozen
		}
	}
	row.Attempts++
	row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_RUNNING)
	// First, so that no attempt with the data goes uncounted, whatever happens to this server.
	if err := s.Store.UpdateRun(ctx, row); err != nil {
		return err
	}
	if !l.dataGiven {
		// PRIVACY: money first. The record that the data are given is on disk before the descriptor is sent.
		if err := s.Budget.DataGiven(row.DatasetID, row.ID); isStopped(err) {
			return err
		} else if err != nil {
			return uncertain{err}
		}
	}
	l.dataGiven = true
	l.show(row)
	return nil
}

// isStopped says whether the account gives no data any more.
func isStopped(err error) bool {
	return errors.Is(err, ledger.ErrLimited) || errors.Is(err, ledger.ErrFrozen)
}

// ended is where an attempt at a run that had the data is over without a result.
func (s *Service) ended(ctx context.Context, l *live) verdict {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStopping):
		return over // the next start goes on with it, and counts
	case cause != nil:
		s.endWithData(ctx, l)
		return over
	case s.repeat(ctx, l):
		return again
	}
	return waits
}

// dataOf is what the trainer of an attempt is told with its files.
func dataOf(row storage.RunRow, e *equipment) (*trainerv1.Data, []*os.File) {
	data := &trainerv1.Data{Records: e.records.Count, RecordBytes: e.records.RecordBytes, Run: nameOf(row)}
	files := []*os.File{e.records.File, e.output, e.states.file}
	if e.resumed != nil {
		data.ResumedSha256, data.ResumedBytes, data.ResumedSteps = row.StateSHA256, row.StateBytes, row.StateSteps
		files = append(files, e.resumed)
	}
	return data, files
}

// told is what the trainer of an attempt is told first, nil for a test. One that goes on from a state needs no weights to begin with.
func told(l *live) *trainerv1.Train {
	if l.order.train == nil {
		return nil
	}
	train := proto.CloneOf(l.order.train)
	train.HasInitialWeights = l.order.continued != nil && l.state().StateID == ""
	return train
}
