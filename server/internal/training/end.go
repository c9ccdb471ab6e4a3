package training

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// endBeforeData ends a run that never had the data: its charge is given back.
func (s *Service) endBeforeData(ctx context.Context, l *live, cause error) {
	row := l.state()
	row.Status = int32(endedStatus(ctx))
	if statusOf(row) == bastionlabv1.RunStatus_RUN_STATUS_FAILED {
		row.Failure = failureBeforeData(ctx, cause, l.order.plan.GetDevice())
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
	settle := s.settleCancelled
	if l.stateUnknown {
		settle = func(row storage.RunRow) error { return s.Budget.Settle(row.DatasetID, row.ID, ledger.OutcomeCancelled) }
	}
	if statusOf(row) == bastionlabv1.RunStatus_RUN_STATUS_FAILED {
		row.Failure = failureWithData
		settle = s.settleFailed
	}
	ctx = context.WithoutCancel(ctx)
	if err := settle(row); err != nil {
		s.Log.ErrorContext(ctx, "cannot settle a run; it stays charged", "run", row.ID, "error", err)
	}
	s.forgetResults(ctx, &row)
	s.forgetState(ctx, &row)
	s.Log.InfoContext(ctx, "run ended after it had the data", "run", row.ID, "status", statusOf(row).String())
	s.end(ctx, l, row)
}

func (s *Service) settleFailed(row storage.RunRow) error {
	return s.Budget.Settle(row.DatasetID, row.ID, ledger.OutcomeFailed)
}

// settleCancelled settles a run that a person ended to the end of its last released epoch, where composition counts steps.
// PRIVACY: nothing of the steps after its last durable state has left, or will: that state's losses came with it. A run that failed
// stays charged in full, because why it did may depend on records; so does one that was interrupted, for the same reason, and one of which no epoch
// was released: how long its steps took can be seen, and looking must not come for nothing.
func (s *Service) settleCancelled(row storage.RunRow) error {
	if row.StateSteps == 0 || row.Attempts > 1 || row.Interruptions > 0 {
		return s.Budget.Settle(row.DatasetID, row.ID, ledger.OutcomeCancelled)
	}
	plan := &bastionlabv1.Plan{}
	if err := proto.Unmarshal(row.Plan, plan); err != nil {
		return fmt.Errorf("decode the plan of a run: %w", err)
	}
	drawn, err := planning.Drawn(plan.GetCharge(), row.StateSteps)
	if err != nil {
		return err
	}
	return s.Budget.SettleCancelled(row.DatasetID, row.ID, drawn)
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

// endOf is now, and no earlier than the run was made: a clock that was set back must not make a run that never ended, or ended before it began.
func (s *Service) endOf(row storage.RunRow) int64 {
	return max(s.Now().UnixMilli(), row.CreatedUnixMS, 1)
}

// end makes the end durable, then visible. One that cannot be written is owed: see writeLater.
func (s *Service) end(ctx context.Context, l *live, row storage.RunRow) {
	row.EndedUnixMS = s.endOf(row)
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
