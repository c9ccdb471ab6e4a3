package main

import (
	"context"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/dataset"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/server"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

// The domain's own types, as the services and runs name them: Go has no covariant results.

type launcher struct{ *supervisor.Launcher }

func (l launcher) Prepare(ctx context.Context, train *trainerv1.Train, program, initial *os.File) (training.Trainer, error) {
	trainer, err := l.Launcher.Prepare(ctx, train, program, initial)
	if err != nil {
		return nil, err
	}
	return trainer, nil
}

func (l launcher) PrepareTest(ctx context.Context, test *trainerv1.Test, program, weights *os.File) (training.Tester, error) {
	tester, err := l.Launcher.PrepareTest(ctx, test, program, weights)
	if err != nil {
		return nil, err
	}
	return tester, nil
}

type models struct{ *model.Catalogue }

func (m models) Begin(ctx context.Context, user string, header *bastionlabv1.UploadModelHeader) (server.ModelUpload, error) {
	upload, err := m.Catalogue.Begin(ctx, user, header)
	if err != nil {
		return nil, err
	}
	return upload, nil
}

type datasets struct {
	*dataset.Catalogue
	runs *training.Service
}

func (d datasets) Begin(ctx context.Context, user string, header *bastionlabv1.UploadDatasetHeader) (server.DatasetUpload, error) {
	upload, err := d.Catalogue.Begin(ctx, user, header)
	if err != nil {
		return nil, err
	}
	return upload, nil
}

// Delete also ends the runs on the dataset, and on its test set: as soon as it is gone, also where its file could not be removed yet.
func (d datasets) Delete(ctx context.Context, user, id string) error {
	deleted, err := d.Get(ctx, user, id)
	if err != nil {
		return err
	}
	if err = d.Catalogue.Delete(ctx, user, id); err != nil {
		if _, found := d.Get(context.WithoutCancel(ctx), user, id); refusal.KindOf(found) != refusal.NotFound {
			return err
		}
	}
	d.runs.DatasetDeleted(ctx, id)
	d.runs.DatasetDeleted(ctx, deleted.GetTestId())
	return err
}
