package training

import (
	"context"
	"sync"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// live is a run that has not ended. Watchers read its latest state; they are woken, never waited for.
type live struct {
	order order

	mu       sync.Mutex
	row      storage.RunRow
	watchers map[chan struct{}]bool
	// interrupt ends the execution with a cause; nil while the run is queued.
	interrupt context.CancelCauseFunc
	// cause is set by an interruption that came while the run was queued.
	cause error
	ended chan struct{}

	// Of whoever executes it:
	stateUnknown bool           // whether the row of a state, with its losses, was written is not known
	dataGiven    bool           // in an attempt of before, perhaps of the last server
	owed         bool           // its end is shown and not written
	paused       storage.RunRow // as it will wait for the owner of its dataset
}

func newLive(row storage.RunRow, o order) *live {
	return &live{order: o, row: row, watchers: map[chan struct{}]bool{}, ended: make(chan struct{})}
}

// begin marks the run as taken from the queue. It returns the cause of an interruption that came before.
func (l *live) begin(interrupt context.CancelCauseFunc) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt = interrupt
	return l.cause
}

// stop interrupts the run, wherever it is; the first cause counts.
func (l *live) stop(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.interrupt != nil {
		l.interrupt(cause)
	} else if l.cause == nil {
		l.cause = cause
	}
}

// pause marks the run as executed by nobody.
func (l *live) pause(executed context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt, l.cause = nil, context.Cause(executed)
}

// interrupted says whether an interruption came while nobody executed the run.
func (l *live) interrupted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.interrupt == nil && l.cause != nil
}

// state is the run as it is now.
func (l *live) state() storage.RunRow {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.row
}

// show makes a new state visible.
func (l *live) show(row storage.RunRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.row = row
	for watcher := range l.watchers {
		select {
		case watcher <- struct{}{}:
		default: // it has been woken and did not look yet: it will see this state
		}
	}
	if row.EndedUnixMS != 0 {
		close(l.ended)
	}
}

// join adds a watcher, to be woken at every change; leave must be called.
func (l *live) join() (changed <-chan struct{}, leave func()) {
	wake := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[wake] = true
	return wake, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, wake)
	}
}

func hasEnded(row storage.RunRow) bool {
	switch bastionlabv1.RunStatus(row.Status) {
	case bastionlabv1.RunStatus_RUN_STATUS_COMPLETED, bastionlabv1.RunStatus_RUN_STATUS_FAILED, bastionlabv1.RunStatus_RUN_STATUS_CANCELLED:
		return true
	default:
		return false
	}
}
