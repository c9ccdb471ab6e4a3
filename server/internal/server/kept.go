package server

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// datasetUpload is a dataset's upload in its place. One that has a name is kept for a while after its stream broke, and goes on with the next one.
type datasetUpload struct {
	key    uploadKey
	header *bastionlabv1.UploadDatasetHeader // but its after_batches

	// Of the stream that feeds it.
	upload DatasetUpload // nil until it was begun
	ended  bool          // it was finished, or refused: nothing is left to go on with

	// Guarded by uploads.mu.
	batches, records int64
	streaming        bool
	cut              func()        // ends the stream that feeds it, as if its client had gone
	released         chan struct{} // closed when that stream has ended
	until            time.Time     // it is kept, where nothing feeds it
	expiry           *time.Timer   // ends it then
}

// uploadKey names an upload.
// SECURITY: the user is a part of it, so that nobody sees or continues another's.
type uploadKey struct{ user, id string }

var uploadIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// open takes a place for the upload that a header begins, or returns the one that it goes on with, for this stream alone.
func (u *uploads) open(user string, header *bastionlabv1.UploadDatasetHeader) (*datasetUpload, error) {
	key, after := uploadKey{user, header.GetUploadId()}, header.GetAfterBatches()
	if key.id != "" && !uploadIDForm.MatchString(key.id) || after < 0 || key.id == "" && after != 0 {
		return nil, refusal.New(refusal.InvalidArgument, "use the client of this server's release", "an upload that can go on is named by 32 hex digits, and this one is not")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if kept := u.named[key]; kept != nil {
		return kept, u.resume(kept, header)
	}
	if after != 0 {
		return nil, holds(0, "the stream goes on after %d batches", after)
	}
	if err := u.take(user); err != nil {
		return nil, err
	}
	begun := &datasetUpload{key: key, header: withoutPlace(header), streaming: true}
	if key.id != "" {
		u.named[key] = begun
	}
	return begun, nil
}

// resume gives a kept upload to the stream that came with a header. The caller holds mu.
func (u *uploads) resume(kept *datasetUpload, header *bastionlabv1.UploadDatasetHeader) error {
	switch after := header.GetAfterBatches(); {
	case kept.streaming:
		return refusal.New(refusal.Unavailable, "wait until that one has ended, then ask how much the server holds", "another stream brings this upload already")
	case !proto.Equal(kept.header, withoutPlace(header)):
		return holds(kept.batches, "the header is not the one that the upload began with")
	case after != kept.batches:
		return holds(kept.batches, "the stream goes on after %d batches", after)
	}
	u.unkeep(kept)
	kept.streaming = true
	return nil
}

func withoutPlace(header *bastionlabv1.UploadDatasetHeader) *bastionlabv1.UploadDatasetHeader {
	header = proto.CloneOf(header)
	header.AfterBatches = 0
	return header
}

// holds refuses a stream that does not fit what there is of its upload, which stays as it is.
func holds(batches int64, format string, args ...any) error {
	refused := refusal.New(refusal.InvalidArgument, "go on after those with the same header, or upload under another identifier", format, args...)
	return refusal.New(refused.Kind, refused.Next, "%s, and the server holds %d batches of this upload", refused.What, batches)
}

// came counts a batch that was taken whole.
func (u *uploads) came(d *datasetUpload, records int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d.batches, d.records = d.batches+1, d.records+records
}

// standing is how much of an upload is there, to its uploader.
func (u *uploads) standing(user, id string) *bastionlabv1.UploadStanding {
	u.mu.Lock()
	defer u.mu.Unlock()
	if d := u.named[uploadKey{user, id}]; d != nil {
		return &bastionlabv1.UploadStanding{Batches: d.batches, Records: d.records}
	}
	return &bastionlabv1.UploadStanding{}
}

// release is called when a stream ends. An upload whose stream was cut, and that has a name, is kept; any other ends here.
func (u *uploads) release(d *datasetUpload, cut bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d.streaming = false
	if d.released != nil {
		close(d.released)
		d.cut, d.released = nil, nil
	}
	if !cut || d.key.id == "" || d.upload == nil || d.ended || u.stopped {
		u.drop(d)
		return
	}
	d.upload.Rest()
	// SECURITY: what is kept holds a place, a file and memory that nobody feeds, so there is little of it.
	u.dropOldest(maxKeptOfUser-1, func(other *datasetUpload) bool { return other.key.user == d.key.user })
	u.dropOldest(maxKept-1, func(*datasetUpload) bool { return true })
	d.until = time.Now().Add(u.keep)
	d.expiry = time.AfterFunc(u.keep, func() { u.expire(d) })
	u.waiting = append(u.waiting, d)
}

func (u *uploads) expire(d *datasetUpload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if slices.Contains(u.waiting, d) && !time.Now().Before(d.until) { // else it went on meanwhile
		u.drop(d)
	}
}

// dropOldest ends kept uploads of some until so many are left.
func (u *uploads) dropOldest(left int, of func(*datasetUpload) bool) {
	count := 0
	for i := len(u.waiting) - 1; i >= 0; i-- { // the newest first
		if d := u.waiting[i]; of(d) {
			if count++; count > left {
				u.drop(d)
			}
		}
	}
}

// drop ends an upload that no stream feeds, and gives its place back.
func (u *uploads) drop(d *datasetUpload) {
	u.unkeep(d)
	if d.upload != nil {
		d.upload.Abort() // does nothing where it became a dataset
	}
	if d.key.id != "" {
		delete(u.named, d.key)
	}
	u.give(d.key.user)
}

func (u *uploads) unkeep(d *datasetUpload) {
	if d.expiry != nil {
		d.expiry.Stop()
		d.expiry = nil
	}
	u.waiting = slices.DeleteFunc(u.waiting, func(other *datasetUpload) bool { return other == d })
}

// stop ends what is kept, and keeps nothing more.
func (u *uploads) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
	u.dropOldest(0, func(*datasetUpload) bool { return true })
}

// wasCut says whether a stream ended because its client was not reached any more, and not because somebody was refused.
func wasCut(ctx context.Context, err error) bool {
	var refused *refusal.Error
	return err != nil && ctx.Err() != nil && !errors.As(err, &refused) && !errors.As(context.Cause(ctx), &refused)
}
