package server

import (
	"sync"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// maxCallsOfUser is how many calls of one user are handled at once, on all their connections, watched runs and uploads among them.
const maxCallsOfUser = 128

// calls bounds them.
// SECURITY: an answer is held in memory until its caller has read it, listings of 16 MiB too, and gRPC waits for slow readers without end. Who signed in has
// hundreds of connections with dozens of streams each.
type calls struct {
	mu sync.Mutex
	of map[string]int

	observe Observer
}

// enter takes a place for a call. leave must be called. Without calls there is no bound: on the operator's socket.
func (c *calls) enter(user string) (leave func(), err error) {
	if c == nil {
		return func() {}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[user] >= maxCallsOfUser {
		c.observe.Limited(limitCallsOfUser)
		return nil, refusal.New(refusal.Unavailable, "read the answers of those first, or end them", "%d calls of yours are under way, and the server takes no more at once", maxCallsOfUser)
	}
	c.of[user]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.of[user]--; c.of[user] == 0 {
			delete(c.of, user)
		}
	}, nil
}
