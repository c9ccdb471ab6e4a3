package training

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// await has a run wait for the owner of its dataset. It is the last that its executor does with it. An interruption that came meanwhile ends it.
func (s *Service) await(serving, executed context.Context, l *live) {
	l.pause(executed)
	s.mu.Lock()
	s.waiting[l] = true
	l.show(l.paused) // whoever sees that it waits can decide
	s.mu.Unlock()
	if l.interrupted() && s.withdraw(l) {
		s.execute(serving, l)
	}
}

// unwait says whether the run waited: whoever gets that answer is the one to go on with it. The caller holds s.mu.
func (s *Service) unwait(l *live) bool {
	waited := s.waiting[l]
	delete(s.waiting, l)
	return waited
}

func (s *Service) waitingOf(scientist string) (count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.waiting {
		if l.state().Scientist == scientist {
			count++
		}
	}
	return count
}

// take finds a run that waits, for the owner of its dataset to decide, and takes it from those that wait.
func (s *Service) take(ctx context.Context, user, id string) (*live, error) {
	row, l, err := s.find(ctx, user, id)
	if err != nil {
		return nil, err
	}
	// PRIVACY: neither its author nor whoever runs the machine: both could be who interrupts it.
	if user != row.DatasetOwner {
		return nil, refusal.New(refusal.PermissionDenied, "ask the dataset's owner", "only the owner of its dataset decides on a run that waits")
	}
	if l != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.unwait(l) {
			return l, nil
		}
	}
	return nil, refusal.New(refusal.InvalidArgument, "look at the run's status", "the run does not wait for its dataset's owner")
}

// Approve lets a run that waits make one more attempt. It also forgives the interruptions on its dataset so far.
func (s *Service) Approve(ctx context.Context, user, id string) (*bastionlabv1.Run, error) {
	l, err := s.take(ctx, user, id)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	if !s.offers(l.order) {
		l.paused = l.state()
		s.await(ctx, context.Background(), l)
		return nil, refusal.New(refusal.Unavailable, "ask the server's operator to start it with --cuda, and approve again; or deny the run",
			"the run computes on %s, which this server does not offer at the moment", l.order.plan.GetDevice())
	}
	row := l.state()
	row.Granted = row.Attempts + 1
	row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_QUEUED)
	// Durable before it is queued: a grant that is lost is asked for again, one that comes twice would be one too many.
	if err := s.Store.ForgiveInterruptions(ctx, row); err != nil {
		l.paused = l.state()
		s.await(ctx, context.Background(), l)
		return nil, err
	}
	l.show(row)
	s.Log.InfoContext(ctx, "another attempt was approved", "run", row.ID, "user", user)
	s.enqueue(ctx, l)
	return runOf(row, user)
}

// Deny ends a run that waits. Its author is told so, with the owner's reason.
func (s *Service) Deny(ctx context.Context, user, id, reason string) (*bastionlabv1.Run, error) {
	if err := model.CheckTexts("denial", "", reason); err != nil {
		return nil, err
	}
	l, err := s.take(ctx, user, id)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	row := l.state()
	row.Failure, row.Denial = failureDenied, reason
	s.endFailed(ctx, l, row)
	s.Log.InfoContext(ctx, "another attempt was denied", "run", row.ID, "user", user)
	s.leave(ctx, l)
	return runOf(l.state(), user)
}

// endFailed ends a run that had the data and that nobody executes.
func (s *Service) endFailed(ctx context.Context, l *live, row storage.RunRow) {
	row.Status = int32(bastionlabv1.RunStatus_RUN_STATUS_FAILED)
	if err := s.Budget.Settle(row.DatasetID, row.ID, ledger.OutcomeFailed); err != nil {
		s.Log.ErrorContext(ctx, "cannot settle a run; it stays charged", "run", row.ID, "error", err)
	}
	s.forgetResults(ctx, &row)
	s.forgetState(ctx, &row)
	s.end(ctx, l, row)
}
