package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

const maxChunkBytes = 1 << 20

// Upload is one archive on its way in. It is used by one goroutine.
type Upload struct {
	catalogue *Catalogue
	id        string
	author    string
	header    *bastionlabv1.UploadModelHeader
	schema    *bastionlabv1.Schema
	archive   *storage.BlobWriter
	received  int64
}

// Begin checks all that can be known before the archive. The caller must call Abort.
func (c *Catalogue) Begin(ctx context.Context, user string, header *bastionlabv1.UploadModelHeader) (*Upload, error) {
	if err := CheckTexts("model", header.GetName(), header.GetDescription()); err != nil {
		return nil, err
	}
	switch size := header.GetArchiveBytes(); {
	case size < 1:
		return nil, refusal.New(refusal.InvalidArgument, "save the model with torch.jit.save", "the archive is announced with %d bytes", size)
	case size > c.Limits.ArchiveBytes:
		return nil, refusal.New(refusal.InvalidArgument, "train a smaller model, or ask the server's operator for more memory",
			"the archive has %d bytes, and the server takes at most %d", size, c.Limits.ArchiveBytes)
	}
	dataset, err := c.Datasets.Permitted(ctx, user, header.GetDatasetId(), permission.Wish{Action: permission.Propose})
	if err != nil {
		return nil, err
	}
	if err := CheckLoss(header.GetLoss(), dataset.GetSchema().GetLabel()); err != nil {
		return nil, err
	}
	id := storage.NewID()
	archive, err := c.Store.CreateBlob(archiveKind, id)
	if err != nil {
		return nil, err
	}
	return &Upload{catalogue: c, id: id, author: user, header: header, schema: dataset.GetSchema(), archive: archive}, nil
}

// Add takes the next chunk of the archive.
func (u *Upload) Add(_ context.Context, chunk []byte) error {
	if len(chunk) > maxChunkBytes {
		return refusal.New(refusal.InvalidArgument, "send chunks of 1 MiB", "a chunk has %d bytes", len(chunk))
	}
	u.received += int64(len(chunk))
	if u.received > u.header.GetArchiveBytes() {
		return refusal.New(refusal.InvalidArgument, "upload the model again", "the archive is longer than the %d bytes announced", u.header.GetArchiveBytes())
	}
	_, err := u.archive.Write(chunk)
	return err
}

// Finish checks the archive against its digest, has it read without data, and makes the model known.
func (u *Upload) Finish(ctx context.Context, trailer *bastionlabv1.UploadModelTrailer) (*bastionlabv1.UploadModelResponse, error) {
	if u.received != u.header.GetArchiveBytes() {
		return nil, refusal.New(refusal.InvalidArgument, "upload the model again", "%d of the archive's %d bytes arrived", u.received, u.header.GetArchiveBytes())
	}
	digest, size, err := u.archive.Commit()
	if err != nil {
		return nil, err
	}
	defer u.dropArchive(ctx)
	if !bytes.Equal(digest, trailer.GetSha256()) {
		return nil, refusal.New(refusal.InvalidArgument, "upload the model again", "the archive arrived with another digest than it was sent with")
	}
	report, err := u.takeIn(ctx, digest, size)
	if err != nil {
		// What cannot be removed now is removed by Recover at the next start.
		return nil, errors.Join(err, u.catalogue.Store.DeleteBlob(programKind, u.id))
	}
	return &bastionlabv1.UploadModelResponse{ModelId: u.id, Report: report}, nil
}

// dropArchive: whatever came of it, nobody needs the archive any more. That it cannot be removed makes no model worse.
func (u *Upload) dropArchive(ctx context.Context) {
	if err := u.catalogue.Store.DeleteBlob(archiveKind, u.id); err != nil {
		u.catalogue.Log.WarnContext(ctx, "archive is left until the next start", "model", u.id, "cause", err.Error())
	}
}

func (u *Upload) insert(ctx context.Context, understood *trainerv1.Program, report *bastionlabv1.CapabilityReport) error {
	encodedProgram, err := proto.Marshal(understood)
	if err != nil {
		return fmt.Errorf("encode a program: %w", err)
	}
	encodedReport, err := proto.Marshal(report)
	if err != nil {
		return fmt.Errorf("encode a report: %w", err)
	}
	return u.catalogue.Store.InsertModel(ctx, storage.ModelRow{
		ID:            u.id,
		Owner:         u.author,
		DatasetID:     u.header.GetDatasetId(),
		Name:          u.header.GetName(),
		Description:   u.header.GetDescription(),
		Loss:          u.header.GetLoss(),
		CreatedUnixMS: u.catalogue.Now().UnixMilli(),
		Program:       encodedProgram,
		Report:        encodedReport,
		BlobSHA256:    understood.GetPayloadSha256(),
		BlobBytes:     understood.GetPayloadBytes(),
	})
}

// Abort drops an upload that was not finished.
func (u *Upload) Abort() { u.archive.Abort() }
