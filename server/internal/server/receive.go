package server

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// receive takes the next message of an upload, or gives up after a pause of idle: a client that falls silent must not hold its place.
func receive[Message any](ctx context.Context, idle time.Duration, next func() (Message, error)) (Message, error) {
	message, err := within(ctx, idle, next)
	switch {
	case errors.Is(err, io.EOF):
		return message, refusal.New(refusal.InvalidArgument, "upload it again", "the upload ended before its trailer; nothing of it was kept")
	case errors.Is(err, errTooSlow):
		return message, refusal.New(refusal.Unavailable, "upload it again", "the upload paused for longer than %s; nothing of it was kept", idle)
	}
	return message, err
}

// errTooSlow is what a request that does not come in time gets.
var errTooSlow = refusal.New(refusal.Unavailable, "try again over a better connection", "the request did not arrive in time")

// within waits for the next message for so long. The waiting goroutine ends with the call's context, at the latest when the handler
// returns.
func within[Message any](ctx context.Context, wait time.Duration, next func() (Message, error)) (Message, error) {
	type arrival struct {
		message Message
		err     error
	}
	arrived := make(chan arrival, 1)
	go func() {
		message, err := next()
		arrived <- arrival{message, err}
	}()
	pause := time.NewTimer(wait)
	defer pause.Stop()
	var none Message
	select {
	case got := <-arrived:
		if got.err != nil {
			return none, got.err
		}
		return got.message, nil
	case <-ctx.Done():
		return none, ctx.Err()
	case <-pause.C:
		return none, errTooSlow
	}
}

// uploads bounds how many uploads are under way, and how long each may pause.
type uploads struct {
	places chan struct{}
	idle   time.Duration
}

func newUploads(places int, idle time.Duration) *uploads {
	return &uploads{places: make(chan struct{}, places), idle: idle}
}

func (u *uploads) enter() error {
	select {
	case u.places <- struct{}{}:
		return nil
	default:
		return refusal.New(refusal.Unavailable, "try again in a minute", "%d uploads are under way, and the server takes no more at once", cap(u.places))
	}
}

func (u *uploads) leave() { <-u.places }
