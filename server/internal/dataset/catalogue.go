package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Get returns one dataset that the user may see, a test set too.
func (c *Catalogue) Get(ctx context.Context, user, id string) (*bastionlabv1.Dataset, error) {
	return c.Permitted(ctx, user, id, permission.Wish{Action: permission.See})
}

// row is a dataset whoever asks: who it is for has to be judged.
func (c *Catalogue) row(ctx context.Context, id string) (storage.DatasetRow, error) {
	row, err := c.store.Dataset(ctx, id)
	if errors.Is(err, storage.ErrNoRow) {
		return row, notFound()
	}
	return row, err
}

func (c *Catalogue) present(ctx context.Context, user string, row storage.DatasetRow, permissions permission.Permissions) (*bastionlabv1.Dataset, error) {
	test, err := c.store.TestSetOf(ctx, row.ID)
	if err != nil && !errors.Is(err, storage.ErrNoRow) {
		return nil, err
	}
	return c.card(user, row, permissions, test.ID)
}

// card is the dataset as the user sees it, with the limit that holds now.
func (c *Catalogue) card(user string, row storage.DatasetRow, permissions permission.Permissions, testID string) (*bastionlabv1.Dataset, error) {
	dataset, err := decodeCard(row)
	if err != nil {
		return nil, err
	}
	account, err := c.ledger.Account(row.ID)
	if err != nil {
		return nil, fmt.Errorf("a dataset without an account: %w", err)
	}
	describe(dataset, account, user)
	tellAccess(dataset, permissions, account, user)
	dataset.TestId = testID
	dataset.Mine = row.Owner == user
	return dataset, nil
}

// describe says on which terms a dataset is, which are its account's and may have become stricter.
func describe(dataset *bastionlabv1.Dataset, account ledger.Account, user string) {
	dataset.PrivacyLimitNano = nil
	if account.Limit != 0 {
		dataset.PrivacyLimitNano = proto.Int64(int64(account.Limit))
	}
	dataset.DeltaAtto = int64(account.Delta)
	if account.Owner == user {
		dataset.Account = account.ID // PRIVACY: that records were uploaded before is the owner's to know
	}
}

func decodeCard(row storage.DatasetRow) (*bastionlabv1.Dataset, error) {
	dataset := &bastionlabv1.Dataset{}
	// An earlier release kept fields that it did not know, however large.
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(row.Card, dataset); err != nil {
		return nil, fmt.Errorf("decode dataset: %w", err)
	}
	return dataset, nil
}

// Delete removes a dataset's records and its place in the catalogue, and with a training set its test set. Its account and the digests of
// its records stay: what was spent was spent.
func (c *Catalogue) Delete(ctx context.Context, user, id string) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if _, _, err := c.owned(ctx, user, id, "delete it"); err != nil {
		return err
	}
	ids := []string{id}
	test, err := c.store.TestSetOf(ctx, id)
	switch {
	case err == nil:
		ids = append(ids, test.ID)
	case !errors.Is(err, storage.ErrNoRow):
		return err
	}
	// Rows and keys first: after a crash in between, blobs without a row, which nothing opens, are removed at the next start.
	if err := c.store.DeleteDataset(ctx, id); err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, c.store.DeleteBlob(blobKind, id))
	}
	return errors.Join(errs...)
}

func notOwner(what string) error {
	return refusal.New(refusal.PermissionDenied, "ask the dataset's owner", "only the dataset's owner can %s", what)
}

// Records are the records of a dataset, one after the other, in a file in memory that nobody can change.
type Records struct {
	File        *os.File // the caller closes it
	Count       int64    // PRIVACY: the true count, for the trainer only
	RecordBytes int64
}

// OpenRecords decrypts a dataset's records into a sealed file in memory.
func (c *Catalogue) OpenRecords(ctx context.Context, id string) (Records, error) {
	row, err := c.row(ctx, id)
	if err != nil {
		return Records{}, err
	}
	file, err := c.store.DatasetMemfd(ctx, id, blobKind, id, row.BlobSHA256)
	if err != nil {
		return Records{}, err
	}
	return Records{File: file, Count: row.Records, RecordBytes: row.RecordBytes}, nil
}
