package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// takeIn makes a program of the archive that has arrived, judges it, keeps it and makes it known.
func (u *Upload) takeIn(ctx context.Context, archiveSHA256 []byte, archiveBytes int64) (*bastionlabv1.CapabilityReport, error) {
	leave, err := u.catalogue.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	payload, stated, err := u.readArchive(ctx, &trainerv1.Intake{
		ArchiveSha256: archiveSHA256, ArchiveBytes: archiveBytes, Schema: u.schema, Loss: u.header.GetLoss(),
	})
	if err != nil {
		return nil, err
	}
	defer payload.Close()
	report, size, err := u.judge(payload, stated)
	if err != nil {
		return nil, err
	}
	kept, err := u.keep(ctx, payload, size)
	if err != nil {
		return nil, err
	}
	report.ProgramSha256 = kept.GetPayloadSha256()
	return report, u.insert(ctx, kept, report)
}

// readArchive looks at the archive as a file and has it read in a sandboxed process. What that process wrote comes back sealed.
func (u *Upload) readArchive(ctx context.Context, request *trainerv1.Intake) (payload *os.File, stated *bastionlabv1.CapabilityReport, err error) {
	archive, err := u.catalogue.Store.BlobMemfd(ctx, archiveKind, u.id, request.GetArchiveSha256())
	if err != nil {
		return nil, nil, err
	}
	defer archive.Close()
	if _, err := program.CheckArchive(archive, request.GetArchiveBytes(), u.catalogue.Limits); err != nil {
		return nil, nil, err
	}
	output, err := storage.NewMemfd(programKind)
	if err != nil {
		return nil, nil, err
	}
	done, err := u.catalogue.Intake.Intake(ctx, request, archive, output)
	if err == nil {
		// SECURITY: from here on the bytes are what they are; sealing fails where somebody could still write to them.
		err = storage.SealMemfd(output)
	}
	if err != nil {
		return nil, nil, errors.Join(err, output.Close())
	}
	return output, done.GetReport(), nil
}

// judge reads the program that lies in the payload, which no one can change any more.
// SECURITY: nothing that the intake says about those bytes is believed: who has parsed a hostile file may be the author's by now. Size,
// digest, graph and tensors are the payload's own, judged by the server's table against the dataset's schema and the loss asked for.
func (u *Upload) judge(payload *os.File, stated *bastionlabv1.CapabilityReport) (*bastionlabv1.CapabilityReport, int64, error) {
	info, err := payload.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("look at a program: %w", err)
	}
	operators, err := program.Operators()
	if err != nil {
		return nil, 0, err
	}
	canonical, err := program.Scan(payload, info.Size())
	if err != nil {
		return nil, 0, err
	}
	if err := canonical.Judge(operators, u.schema, u.header.GetLoss()); err != nil {
		return nil, 0, err
	}
	report, err := canonical.Report(stated)
	return report, info.Size(), err
}

// keep stores the payload, piece by piece, under the digest that comes of it.
func (u *Upload) keep(ctx context.Context, payload *os.File, size int64) (*trainerv1.Program, error) {
	blob, err := u.catalogue.Store.CreateBlob(programKind, u.id)
	if err != nil {
		return nil, err
	}
	defer blob.Abort() // does nothing once committed
	content := io.NewSectionReader(payload, 0, size)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		_, err := io.CopyN(blob, content, maxChunkBytes)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("keep a program: %w", err)
		}
	}
	digest, written, err := blob.Commit()
	if err != nil {
		return nil, err
	}
	if written != size {
		return nil, errors.New("keep a program: it has another size than before")
	}
	return &trainerv1.Program{PayloadSha256: digest, PayloadBytes: size, Schema: u.schema, Loss: u.header.GetLoss()}, nil
}

// enter waits for a place among the intakes.
func (c *Catalogue) enter(ctx context.Context) (leave func(), err error) {
	select {
	case c.reading <- struct{}{}:
		return func() { <-c.reading }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
