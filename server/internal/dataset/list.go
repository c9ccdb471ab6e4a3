package dataset

import (
	"context"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// List returns the datasets that the user may see, newest first; test sets are named by their training sets. Where they are more than one message holds, the oldest
// of other people's are left out: they are still found by their identifiers. What each of the user's own permits to others is left to Get.
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
	roles := c.roles(user)
	datasets := []*bastionlabv1.Dataset{}
	for _, row := range rows {
		if row.TestOf != "" {
			continue
		}
		permissions, err := decodePermissions(row)
		if err != nil {
			return nil, err
		}
		if hidden, _ := permission.May(user, roles, permission.Wish{Action: permission.See}, permission.Dataset{Owner: row.Owner, Permissions: permissions}); hidden {
			continue
		}
		dataset, err := c.card(user, row, permissions, tests[row.ID])
		if err != nil {
			return nil, err
		}
		dataset.Permissions = nil
		if row.Owner != user {
			if others -= listedSize(dataset); others < 0 {
				continue
			}
		}
		datasets = append(datasets, dataset)
	}
	return datasets, nil
}

// listedOverhead is more than what a listing adds to a stored card: limit, test set, whose it is and what the user may, and the length of it all.
const listedOverhead = 256

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
