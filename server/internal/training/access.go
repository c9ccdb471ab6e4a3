package training

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// operates says whether the user runs the machine: who does sees runs and may end them, and owns nothing by that.
func (s *Service) operates(user string) bool { return s.Roles(user).Has(permission.Operator) }

// stillWished is what the author of a run that was permitted must still be permitted. What time it takes was judged, and does not change.
func stillWished(o order) permission.Wish {
	if o.test != nil {
		return permission.Wish{Action: permission.Test}
	}
	return permission.Wish{Action: permission.Train, ConstantTime: true}
}

// stillPermitted refuses a run whose author may not do it any more.
func (s *Service) stillPermitted(ctx context.Context, l *live) error {
	_, err := s.Datasets.Permitted(ctx, l.state().Scientist, l.order.dataset.GetId(), stillWished(l.order))
	return err
}

// AccessChanged ends the runs on a dataset whose authors may not do them any more. It waits for none that trains. It is called after the change is durable:
// a run that was not known here by then is judged again before it is charged.
func (s *Service) AccessChanged(ctx context.Context, dataset string) error {
	var errs []error
	for _, l := range s.livesOn(dataset) {
		switch err := s.stillPermitted(ctx, l); refusal.KindOf(err) {
		case refusal.PermissionDenied, refusal.NotFound:
			s.interrupt(ctx, l, errAccessRevoked)
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// mayTakeHome says whether the author of a run may take its weights home now, or use them elsewhere.
// PRIVACY: weights hold what every run that they went through learnt. Going on from a run on another dataset, with a learning rate of nearly nothing, would else take
// its weights home from there.
func (s *Service) mayTakeHome(ctx context.Context, row storage.RunRow) error {
	judged := map[string]bool{}
	for {
		if !judged[row.DatasetID] {
			if err := s.judgeHome(ctx, row); err != nil {
				return err
			}
			judged[row.DatasetID] = true
		}
		before, err := s.continuedBy(ctx, row)
		if before == nil || err != nil {
			return err
		}
		row = *before
	}
}

func (s *Service) judgeHome(ctx context.Context, row storage.RunRow) error {
	_, err := s.Datasets.Permitted(ctx, row.Scientist, row.DatasetID, permission.Wish{Action: permission.TakeHome})
	switch {
	case refusal.KindOf(err) != refusal.NotFound:
		return err
	case row.DatasetOwner == row.Scientist: // who deleted it
		return nil
	}
	// That it is gone is no secret to who trained on it, and which of the two it is stays one.
	return refusal.New(refusal.NotFound, "ask the dataset's owner", "the weights stay here: the dataset that they were trained on was deleted, or is not granted to you any more")
}

// mayUse says whether the weights of a run of the user's own may be gone on with, or tested, on a dataset.
func (s *Service) mayUse(ctx context.Context, row storage.RunRow, on string) error {
	if row.DatasetID == on {
		return nil
	}
	from, err := s.Datasets.Permitted(ctx, row.Scientist, row.DatasetID, permission.Wish{Action: permission.See})
	if err == nil && from.GetTestId() == on {
		return nil
	}
	return s.mayTakeHome(ctx, row)
}

// continuedBy is the run from whose weights another began, or nil.
func (s *Service) continuedBy(ctx context.Context, row storage.RunRow) (*storage.RunRow, error) {
	request := &bastionlabv1.TrainingRequest{}
	if err := proto.Unmarshal(row.Request, request); err != nil {
		return nil, err
	}
	if request.GetContinueRunId() == "" {
		return nil, nil
	}
	before, err := s.Store.Run(ctx, request.GetContinueRunId())
	return &before, err
}
