package dataset

import (
	"context"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// List returns the datasets, newest first; test sets are named by their training sets. Where they are more than one message holds, the oldest
// of other people's are left out: they are still found by their identifiers.
func (c *Catalogue) List(ctx context.Context, user string) ([]*bastionlabv1.Dataset, error) {
	rows, err := c.store.Datasets(ctx)
	if err != nil {
		return nil, err
	}
	tests := map[string]string{}
	for _, row := range rows {
		if row.TestOf != "" {
			tests[row.TestOf] = row.ID
		}
	}
	// SECURITY: what one person uploads must not keep another's listing from being sent. The user's own come first, and are few enough.
	others := c.limits.ListingBytes - sizeOf(rows, user)
	datasets := []*bastionlabv1.Dataset{}
	for _, row := range rows {
		if row.TestOf != "" {
			continue
		}
		dataset, err := c.card(user, row, tests[row.ID])
		if err != nil {
			return nil, err
		}
		if row.Owner != user {
			if others -= listedSize(dataset); others < 0 {
				continue
			}
		}
		datasets = append(datasets, dataset)
	}
	return datasets, nil
}

// listedOverhead is more than what a listing adds to a stored card: limit, test set and whose it is, and the length of it all.
const listedOverhead = 128

func sizeOf(rows []storage.DatasetRow, owner string) (total int) {
	for _, row := range rows {
		if row.Owner == owner && row.TestOf == "" {
			total += len(row.Card) + listedOverhead
		}
	}
	return total
}

func listedSize(dataset *bastionlabv1.Dataset) int { return proto.Size(dataset) + listedOverhead }

// hasPlace refuses one dataset too many of one owner.
func (c *Catalogue) hasPlace(ctx context.Context, owner string) error {
	count, err := c.store.CountDatasets(ctx, owner)
	if err != nil {
		return err
	}
	if count >= int64(c.limits.OwnerDatasets) {
		return refusal.New(refusal.InvalidArgument, "delete one that is not needed any more", "you have %d datasets here, test sets counted, and one owner may have %d", count, c.limits.OwnerDatasets)
	}
	return nil
}
