package training

import (
	"context"
	"sync"
)

// maxPricing leaves processors for trainers.
const maxPricing = 2

// turns lets few prices be computed at once, and one of each user: whoever asks for many waits for the user's own, not others for them.
type turns struct {
	places chan struct{}

	mu sync.Mutex
	of map[string]*turn
}

// turn is a user's; it is forgotten when nobody has or wants it.
type turn struct {
	taken chan struct{}
	users int
}

func newTurns(places int) *turns {
	return &turns{places: make(chan struct{}, places), of: map[string]*turn{}}
}

// enter waits for the user's turn, then for a place. leave must be called.
func (t *turns) enter(ctx context.Context, user string) (leave func(), err error) {
	mine := t.join(user)
	select {
	case mine.taken <- struct{}{}:
	case <-ctx.Done():
		t.part(user)
		return nil, ctx.Err()
	}
	select {
	case t.places <- struct{}{}:
	case <-ctx.Done():
		<-mine.taken
		t.part(user)
		return nil, ctx.Err()
	}
	return func() {
		<-t.places
		<-mine.taken
		t.part(user)
	}, nil
}

func (t *turns) join(user string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := t.of[user]
	if mine == nil {
		mine = &turn{taken: make(chan struct{}, 1)}
		t.of[user] = mine
	}
	mine.users++
	return mine
}

func (t *turns) part(user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[user].users--; t.of[user].users == 0 {
		delete(t.of, user)
	}
}
