package training

import (
	"context"
	"errors"
	"fmt"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Why an execution was interrupted; the cause of its context.
var (
	errCancelled      = errors.New("cancelled by its author")
	errStopping       = errors.New("the server stops")
	errDatasetDeleted = errors.New("the dataset was deleted")
	errAccessRevoked  = errors.New("the dataset's owner took the permission back")
	errAuthorRevoked  = errors.New("its author was revoked")
)

var errTrainerGone = errors.New("the trainer ended between its preparation and the data")

// The failures that people may read while the trainer had no data. None holds what a trainer said: a model could have said it.
const (
	failureStopped        = "the server stopped before the run had the data"
	failureDatasetDeleted = "the dataset was deleted before the run had the data"
	failureAccessRevoked  = "the dataset's owner took the permission back before the run had the data"
	failureAuthorRevoked  = "its author was revoked on this server before the run had the data"
	failureModelRefused   = "the trainer did not take the model or the weights to go on from; the run never had the data"
	failureDeviceRefused  = "the trainer for the GPU did not take the model, as the one for the CPU did: most often an operator has no kernel there that adds in a fixed order; the run never had the data; train with device=\"cpu\""
	failureTrainerGone    = "the trainer ended before it had the data; try again with a smaller max_batch_size"
	failureLimited        = "the dataset's privacy limit was set or lowered before the run had the data, and does not allow it; look at the budget and train with an eps that fits"
	failureFrozen         = "the dataset's account was frozen before the run had the data: the server's ledger was put back from an older copy"
	failureServer         = "the server could not prepare the run; it never had the data"
)

// failureWithData is the one text after the data were given.
// PRIVACY: whether a trainer died, stalled, wrote rubbish or was interrupted may depend on records, so all of it reads the same.
const failureWithData = "the run ended without a result after it had the data; why is not told, because the reason may depend on records"

// failureDenied is what the author reads where the owner of the dataset did not approve another attempt.
const failureDenied = "the run was interrupted, and the owner of its dataset did not approve another attempt"

// failureBeforeData picks the text for an error of a run that never had the data. What a launcher says by itself is a list of its own:
// TrainingFailed, which tells what to do next. What it quotes from the model is not shown to others.
func failureBeforeData(ctx context.Context, err error, device string) string {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errDatasetDeleted):
		return failureDatasetDeleted
	case errors.Is(cause, errAccessRevoked):
		return failureAccessRevoked
	case errors.Is(cause, errAuthorRevoked):
		return failureAuthorRevoked
	case errors.Is(cause, errStopping):
		return failureStopped
	}
	if errors.Is(err, errTrainerGone) {
		return failureTrainerGone
	}
	if errors.Is(err, ledger.ErrLimited) {
		return failureLimited
	}
	if errors.Is(err, ledger.ErrFrozen) {
		return failureFrozen
	}
	var refused *refusal.Error
	if !errors.As(err, &refused) {
		return failureServer
	}
	switch refused.Kind {
	case refusal.TrainingFailed:
		return fmt.Sprintf("%s; the run never had the data; %s", refused.What, refused.Next)
	case refusal.IncompatibleModel, refusal.InvalidArgument:
		if device != "" {
			return failureDeviceRefused
		}
		return failureModelRefused
	case refusal.NotFound:
		return failureDatasetDeleted
	default:
		return failureServer
	}
}

// endedStatus tells a run that somebody cancelled from one that failed.
func endedStatus(ctx context.Context) bastionlabv1.RunStatus {
	if errors.Is(context.Cause(ctx), errCancelled) {
		return bastionlabv1.RunStatus_RUN_STATUS_CANCELLED
	}
	return bastionlabv1.RunStatus_RUN_STATUS_FAILED
}

// spentText says in words what a run costs while it is charged.
func spentText(plan *bastionlabv1.Plan, limit accounting.Epsilon) string {
	switch {
	case !plan.GetPrivate():
		return "everything: it ran without noise, and the dataset's account counts as infinite"
	case plan.GetUnlimited():
		return fmt.Sprintf("eps %s; the dataset has no limit", accounting.Epsilon(plan.GetEpsilonNano()))
	default:
		return fmt.Sprintf("eps %s of the limit %s", accounting.Epsilon(plan.GetEpsilonNano()), limit)
	}
}
