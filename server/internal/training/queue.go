package training

import (
	"context"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// admit takes a run in before it is charged, so that a full or stopping server charges nothing.
func (s *Service) admit(l *live) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return refusal.New(refusal.Unavailable, "start the run again when the server is back", "the server is stopping")
	}
	if len(s.lives)-len(s.waiting) >= s.MaxQueued {
		return refusal.New(refusal.Unavailable, "try again when one of them has ended", "%d runs are queued, and the server takes no more", s.MaxQueued)
	}
	s.lives[l.row.ID] = l
	return nil
}

// maxRunsOf is how many runs one scientist may have here, ended ones too: each is kept and told of. It is far more than one person trains.
const maxRunsOf = 10_000

// maxWaitingOf is how many runs of one scientist may wait for owners: they hold no place in the queue.
const maxWaitingOf = 20

// mayStart refuses one run too many of one scientist.
func (s *Service) mayStart(ctx context.Context, user string) error {
	count, err := s.Store.CountRuns(ctx, user)
	if err != nil {
		return err
	}
	if count >= s.maxRunsOf {
		return refusal.New(refusal.Unavailable, "ask the server's operator what to do", "you have started %d runs here, and the server keeps no more of one scientist", count)
	}
	if s.waitingOf(user) >= maxWaitingOf {
		return refusal.New(refusal.Unavailable, "ask their datasets' owners to decide, or cancel some", "%d of your runs wait for the owners of their datasets", maxWaitingOf)
	}
	return nil
}

// enqueue queues an admitted run, or ends it at once where the server has begun to stop since.
func (s *Service) enqueue(ctx context.Context, l *live) {
	s.mu.Lock()
	stopping := s.stopping
	if !stopping {
		s.queue = append(s.queue, l)
		s.signal()
	}
	s.mu.Unlock()
	if stopping {
		l.stop(errStopping)
		s.execute(ctx, l)
	}
}

// next takes the oldest run from the queue, waiting for one. It returns nil when ctx is done.
func (s *Service) next(ctx context.Context) *live {
	for ctx.Err() == nil {
		if l := s.pop(); l != nil {
			return l
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	return nil
}

func (s *Service) pop() *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil
	}
	l := s.queue[0]
	s.queue = s.queue[1:]
	if len(s.queue) > 0 {
		s.signal() // for the next worker: the token stood for both
	}
	return l
}

func (s *Service) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// withdraw takes a run out of the queue, or from those that wait for an owner, and says whether it was there.
func (s *Service) withdraw(l *live) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, queued := range s.queue {
		if queued == l {
			s.queue = append(s.queue[:i:i], s.queue[i+1:]...)
			return true
		}
	}
	return s.unwait(l)
}

// drop forgets a run that has ended or was never charged.
func (s *Service) drop(l *live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lives, l.row.ID)
}

func (s *Service) live(run string) *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lives[run]
}

// close admits nothing any more and hands over what is still queued.
func (s *Service) close() []*live {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	waiting := s.queue
	s.queue = nil
	return waiting
}

// DatasetDeleted ends the runs on a dataset: its owner wants the records out of memory too. It waits for none that trains.
func (s *Service) DatasetDeleted(ctx context.Context, dataset string) {
	for _, l := range s.livesThat(func(o order) bool { return o.dataset.GetId() == dataset }) {
		s.interrupt(ctx, l, errDatasetDeleted)
	}
}

func (s *Service) livesThat(are func(order) bool) (found []*live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		if are(l.order) {
			found = append(found, l)
		}
	}
	return found
}

// interrupt ends a run: at once where it is queued, else by stopping its trainer, for which it does not wait.
func (s *Service) interrupt(ctx context.Context, l *live, cause error) {
	l.stop(cause)
	if s.withdraw(l) {
		s.execute(context.WithoutCancel(ctx), l)
	}
}
