package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// uploads bounds how many uploads are under way: of all callers, because each holds a message in memory, and of one caller, so that
// nobody takes all the places.
type uploads struct {
	all, each int

	mu    sync.Mutex
	taken int
	of    map[string]int // by user
}

func newUploads(all, each int) *uploads { return &uploads{all: all, each: each, of: map[string]int{}} }

// enter takes a place for an upload whose header has arrived. leave must be called.
func (u *uploads) enter(user string) (leave func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.of[user] >= u.each:
		return nil, refusal.New(refusal.Unavailable, "wait for one of them to end", "you have %d uploads under way, and may have no more at once", u.each)
	case u.taken >= u.all:
		return nil, refusal.New(refusal.Unavailable, "try again in a minute", "%d uploads are under way, and the server takes no more at once", u.all)
	}
	u.taken++
	u.of[user]++
	return func() { u.leave(user) }, nil
}

func (u *uploads) leave(user string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.taken--
	if u.of[user]--; u.of[user] == 0 {
		delete(u.of, user)
	}
}

// pace is how long the server still waits for an upload's messages. Waiting takes from it and every byte that comes adds to it, up to what it
// began with: a client may pause, and may not hold its place with a byte now and then. What the server itself takes does not count.
type pace struct{ left, most time.Duration }

func newPace() *pace { return &pace{left: uploadIdle, most: uploadIdle} }

func (p *pace) earn(waited time.Duration, bytes int) {
	p.left = min(p.most, p.left-waited+time.Duration(bytes)*time.Second/uploadBytesPerSecond)
}

// receive takes the next message of an upload, or gives up on a client that has fallen silent or sends too slowly.
func receive[Message proto.Message](ctx context.Context, p *pace, next func() (Message, error)) (Message, error) {
	started := time.Now()
	message, err := within(ctx, p.left, next)
	switch {
	case errors.Is(err, io.EOF):
		return message, refusal.New(refusal.InvalidArgument, "upload it again", "the upload ended before its trailer; nothing of it was kept")
	case errors.Is(err, errTooSlow):
		return message, refusal.New(refusal.Unavailable, "upload it again, over a better connection",
			"the upload paused for longer than %s, or brought less than %d KiB a second for long; nothing of it was kept", p.most, uploadBytesPerSecond>>10)
	case err != nil:
		return message, err
	}
	p.earn(time.Since(started), proto.Size(message))
	return message, nil
}

// receiveHeader takes an upload's first message, which has no place yet.
func receiveHeader[Message proto.Message](ctx context.Context, next func() (Message, error)) (Message, error) {
	return receive(ctx, &pace{left: requestTime, most: requestTime}, next)
}
