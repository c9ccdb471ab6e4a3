package server

import (
	"context"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// errSuperseded is what a stream hears, should it still be there, in whose place another goes on.
var errSuperseded = refusal.New(refusal.Unavailable, "leave it to that one", "another stream goes on with this upload")

// feeds says how the stream of an upload is ended.
func (u *uploads) feeds(d *datasetUpload, cut func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d.cut, d.released = cut, make(chan struct{})
}

// settle ends the stream of an upload for a client that comes back, and waits until what it brought is taken in: a client that lost its
// connection is back before the server has noticed. Who asks how much there is has given the stream up, and another stream takes its
// place only where it goes on after it. A stream that has brought all is waited for, and not ended.
func (u *uploads) settle(ctx context.Context, key uploadKey, gives func(*datasetUpload) bool) {
	u.mu.Lock()
	d := u.named[key]
	if d == nil || !d.streaming || d.released == nil || !gives(d) {
		u.mu.Unlock()
		return
	}
	released := d.released
	if d.cut != nil {
		d.cut()
	}
	u.mu.Unlock()
	patience := time.NewTimer(requestTime)
	defer patience.Stop()
	select {
	case <-released:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// brought says that all of an upload has come: its stream is cut no more.
func (u *uploads) brought(d *datasetUpload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d.cut = nil
}
