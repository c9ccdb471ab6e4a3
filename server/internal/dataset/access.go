package dataset

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Permitted returns a dataset, or test set, with which somebody may do what they wish to.
// SECURITY: every read of a dataset for somebody begins here. What the user may not see is not there.
func (c *Catalogue) Permitted(ctx context.Context, user, id string, wish permission.Wish) (*bastionlabv1.Dataset, error) {
	row, permissions, err := c.permitted(ctx, user, id, wish)
	if err != nil {
		return nil, err
	}
	return c.present(ctx, user, row, permissions)
}

func (c *Catalogue) permitted(ctx context.Context, user, id string, wish permission.Wish) (storage.DatasetRow, permission.Permissions, error) {
	row, err := c.row(ctx, id)
	if err != nil {
		return row, permission.Permissions{}, err
	}
	permissions, err := c.permissionsOf(ctx, row)
	if err != nil {
		return row, permissions, err
	}
	hidden, err := permission.May(user, c.roles(user), wish, permission.Dataset{Owner: row.Owner, Permissions: permissions})
	if hidden {
		err = notFound()
	}
	return row, permissions, err
}

// owned returns a dataset of the caller's own, or says that only its owner can do that.
func (c *Catalogue) owned(ctx context.Context, user, id, what string) (storage.DatasetRow, permission.Permissions, error) {
	row, permissions, err := c.permitted(ctx, user, id, permission.Wish{Action: permission.See})
	if err == nil && row.Owner != user {
		err = notOwner(what)
	}
	return row, permissions, err
}

// permissionsOf are a dataset's; a test set has its training set's.
func (c *Catalogue) permissionsOf(ctx context.Context, row storage.DatasetRow) (permission.Permissions, error) {
	if row.TestOf != "" {
		training, err := c.row(ctx, row.TestOf)
		if err != nil {
			return permission.Permissions{}, err
		}
		row = training
	}
	return decodePermissions(row)
}

func decodePermissions(row storage.DatasetRow) (permission.Permissions, error) {
	kept := &bastionlabv1.Permissions{}
	if err := proto.Unmarshal(row.Permissions, kept); err != nil {
		return permission.Permissions{}, fmt.Errorf("decode the permissions of a dataset: %w", err)
	}
	permissions, err := permission.FromProto(kept, row.Owner)
	if err != nil {
		return permissions, fmt.Errorf("decode the permissions of a dataset: %w", err)
	}
	return permissions, nil
}

func encodePermissions(permissions permission.Permissions) ([]byte, error) {
	encoded, err := proto.Marshal(permissions.Proto())
	if err != nil {
		return nil, fmt.Errorf("encode permissions: %w", err)
	}
	return encoded, nil
}

// Grant lets one user do something with one of the caller's datasets, or all users; it replaces what they were granted before.
func (c *Catalogue) Grant(ctx context.Context, user, id string, sent *bastionlabv1.Grant) (*bastionlabv1.Dataset, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	row, before, err := c.granting(ctx, user, id)
	if err != nil {
		return nil, err
	}
	grant, err := permission.GrantFromProto(sent, row.Owner)
	if err != nil {
		return nil, err
	}
	after, err := before.With(grant)
	if err != nil {
		return nil, err
	}
	// PRIVACY: the bound first: a grant without its bound would be one as far as the limit goes.
	if err := c.bound(ctx, id, grant); err != nil {
		return nil, err
	}
	return c.setPermissions(ctx, user, row, after)
}

// Revoke takes back what a user was granted on one of the caller's datasets. What runs already, its caller ends.
func (c *Catalogue) Revoke(ctx context.Context, user, id, granted string) (*bastionlabv1.Dataset, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	row, before, err := c.granting(ctx, user, id)
	if err != nil {
		return nil, err
	}
	if err := permission.CheckUser(granted); err != nil {
		return nil, err
	}
	after, err := before.Without(granted)
	if err != nil {
		return nil, err
	}
	return c.setPermissions(ctx, user, row, after)
}

func (c *Catalogue) granting(ctx context.Context, user, id string) (storage.DatasetRow, permission.Permissions, error) {
	row, permissions, err := c.owned(ctx, user, id, "say who may do what with it")
	if err == nil && row.TestOf != "" {
		err = invalid(fmt.Sprintf("name its training set, %s", row.TestOf), "a test set has the permissions of its training set")
	}
	return row, permissions, err
}

func (c *Catalogue) setPermissions(ctx context.Context, user string, row storage.DatasetRow, permissions permission.Permissions) (*bastionlabv1.Dataset, error) {
	encoded, err := encodePermissions(permissions)
	if err != nil {
		return nil, err
	}
	if err := c.store.SetPermissions(ctx, row.ID, encoded); err != nil {
		return nil, err
	}
	row.Permissions = encoded
	return c.present(ctx, user, row, permissions)
}

// permissionsFor are those of an upload: what its header says, else what the mode says.
func (c *Catalogue) permissionsFor(owner string, header *bastionlabv1.UploadDatasetHeader) (permission.Permissions, error) {
	if header.GetPermissions() == nil {
		return permission.Default(c.development()), nil
	}
	return permission.FromProto(header.GetPermissions(), owner)
}

// agreesWithPermissions refuses permissions beside test_of that are not the training set's.
func agreesWithPermissions(header *bastionlabv1.UploadDatasetHeader, training storage.DatasetRow) error {
	if header.GetPermissions() == nil {
		return nil
	}
	given, err := permission.FromProto(header.GetPermissions(), training.Owner)
	if err != nil {
		return err
	}
	kept, err := decodePermissions(training)
	if err == nil && !proto.Equal(given.Proto(), kept.Proto()) {
		err = invalid("leave permissions out for a test set", "a test set has the permissions of its training set, and others were given")
	}
	return err
}

// tellAccess says what the caller may, and its owner what everybody else may. The bound of a scientist is the ledger's: it outlives grants.
func tellAccess(dataset *bastionlabv1.Dataset, permissions permission.Permissions, account ledger.Account, user string) {
	may, _ := permissions.Of(user)
	if dataset.GetOwner() == user {
		may = permission.Grant{User: user, Train: true, Test: true, TakeHome: true}
		dataset.Permissions = permissions.Proto()
		for _, grant := range dataset.GetPermissions().GetGrants() {
			grant.EpsilonNano = boundOf(account, grant.GetUser())
		}
	}
	dataset.May = may.Proto()
	dataset.May.EpsilonNano = boundOf(account, user)
}
