package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/dataset"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/server"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

// The domain's own types, as the services and runs name them: Go has no covariant results.

type launcher struct {
	*supervisor.Launcher
	missing []string
}

func (l launcher) Missing() []string { return l.missing }

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
	log  *slog.Logger
}

func (d datasets) Begin(ctx context.Context, user string, header *bastionlabv1.UploadDatasetHeader) (server.DatasetUpload, error) {
	upload, err := d.Catalogue.Begin(ctx, user, header)
	if err != nil {
		return nil, err
	}
	return upload, nil
}

// receipts are the ledger's, as each may see them.
type receipts struct {
	*ledger.Ledger
	closings  *ledger.Closings
	catalogue *dataset.Catalogue
	runs      *training.Service
	log       *slog.Logger
}

func (r receipts) Key() []byte { return r.Ledger.Key() }

func (r receipts) OfDataset(ctx context.Context, user, id string, after int64) ([]*bastionlabv1.Receipt, bool, error) {
	return r.catalogue.Receipts(ctx, user, id, after)
}

func (r receipts) OfRun(ctx context.Context, user, id string) ([]*bastionlabv1.Receipt, error) {
	found, err := r.runs.Receipts(ctx, user, id)
	return dataset.Receipts(found), err
}

func (r receipts) Closings(_ context.Context, user string) []*bastionlabv1.Receipt {
	return dataset.Receipts(r.closings.Of(user))
}

func (r receipts) Present(ctx context.Context, user string, presented *bastionlabv1.Receipt) (*bastionlabv1.Standing, error) {
	standing, newest, err := r.Ledger.Present(receipt.Receipt{Body: presented.GetBody(), Signature: presented.GetSignature()})
	if standing == ledger.Forgotten {
		// Its account is frozen, and who runs the machine has to act.
		r.log.WarnContext(ctx, "a receipt that this server signed is not in its ledger: this is an older copy of the data directory, put the newest back",
			"receipt", receipt.HashText(presented.GetBody()), "presented_by", user, "newest_held", newest)
	}
	return &bastionlabv1.Standing{State: bastionlabv1.Standing_State(standing), NewestSeq: newest}, err
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
	// Runs on other datasets may go on from weights of this one.
	return errors.Join(err, d.runs.AccessChanged(context.WithoutCancel(ctx), id))
}

func (d datasets) Grant(ctx context.Context, user, id string, grant *bastionlabv1.Grant) (*bastionlabv1.Dataset, error) {
	granted, err := d.Catalogue.Grant(ctx, user, id, grant)
	return d.changed(ctx, granted, err)
}

func (d datasets) Revoke(ctx context.Context, user, id, granted string) (*bastionlabv1.Dataset, error) {
	revoked, err := d.Catalogue.Revoke(ctx, user, id, granted)
	return d.changed(ctx, revoked, err)
}

// changed also ends the runs, on the dataset and on its test set, that nobody may do any more. A grant can permit less than the one before.
func (d datasets) changed(ctx context.Context, changed *bastionlabv1.Dataset, err error) (*bastionlabv1.Dataset, error) {
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	for _, id := range []string{changed.GetId(), changed.GetTestId()} {
		if failed := d.runs.AccessChanged(ctx, id); failed != nil {
			d.log.ErrorContext(ctx, "cannot judge again who may run on a dataset; runs that were permitted before go on", "dataset", id, "error", failed)
			err = errors.Join(err, failed)
		}
	}
	if err != nil {
		return nil, err
	}
	return changed, nil
}

// users are the registry's, on a machine that real data may be given to.
type users struct {
	*identity.Registry
	missing []string // layers of the trainer's sandbox
	runs    *training.Service
	log     *slog.Logger
}

// Add refuses to end development mode where a start without it would be refused.
func (u users) Add(ctx context.Context, publicKey []byte, name string, roles identity.Roles) (storage.UserRow, error) {
	closing := u.Development()
	if closing {
		if err := checkSandbox(ctx, u.log, u.missing, false); err != nil {
			return storage.UserRow{}, err
		}
	}
	row, err := u.Registry.Add(ctx, publicKey, name, roles)
	if err == nil {
		u.log.InfoContext(ctx, "user registered", "user", row.ID, "roles", roles.String())
	}
	if err == nil && closing {
		u.log.WarnContext(ctx, "development mode is closed for good: registered identities only are let in from now on")
	}
	return row, err
}

func (u users) Revoke(ctx context.Context, user string) (storage.UserRow, error) {
	row, err := u.Registry.Revoke(ctx, user)
	if err == nil {
		u.runs.AuthorRevoked(context.WithoutCancel(ctx), row.ID)
		u.log.InfoContext(ctx, "user revoked", "user", row.ID)
	}
	return row, err
}
