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
// PRIVACY: where it computes is told by the plan that is charged.
func stillWished(o order) permission.Wish {
	if o.test != nil {
		return permission.Wish{Action: permission.Test}
	}
	return permission.Wish{Action: permission.Train, ConstantTime: true, GPU: o.plan.GetDevice() != ""}
}

// stillPermitted refuses a run whose author may not do it any more.
func (s *Service) stillPermitted(ctx context.Context, l *live) error {
	on := l.order.dataset.GetId()
	if _, err := s.Datasets.Permitted(ctx, l.state().Scientist, on, stillWished(l.order)); err != nil {
		return err
	}
	if l.order.continued == nil {
		return nil
	}
	return s.mayUse(ctx, *l.order.continued, on)
}

// AccessChanged ends the runs whose authors may not do them any more: those on a dataset, and those that began from weights, which may be of it. It waits for none that trains. It is called after the change is durable:
// a run that was not known here by then is judged again before it is charged.
func (s *Service) AccessChanged(ctx context.Context, dataset string) error {
	var errs []error
	for _, l := range s.livesThat(func(o order) bool { return o.dataset.GetId() == dataset || o.continued != nil }) {
		switch err := s.stillPermitted(ctx, l); refusal.KindOf(err) {
		case refusal.PermissionDenied, refusal.NotFound:
			s.interrupt(ctx, l, errAccessRevoked)
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// AuthorRevoked ends the runs of a user who was revoked: nobody is left to whom they could be of use, and what had no data is charged to nobody. A run that was
// not known here by then is refused when it is started.
func (s *Service) AuthorRevoked(ctx context.Context, user string) {
	for _, l := range s.allLive() {
		if l.state().Scientist == user {
			s.interrupt(ctx, l, errAuthorRevoked)
		}
	}
}

// mayTakeHome says whether the author of a run may take its weights home now.
func (s *Service) mayTakeHome(ctx context.Context, row storage.RunRow) error {
	return s.mayLeave(ctx, row, func(string) (bool, error) { return false, nil })
}

// mayUse says whether the weights of a run of the user's own may be gone on with, or tested, on a dataset.
func (s *Service) mayUse(ctx context.Context, row storage.RunRow, on string) error {
	return s.mayLeave(ctx, row, func(dataset string) (bool, error) {
		if dataset == on {
			return true, nil
		}
		from, err := s.Datasets.Permitted(ctx, row.Scientist, dataset, permission.Wish{Action: permission.See})
		switch refusal.KindOf(err) {
		case refusal.NotFound, refusal.PermissionDenied:
			return false, nil
		}
		return err == nil && from.GetTestId() == on, err
	})
}

// mayLeave judges each dataset that the weights of a run learnt from, but those with which they stay.
// PRIVACY: weights hold what every run that they went through learnt. Going on from a run on another dataset, with a learning rate of nearly nothing, would else take
// its weights home from there, and so would tests on records of the scientist's making.
func (s *Service) mayLeave(ctx context.Context, row storage.RunRow, stays func(dataset string) (bool, error)) error {
	judged := map[string]bool{}
	for {
		if !judged[row.DatasetID] {
			stay, err := stays(row.DatasetID)
			if err == nil && !stay {
				err = s.judgeHome(ctx, row)
			}
			if err != nil {
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

// continuedBy is the run from whose weights another began, or nil.
func (s *Service) continuedBy(ctx context.Context, row storage.RunRow) (*storage.RunRow, error) {
	id, err := WeightsFrom(row)
	if id == "" || err != nil {
		return nil, err
	}
	before, err := s.Store.Run(ctx, id)
	return &before, err
}

// WeightsFrom is the run that a training run went on from, or empty.
func WeightsFrom(row storage.RunRow) (string, error) {
	request := &bastionlabv1.TrainingRequest{}
	err := proto.Unmarshal(row.Request, request)
	return request.GetContinueRunId(), err
}

// WeightsTested is the run whose weights a test tested, or empty.
func WeightsTested(row storage.RunRow) (string, error) {
	request := &bastionlabv1.TestRequest{}
	err := proto.Unmarshal(row.Request, request)
	return request.GetWeightsRunId(), err
}
