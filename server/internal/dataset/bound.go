package dataset

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// The eps of a grant is the ledger's limit of a scientist: it is only lowered, and outlives the grant.

// bound holds the runs of one user on a dataset, and on its test set, to the eps of a grant.
func (c *Catalogue) bound(ctx context.Context, id string, grant permission.Grant) error {
	if grant.Epsilon == 0 {
		return nil
	}
	ids := []string{id}
	switch test, err := c.store.TestSetOf(ctx, id); {
	case err == nil:
		ids = append(ids, test.ID)
	case !errors.Is(err, storage.ErrNoRow):
		return err
	}
	for _, id := range ids { // all are looked at before one is changed
		account, err := c.ledger.Account(id)
		if err != nil {
			return err
		}
		if holds, bounded := account.Scientists[grant.User]; bounded && grant.Epsilon > holds {
			return invalid(fmt.Sprintf("grant with an eps of at most %s, or without one: that limit stays", holds),
				"the limit of a scientist can only be lowered: it is %s for this one, and %s was to be granted", holds, grant.Epsilon)
		}
	}
	for _, id := range ids {
		if err := c.limitScientist(id, grant.User, grant.Epsilon); err != nil {
			return err
		}
	}
	return nil
}

// boundNew does the same for a dataset that is being published: its account may be an earlier one, with lower limits, which stay.
func (c *Catalogue) boundNew(id string, permissions permission.Permissions) error {
	for _, grant := range permissions.Grants() {
		if grant.Epsilon == 0 {
			continue
		}
		account, err := c.ledger.Account(id)
		if err != nil {
			return err
		}
		if holds, bounded := account.Scientists[grant.User]; bounded && holds <= grant.Epsilon {
			continue
		}
		if err := c.limitScientist(id, grant.User, grant.Epsilon); err != nil {
			return err
		}
	}
	return nil
}

// boundPermissions are those of a training set with the bounds that hold on its account, for a test set's to have the same.
func boundPermissions(training storage.DatasetRow, account ledger.Account) (permission.Permissions, error) {
	permissions, err := decodePermissions(training)
	for _, grant := range permissions.Grants() {
		if holds, bounded := account.Scientists[grant.User]; bounded && err == nil {
			grant.Epsilon = holds
			permissions, err = permissions.With(grant)
		}
	}
	return permissions, err
}

func boundOf(account ledger.Account, user string) *int64 {
	if limit, bounded := account.Scientists[user]; bounded {
		return proto.Int64(int64(limit))
	}
	return nil
}
