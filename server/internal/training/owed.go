package training

import (
	"context"
	"errors"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// writeAgain is how long a run's end waits that could not be written.
const writeAgain = 5 * time.Second

// leave forgets a run that was executed, once its end is written: until then the row says that it runs, and only what lives knows better.
func (s *Service) leave(ctx context.Context, l *live) {
	if l.owed {
		s.owing.Go(func() { s.writeLater(context.WithoutCancel(ctx), l) })
		return
	}
	s.drop(l)
}

// writeLater writes a run's end again and again, a last time when the server stops. What is not written then the next start reads from the
// ledger.
func (s *Service) writeLater(ctx context.Context, l *live) {
	defer s.drop(l)
	row := l.state()
	for last := false; ; {
		select {
		case <-s.stopped:
			last = true
		case <-time.After(s.writeAgain):
		}
		err := s.Store.UpdateRun(ctx, row)
		if err == nil || errors.Is(err, storage.ErrNoRow) {
			s.Log.InfoContext(ctx, "the end of a run is written now", "run", row.ID)
			return
		}
		if last {
			s.Log.ErrorContext(ctx, "cannot write the end of a run; the next start tells it from the ledger", "run", row.ID, "error", err)
			return
		}
	}
}
