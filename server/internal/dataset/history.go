package dataset

import (
	"context"
	"errors"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/lineage"
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
