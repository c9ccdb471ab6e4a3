package training

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// resume takes up a run that had the data when the last server ended. It says no where the run cannot be gone on with: then it is ended.
// PRIVACY: an attempt that was under way counts as interrupted, like one whose trainer died: whoever runs the machine can end a server at
// will, and might do so for a scientist who wants other noise.
func (s *Service) resume(ctx context.Context, id string) (bool, error) {
	row, err := s.Store.Run(ctx, id)
	if err != nil {
		return false, err
	}
	if s.hasWeights(row) {
		// All but the last word: the attempt had ended with its weights sealed.
		return false, s.Budget.Settle(row.DatasetID, row.ID, ledger.OutcomeCompleted)
	}
	forgetUnfollowed(&row)
	if err := s.Store.DeleteBlob(weightsKind, row.ID); err != nil {
		return false, err
	}
	o, err := s.orderOf(ctx, row)
	if lost := (*refusal.Error)(nil); errors.As(err, &lost) && (lost.Kind == refusal.NotFound || lost.Kind == refusal.PermissionDenied) || errors.Is(err, storage.ErrNoRow) || errors.Is(err, errNotResumable) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if row, err = s.requeued(ctx, row, o.plan.GetDevice()); err != nil {
		return false, err
	}
	l := newLive(row, o)
	l.dataGiven = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives[row.ID] = l
	if statusOf(row) == bastionlabv1.RunStatus_RUN_STATUS_WAITING {
		s.waiting[l] = true
	} else {
		s.queue = append(s.queue, l)
		s.signal()
	}
	s.Log.WarnContext(ctx, "run left by the last server is gone on with", "run", row.ID, "status", statusOf(row).String())
	return true, nil
}

// requeued is a run that is to be attempted again, as it stands in the store. Where its device is not offered any more it waits for the
// dataset's owner: an attempt could not begin, and would count against all runs on the dataset.
func (s *Service) requeued(ctx context.Context, row storage.RunRow, device string) (storage.RunRow, error) {
	next := bastionlabv1.RunStatus_RUN_STATUS_QUEUED
	if device != "" && !slices.Contains(s.Devices, device) {
		next = bastionlabv1.RunStatus_RUN_STATUS_WAITING
		s.Log.WarnContext(ctx, "run waits for its owner: what it computes on is not offered any more", "run", row.ID, "device", device)
	}
	switch was := statusOf(row); {
	case was == bastionlabv1.RunStatus_RUN_STATUS_RUNNING:
		return s.interrupted(ctx, row, next)
	case was == bastionlabv1.RunStatus_RUN_STATUS_QUEUED && next != was:
		row.Status = int32(next)
		return row, s.Store.UpdateRun(ctx, row)
	}
	return row, nil
}

// hasWeights says whether a trainer had finished, and its weights lie here.
func (s *Service) hasWeights(row storage.RunRow) bool {
	if len(row.WeightsSHA256) == 0 {
		return false
	}
	file, err := s.Store.OpenBlob(weightsKind, row.ID)
	if err != nil {
		return false
	}
	file.Close()
	return true
}

// errNotResumable is a test, which is never repeated, or a run of an earlier release, which did not write down what its trainer was told.
var errNotResumable = errors.New("it is not known what its trainer was told")

// orderOf is the order that a run was started with.
func (s *Service) orderOf(ctx context.Context, row storage.RunRow) (order, error) {
	if len(row.Train) == 0 {
		return order{}, errNotResumable
	}
	request, o := &bastionlabv1.TrainingRequest{}, order{plan: &bastionlabv1.Plan{}, train: &trainerv1.Train{}}
	err := errors.Join(proto.Unmarshal(row.Request, request), proto.Unmarshal(row.Plan, o.plan), proto.Unmarshal(row.Train, o.train))
	if err != nil {
		return order{}, fmt.Errorf("decode a run: %w", err)
	}
	if o.model, err = s.Models.Get(ctx, row.Scientist, row.ModelID); err != nil {
		return order{}, err
	}
	if o.dataset, err = s.Datasets.Permitted(ctx, row.Scientist, row.DatasetID, stillWished(o)); err != nil {
		return order{}, err
	}
	if from := request.GetContinueRunId(); from != "" {
		continued, err := s.Store.Run(ctx, from)
		if err != nil {
			return order{}, err
		}
		if err := s.mayUse(ctx, continued, row.DatasetID); err != nil {
			return order{}, err
		}
		o.continued = &continued
	}
	return o, nil
}
