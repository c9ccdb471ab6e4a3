package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
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

// supersede ends the stream whose place another one takes, and waits for its end: a client that lost its connection is back before the server has noticed.
// A stream that has brought all is waited for, and not ended.
func (u *uploads) supersede(ctx context.Context, user string, header *bastionlabv1.UploadDatasetHeader) {
	u.mu.Lock()
	d := u.named[uploadKey{user, header.GetUploadId()}]
	if d == nil || !d.streaming || d.released == nil || header.GetAfterBatches() != d.batches || !proto.Equal(d.header, withoutPlace(header)) {
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
