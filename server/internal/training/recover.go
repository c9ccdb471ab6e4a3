package training

import (
	"context"
	"errors"
	"fmt"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Recover goes on with, or ends, what the last server left unfinished, by what the ledger says: a charge whose run never had the data is
// released, any other stays; a run that had the data is attempted again from its last state, or waits for the owner of its dataset. It runs
// before anything can start.
func (s *Service) Recover(ctx context.Context) error {
	rows, err := s.Store.UnfinishedRuns(ctx)
	if err != nil {
		return err
	}
	given := map[string]bool{}
	for _, run := range s.Budget.Unsettled() {
		given[run.Run] = run.DataGiven
	}
	resumed, left := map[string]bool{}, []storage.RunRow(nil)
	for _, row := range rows {
		if given[row.ID] {
			if resumed[row.ID], err = s.resume(ctx, row.ID); err != nil {
				return fmt.Errorf("recover a run: %w", err)
			}
		}
		if !resumed[row.ID] {
			left = append(left, row)
		}
	}
	for _, run := range s.Budget.Unsettled() {
		if resumed[run.Run] {
			continue
		}
		if err := s.closeCharge(run); err != nil {
			return fmt.Errorf("recover a run's charge: %w", err)
		}
	}
	for _, row := range left {
		if row, err = s.recovered(row); err != nil {
			return fmt.Errorf("recover a run: %w", err)
		}
		if err := s.Store.UpdateRun(ctx, row); err != nil {
			return err
		}
		s.Log.WarnContext(ctx, "run left by the last server was ended", "run", row.ID, "status", statusOf(row).String(), "spent", row.Spent)
	}
	return errors.Join(s.sweepWeights(ctx), s.sweepStates(ctx))
}

func (s *Service) closeCharge(run ledger.Run) error {
	if run.DataGiven {
		return s.Budget.Settle(run.Dataset, run.Run, ledger.OutcomeFailed)
	}
	return s.Budget.Release(run.Dataset, run.Run)
}

// recovered is how a run that was under way has ended. The ledger decides; its charge is closed by now.
func (s *Service) recovered(row storage.RunRow) (storage.RunRow, error) {
	outcome, err := s.outcomeOf(row)
	if err != nil {
		return row, err
	}
	row.EndedUnixMS = s.endOf(row)
	row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_FAILED)
	switch {
	case outcome == ledger.OutcomeReleased:
		row.Failure, row.Spent = failureStopped, refusal.Nothing
	case outcome == ledger.OutcomeCompleted && (len(row.WeightsSHA256) > 0 || len(row.Result) > 0):
		// Its weights were sealed, or its result written, and its charge settled; only the last word was missing.
		row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_COMPLETED)
	case outcome == ledger.OutcomeCancelled:
		row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_CANCELLED)
	default:
		row.Failure = failureWithData
	}
	if statusOf(row) != bastionlabv1.RunStatus_RUN_STATUS_COMPLETED {
		forgetUnfollowed(&row)
	}
	unnameState(&row)
	return row, nil
}

// outcomeOf is what the ledger says of a run; one that it does not know was never charged.
func (s *Service) outcomeOf(row storage.RunRow) (string, error) {
	account, err := s.Budget.Account(row.DatasetID)
	if err != nil {
		return "", err
	}
	for _, entry := range account.Entries {
		if entry.Run == row.ID {
			return entry.Outcome, nil
		}
	}
	return ledger.OutcomeReleased, nil
}

// sweepWeights removes weights that no completed run has.
func (s *Service) sweepWeights(ctx context.Context) error {
	return s.Store.SweepBlobs(weightsKind, func(id string) (bool, error) {
		row, err := s.Store.Run(ctx, id)
		if errors.Is(err, storage.ErrNoRow) {
			return false, nil
		}
		return err == nil && statusOf(row) == bastionlabv1.RunStatus_RUN_STATUS_COMPLETED && len(row.WeightsSHA256) > 0, err
	})
}
