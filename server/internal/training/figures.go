package training

import (
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// Figures is how many runs there are that have not ended, as anybody is told who may see them.
type Figures struct {
	Queued, Running, Waiting int
	OldestQueued             time.Duration // how long the first in the queue has been there
	Places                   int           // how many more runs are taken
}

// Figures counts them by the status that they show.
// PRIVACY: a run that is repeated shows no other status than one that is not.
func (s *Service) Figures() Figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := Figures{Places: max(0, s.MaxQueued-(len(s.lives)-len(s.waiting)))}
	for _, l := range s.lives {
		switch statusOf(l.state()) {
		case bastionlabv1.RunStatus_RUN_STATUS_QUEUED:
			f.Queued++
		case bastionlabv1.RunStatus_RUN_STATUS_RUNNING:
			f.Running++
		case bastionlabv1.RunStatus_RUN_STATUS_WAITING:
			f.Waiting++
		}
	}
	if len(s.queue) > 0 {
		f.OldestQueued = max(0, s.Now().Sub(time.UnixMilli(s.queue[0].state().CreatedUnixMS)))
	}
	return f
}
