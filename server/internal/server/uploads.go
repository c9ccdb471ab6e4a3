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
// nobody takes all the places. Those whose stream was cut keep theirs until somebody needs it.
type uploads struct {
	all, each int
	keep      time.Duration // how long an upload whose stream was cut is kept
	observe   Observer

	mu      sync.Mutex
	taken   int
	of      map[string]int               // by user
	named   map[uploadKey]*datasetUpload // those that can go on
	waiting []*datasetUpload             // of them those without a stream, the one first that has waited longest
	made    []made                       // became datasets, oldest first
	stopped bool
}

func newUploads(all, each int) *uploads {
	return &uploads{all: all, each: each, keep: keepUpload, observe: nobody{}, of: map[string]int{}, named: map[uploadKey]*datasetUpload{}}
}

// enter takes a place for an upload whose header has arrived. leave must be called.
func (u *uploads) enter(user string) (leave func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.take(user); err != nil {
		return nil, err
	}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.give(user)
	}, nil
}

// take takes a place, of an upload that waits for its stream where all others are taken. The caller holds mu.
func (u *uploads) take(user string) error {
	if u.of[user] >= u.each {
		u.dropOldest(0, func(d *datasetUpload) bool { return d.key.user == user })
	}
	if u.taken >= u.all && len(u.waiting) > 0 {
		u.drop(u.waiting[0])
	}
	switch {
	case u.of[user] >= u.each:
		u.observe.Limited(limitUploadsOfUser)
		return refusal.New(refusal.Unavailable, "wait for one of them to end", "you have %d uploads under way, and may have no more at once", u.each)
	case u.taken >= u.all:
		u.observe.Limited(limitUploads)
		return refusal.New(refusal.Unavailable, "try again in a minute", "%d uploads are under way, and the server takes no more at once", u.all)
	}
	u.taken++
	u.of[user]++
	return nil
}

func (u *uploads) give(user string) {
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
