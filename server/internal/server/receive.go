package server

import (
	"context"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

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
