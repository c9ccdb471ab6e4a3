package dataset

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/lineage"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// publish makes a dataset of the committed blob. Where it becomes none, the blob is removed; where that is not known, the blob stays, for the
// dataset that there may be or for the next start to remove. Nothing that can fail follows once the dataset is visible.
func (u *Upload) publish(ctx context.Context, digest []byte, size int64) (*bastionlabv1.UploadDatasetResponse, error) {
	c := u.catalogue
	card, row, err := u.row(digest, size)
	if err != nil {
		return nil, c.unpublished(u.id, err)
	}
	rows := u.rows.set()
	rowsDigest, err := c.keepDigests(u.id, rows)
	if err != nil {
		return nil, c.unpublished(u.id, err)
	}
	// PRIVACY: no other upload comes between the comparison and the account that follows from it.
	c.comparing.Lock()
	defer c.comparing.Unlock()
	decision, err := c.decide(ctx, u, rows)
	if err != nil {
		return nil, c.unpublished(u.id, err)
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	t, err := c.termsNow(ctx, u)
	if err != nil {
		return nil, c.unpublished(u.id, err)
	}
	// From here on the caller's leaving changes nothing: an account without its dataset would serve nobody.
	ctx = context.WithoutCancel(ctx)
	err = c.takeAccount(decision, ledger.Dataset{
		ID: u.id, Owner: u.owner, TestOf: t.header.GetTestOf(), Limit: t.limit, Delta: t.delta, Declared: t.declared,
		BlobHMAC: c.keyedDigest(u.owner, digest), RowsSHA256: rowsDigest,
	})
	if err != nil {
		return nil, c.withoutRecords(u.id, fmt.Errorf("open the dataset's account: %w", err))
	}
	receipts := c.newestReceipt(u.id)
	if err := c.boundNew(u.id, t.permissions); err != nil {
		return nil, c.withoutRecords(u.id, fmt.Errorf("limit who may use the dataset: %w", err))
	}
	if err := c.insert(ctx, row); err != nil {
		switch _, found := c.store.Dataset(ctx, u.id); {
		case errors.Is(found, storage.ErrNoRow):
			return nil, c.withoutRecords(u.id, err)
		case found != nil:
			return nil, errors.Join(err, found)
		}
		// The row is there: what failed came after it.
	}
	if t.limit != 0 {
		card.PrivacyLimitNano = proto.Int64(int64(t.limit))
	}
	return c.published(u, card, t.permissions, decision, receipts), nil
}

// decide says which accounts the records of an upload were on before.
func (c *Catalogue) decide(ctx context.Context, u *Upload, rows lineage.Set) (lineage.Decision, error) {
	upload, known, err := c.knownOf(ctx, rows, u.terms.header.GetTestOf(), c.ledger.AccountsOf(u.owner))
	if err != nil {
		return lineage.Decision{}, err
	}
	return lineage.Decide(upload, known), nil
}

// takeAccount gives a dataset the account that its records are on, or a new one.
// PRIVACY: a budget belongs to records: whoever uploads them again finds what was spent.
func (c *Catalogue) takeAccount(decision lineage.Decision, d ledger.Dataset) error {
	if len(decision.Joins) == 0 {
		return c.ledger.OpenAccount(d)
	}
	return c.ledger.JoinAccounts(d, decision.Joins, planning.Recomputed)
}

// published is what the owner is told. The dataset is there: what cannot be read is left out.
func (c *Catalogue) published(
	u *Upload, card *bastionlabv1.Dataset, permissions permission.Permissions, decision lineage.Decision, receipts []*bastionlabv1.Receipt,
) *bastionlabv1.UploadDatasetResponse {
	answer := &bastionlabv1.UploadDatasetResponse{Dataset: card, Lineage: &bastionlabv1.Lineage{}, Receipts: receipts}
	card.Mine = true
	training := ""
	if account, err := c.ledger.Account(u.terms.header.GetTestOf()); err == nil {
		training = account.ID
	}
	if account, err := c.ledger.Account(u.id); err == nil {
		describe(card, account, u.owner)
		tellAccess(card, permissions, account, u.owner)
		for _, other := range account.Datasets {
			if other != u.id {
				answer.Lineage.Joined = append(answer.Lineage.Joined, other)
			}
		}
	}
	for _, apart := range decision.Apart {
		answer.Lineage.Apart = append(answer.Lineage.Apart, &bastionlabv1.SharedRecords{
			DatasetId: apart.Account, Records: int64(apart.Shared), TrainingSet: apart.Account == training,
		})
	}
	return answer
}

func (c *Catalogue) unpublished(id string, err error) error {
	return errors.Join(err, c.dropRecords(id), c.store.DeleteBlob(digestKind, id))
}

// withoutRecords leaves the digests: there may be an account by now, also where the ledger failed, and an account without its digests
// could not be compared any more. If there is none, the next start removes them.
func (c *Catalogue) withoutRecords(id string, err error) error {
	return errors.Join(err, c.dropRecords(id))
}

// dropRecords destroys the key first: what cannot be removed cannot be read.
func (c *Catalogue) dropRecords(id string) error {
	return errors.Join(c.dropKey(id), c.store.DeleteBlob(blobKind, id))
}

// dropKey takes no context: a key that is not wanted any more goes also where its caller has left.
func (c *Catalogue) dropKey(id string) error {
	return c.store.DeleteDatasetKey(context.Background(), id)
}

// termsNow judges again what may have changed since the header was taken, now that nobody can change it.
func (c *Catalogue) termsNow(ctx context.Context, u *Upload) (terms, error) {
	t := u.terms
	if err := c.hasPlace(ctx, u.owner); err != nil {
		return t, err
	}
	if t.header.GetTestOf() == "" {
		return t, nil
	}
	// The training set may be gone, its limit lower, its test set there.
	err := c.inherit(ctx, u.owner, &t)
	return t, err
}

func (u *Upload) row(digest []byte, size int64) (*bastionlabv1.Dataset, storage.DatasetRow, error) {
	card, encoded, err := u.catalogue.cardOf(u)
	if err != nil {
		return nil, storage.DatasetRow{}, err
	}
	permissions, err := encodePermissions(u.terms.permissions)
	return card, storage.DatasetRow{
		ID: u.id, Owner: u.owner, TestOf: u.terms.header.GetTestOf(), CreatedUnixMS: card.GetCreatedUnixMs(), Card: encoded,
		Records: u.records, RecordBytes: u.terms.recordBytes, BlobSHA256: digest, BlobBytes: size, Permissions: permissions,
	}, err
}

// cardOf is what others see of the dataset, and that as it is kept.
func (c *Catalogue) cardOf(u *Upload) (card *bastionlabv1.Dataset, encoded []byte, err error) {
	t := u.terms
	card = &bastionlabv1.Dataset{
		Id: u.id, Name: t.header.GetName(), Description: t.header.GetDescription(), Schema: t.header.GetSchema(), DeclaredSamples: t.declared,
		DeltaAtto: int64(t.delta), Public: t.header.GetPublic(), Owner: u.owner, CreatedUnixMs: c.now().UnixMilli(),
	}
	if encoded, err = proto.Marshal(card); err != nil {
		return nil, nil, fmt.Errorf("encode dataset: %w", err)
	}
	if len(encoded) > c.limits.CardBytes {
		return nil, nil, invalid("give shorter names and a shorter description", "what others see of the dataset takes %d bytes, at most %d are taken", len(encoded), c.limits.CardBytes)
	}
	return card, encoded, nil
}
