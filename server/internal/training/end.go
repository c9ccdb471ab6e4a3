package training

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// endBeforeData ends a run that never had the data: its charge is given back.
func (s *Service) endBeforeData(ctx context.Context, l *live, cause error) {
	row := l.state()
	row.Status = int32(endedStatus(ctx))
	if statusOf(row) == bastionlabv1.RunStatus_RUN_STATUS_FAILED {
		row.Failure = failureBeforeData(ctx, cause)
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.Budget.Release(row.DatasetID, row.ID); err != nil {
		s.Log.ErrorContext(ctx, "cannot release the charge of a run that never had the data", "run", row.ID, "error", err)
	} else {
		row.Spent = refusal.Nothing
	}
	s.Log.InfoContext(ctx, "run ended before it had the data", "run", row.ID, "status", statusOf(row).String(), "failure", row.Failure, "error", loggable(cause))
	s.end(ctx, l, row)
}

// endWithData ends a run that had the data, without weights and charged in full.
// PRIVACY: it is not told why, not even in the log: the reason comes from a process that holds records.
func (s *Service) endWithData(ctx context.Context, l *live) {
	row := l.state()
	row.Status = int32(endedStatus(ctx))
	outcome := ledger.OutcomeCancelled
	if statusOf(row) == bastionlabv1.RunStatus_RUN_STATUS_FAILED {
		outcome = ledger.OutcomeFailed
		row.Failure = failureWithData
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.Budget.Settle(row.DatasetID, row.ID, outcome); err != nil {
		s.Log.ErrorContext(ctx, "cannot settle a run; it stays charged", "run", row.ID, "error", err)
	}
	s.forgetResults(ctx, &row)
	s.forgetState(ctx, &row)
	s.Log.InfoContext(ctx, "run ended after it had the data", "run", row.ID, "status", statusOf(row).String())
	s.end(ctx, l, row)
}

// endUncertain ends a run of which the ledger could not say whether its data count as given. They were not, but what is on disk is not
// known: it stays charged, and the next start settles or releases it by what the ledger then holds.
func (s *Service) endUncertain(ctx context.Context, l *live, cause error) {
	row := l.state()
	row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_FAILED)
	row.Failure = failureServer
	s.Log.ErrorContext(ctx, "cannot record that a run is given the data; it was not given them", "run", row.ID, "error", cause)
	s.end(context.WithoutCancel(ctx), l, row)
}

// end makes the end durable, then visible. One that cannot be written is owed: see writeLater.
func (s *Service) end(ctx context.Context, l *live, row storage.RunRow) {
	row.EndedUnixMS = s.Now().UnixMilli()
	l.owed = !s.record(ctx, l, row)
}

// record makes a state durable, then visible, and says whether it is durable. A state that cannot be written is shown all the same: the ledger
// holds what counts, and the next start reads it from there.
func (s *Service) record(ctx context.Context, l *live, row storage.RunRow) bool {
	err := s.Store.UpdateRun(context.WithoutCancel(ctx), row)
	if err != nil {
		s.Log.ErrorContext(ctx, "cannot write a run's state", "run", row.ID, "error", err)
	}
	l.show(row)
	return err == nil
}

// forgetResults removes what will never be released: weights, a test's result, and the loss of an epoch that was not followed by a state.
func (s *Service) forgetResults(ctx context.Context, row *storage.RunRow) {
	if err := s.Store.DeleteBlob(weightsKind, row.ID); err != nil {
		s.Log.ErrorContext(ctx, "cannot remove the weights of a failed run", "run", row.ID, "error", err)
	}
	forgetUnfollowed(row)
}

// forgetUnfollowed takes the same out of the row. The state is forgotten after it.
func forgetUnfollowed(row *storage.RunRow) {
	row.WeightsSHA256, row.WeightsBytes, row.Result = nil, 0, nil
	row.History = followed(*row)
}

// loggable is an error of a run that never had the data, for the log.
func loggable(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
