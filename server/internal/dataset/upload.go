package dataset

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Upload is one dataset on its way in. It is used by one goroutine, and ends with Finish or Abort.
type Upload struct {
	catalogue *Catalogue
	id        string
	owner     string
	terms     terms
	blob      *storage.BlobWriter
	relay     relay
	rows      *collector
	batches   int64
	records   int64
	digests   hash.Hash // over the batches' digests
	ended     bool
}

// Begin checks a header and opens an upload. The caller must call Abort in the end; after a Finish that succeeded it does nothing.
func (c *Catalogue) Begin(ctx context.Context, owner string, header *bastionlabv1.UploadDatasetHeader) (*Upload, error) {
	t, err := c.checkHeader(ctx, owner, header)
	if err != nil {
		return nil, err
	}
	rows, err := c.newCollector(owner, t.header.GetSchema())
	if err != nil {
		return nil, err
	}
	id := storage.NewID()
	if err := c.store.NewDatasetKey(ctx, id); err != nil {
		return nil, err
	}
	blob, err := c.store.CreateDatasetBlob(ctx, id, blobKind, id)
	if err != nil {
		return nil, errors.Join(err, c.dropKey(id))
	}
	return &Upload{
		catalogue: c, id: id, owner: owner, terms: t, blob: blob, rows: rows,
		relay: newRelay(t.header.GetSchema(), t.recordBytes, rows.add), digests: sha256.New(),
	}, nil
}

// Add takes the next batch. After an error the upload is aborted.
func (u *Upload) Add(ctx context.Context, batch *bastionlabv1.RecordBatch) error {
	if u.ended {
		return errEnded
	}
	err := u.add(ctx, batch)
	if err != nil {
		u.Abort()
	}
	return err
}

var errEnded = errors.New("the upload has ended")

func (u *Upload) add(ctx context.Context, batch *bastionlabv1.RecordBatch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	number := u.batches + 1
	promised := u.terms.header.GetRecords()
	if batch.GetCount() < 1 {
		return invalid(uploadAgain, "batch %d is empty", number)
	}
	if batch.GetCount() > promised-u.records {
		return invalid(uploadAgain, "batch %d brings more records than the %d that the header promised", number, promised)
	}
	if int64(len(batch.GetSafetensors())) > u.catalogue.limits.BatchBytes {
		return invalid("upload smaller batches", "batch %d is larger than %d bytes", number, u.catalogue.limits.BatchBytes)
	}
	digest := sha256.Sum256(batch.GetSafetensors())
	if string(digest[:]) != string(batch.GetSha256()) {
		return invalid("upload again", "batch %d does not have the digest that was sent with it: it was damaged on the way", number)
	}
	tensors, err := u.relay.open(number, batch)
	if err != nil {
		return err
	}
	if err := u.relay.write(u.blob, tensors, batch.GetCount()); err != nil {
		return err
	}
	u.digests.Write(digest[:])
	u.batches, u.records = number, u.records+batch.GetCount()
	return nil
}

// Rest gives back what memory an upload needs only while batches come. It can go on afterwards.
func (u *Upload) Rest() { u.relay.buffer = nil }

// Finish checks the trailer and makes the dataset visible. After an error nothing of it is left.
func (u *Upload) Finish(ctx context.Context, trailer *bastionlabv1.UploadDatasetTrailer) (*bastionlabv1.UploadDatasetResponse, error) {
	if u.ended {
		return nil, errEnded
	}
	defer u.Abort() // does nothing where it became a dataset
	promised := u.terms.header.GetRecords()
	if trailer.GetRecords() != promised || u.records != promised {
		return nil, invalid(uploadAgain, "the header promised %d records, %d came after %d batches, and the trailer says %d",
			promised, u.records, u.batches, trailer.GetRecords())
	}
	if string(u.digests.Sum(nil)) != string(trailer.GetSha256()) {
		return nil, invalid("upload again", "the trailer's digest is not that of the batches that came: some were lost, repeated or exchanged")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	digest, size, err := u.blob.Commit()
	if err != nil {
		return nil, err // and Abort drops the key
	}
	u.ended = true
	return u.publish(ctx, digest, size)
}

// Abort drops what came. It does nothing once the upload has ended.
func (u *Upload) Abort() {
	if u.ended {
		return
	}
	u.ended = true
	u.blob.Abort()
	_ = u.catalogue.dropKey(u.id) // what stays goes at the next start, and opens nothing
}
