package dataset

import (
	"context"
	"errors"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/lineage"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// knownOf compares the rows of an upload with all accounts of its owner, oldest first; testOf is the training set that it is the test set
// of, or empty. Accounts are read one at a time: what stays of one in memory is what it shares.
//
// PRIVACY: the accounts must be the owner's and all of them. An account that is not compared could be charged anew for the same records.
func (c *Catalogue) knownOf(ctx context.Context, rows lineage.Set, testOf string, accounts []ledger.Account) (lineage.Upload, []lineage.Known, error) {
	upload := lineage.Upload{Rows: rows.Len()}
	var known []lineage.Known
	for _, account := range accounts {
		if testOf != "" && slices.Contains(account.Datasets, testOf) {
			training, err := c.digestsOf(testOf)
			if err != nil {
				return lineage.Upload{}, nil, err
			}
			upload.PairedWith, upload.WithTraining = account.ID, lineage.Common(rows, training)
		}
		before, err := c.rowsOf(ctx, account, testOf)
		if err != nil {
			return lineage.Upload{}, nil, err
		}
		known = append(known, lineage.Known{
			Account: account.ID, Partners: account.Partners, Rows: before.Len(), Shared: lineage.Common(rows, before),
		})
	}
	if testOf != "" && upload.PairedWith == "" {
		return lineage.Upload{}, nil, errors.New("compare with earlier uploads: the training set is on no account")
	}
	return upload, known, nil
}

// rowsOf is all that was ever uploaded to an account but one dataset.
func (c *Catalogue) rowsOf(ctx context.Context, account ledger.Account, but string) (all lineage.Set, err error) {
	for _, dataset := range account.Datasets {
		if dataset == but {
			continue
		}
		if err := ctx.Err(); err != nil {
			return lineage.Set{}, err
		}
		rows, err := c.digestsOf(dataset)
		if err != nil {
			return lineage.Set{}, err
		}
		all = lineage.Union(all, rows)
	}
	return all, nil
}

// hasRoomForDigests bounds what an owner has ever uploaded: digests stay when datasets are deleted, and each upload is compared with all of them.
func (c *Catalogue) hasRoomForDigests(owner string, records int64) error {
	uploads := 0
	for _, account := range c.ledger.AccountsOf(owner) {
		uploads += len(account.Datasets)
		for _, dataset := range account.Datasets {
			size, err := c.store.BlobBytes(digestKind, dataset)
			if err != nil {
				continue // the comparison says so
			}
			records += size / lineage.DigestBytes
		}
	}
	if uploads >= c.limits.OwnerUploads || records > c.limits.OwnerRecords {
		return refusal.New(refusal.InvalidArgument, "ask the server's operator: how many it compares grows with its memory",
			"you have uploaded as much as this server compares: %d datasets of %d, about %d records with these of %d, deleted ones included", uploads, c.limits.OwnerUploads, records, c.limits.OwnerRecords)
	}
	return nil
}
