package dataset

import (
	"context"
	"errors"
	"math"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// terms are a header that was found good.
type terms struct {
	header      *bastionlabv1.UploadDatasetHeader
	recordBytes int64
	declared    int64
	limit       accounting.Epsilon // 0: none
	delta       accounting.Delta
	permissions permission.Permissions
}

func (c *Catalogue) checkHeader(ctx context.Context, owner string, header *bastionlabv1.UploadDatasetHeader) (terms, error) {
	header = proto.CloneOf(header)
	t := terms{header: header}
	if err := checkTexts(header, c.limits); err != nil {
		return t, err
	}
	if err := c.hasPlace(ctx, owner); err != nil {
		return t, err
	}
	var err error
	if t.recordBytes, err = checkSchema(header.GetSchema(), c.limits); err != nil {
		return t, err
	}
	if err := checkPublic(header.GetPublic(), header.GetSchema()); err != nil {
		return t, err
	}
	if t.declared, err = checkCounts(header, t.recordBytes, c.limits); err != nil {
		return t, err
	}
	if err := c.hasRoomForDigests(owner, header.GetRecords()); err != nil {
		return t, err
	}
	if header.GetTestOf() != "" {
		err = c.inherit(ctx, owner, &t)
		return t, err
	}
	if t.permissions, err = c.permissionsFor(owner, header); err != nil {
		return t, err
	}
	if t.limit, err = checkLimit(header.PrivacyLimit); err != nil {
		return t, err
	}
	t.delta, err = checkDelta(header.Delta, t.declared)
	return t, err
}

func checkTexts(header *bastionlabv1.UploadDatasetHeader, limits Limits) error {
	if len(header.GetName()) > limits.NameBytes || !printable(header.GetName(), false) {
		return invalid(uploadAgain, "the dataset's name is longer than %d bytes, or has characters that cannot be printed", limits.NameBytes)
	}
	if len(header.GetDescription()) > limits.DescriptionBytes || !printable(header.GetDescription(), true) {
		return invalid(uploadAgain, "the dataset's description is longer than %d bytes, or has characters that cannot be printed", limits.DescriptionBytes)
	}
	return nil
}

func checkCounts(header *bastionlabv1.UploadDatasetHeader, recordBytes int64, limits Limits) (declared int64, err error) {
	records := header.GetRecords()
	if records < 1 {
		return 0, invalid("upload at least one record", "the dataset has no records")
	}
	if records > limits.DatasetBytes/recordBytes {
		return 0, invalid("upload fewer or smaller records, or ask the server's operator for more memory",
			"%d records of %d bytes are more than the %d bytes that this server holds of one dataset", records, recordBytes, limits.DatasetBytes)
	}
	if records > limits.Records {
		return 0, invalid("upload fewer records, or ask the server's operator for more memory",
			"%d records are more than the %d that this server compares with what was uploaded before", records, limits.Records)
	}
	declared = header.GetDeclaredSamples()
	if declared == 0 {
		declared = records
	}
	if declared < records {
		return 0, invalid("declare at least as many samples as there are records, or leave it out",
			"declared_samples is %d, fewer than the dataset's %d records", declared, records)
	}
	if declared > limits.DeclaredSamples {
		return 0, invalid("declare fewer", "declared_samples is %d, at most %d are taken", declared, limits.DeclaredSamples)
	}
	return declared, nil
}

func checkLimit(limit *float64) (accounting.Epsilon, error) {
	if limit == nil {
		return 0, nil
	}
	eps, err := accounting.NewEpsilon(*limit)
	if err != nil {
		return 0, invalid("give a limit above 0, such as 6.0, or none at all for data that needs no protection",
			"privacy_limit must be a number from 1e-9 to %g, and is %v", float64(accounting.MaxEpsilon), *limit)
	}
	return eps, nil
}

func checkDelta(given *float64, declared int64) (accounting.Delta, error) {
	if given == nil {
		return accounting.DefaultDelta(declared), nil
	}
	if math.IsNaN(*given) {
		return 0, invalid("leave delta out", "delta is not a number")
	}
	delta, err := accounting.NewDelta(*given)
	if err != nil {
		return 0, err
	}
	return delta, accounting.CheckDelta(delta, declared)
}

// inherit gives a test set the terms of its training set: the same limit as it is now, and the same delta, for an account of its own.
func (c *Catalogue) inherit(ctx context.Context, owner string, t *terms) error {
	training, err := c.trainingSet(ctx, owner, t.header)
	if err != nil {
		return err
	}
	account, err := c.ledger.Account(training.ID)
	if err != nil {
		return err
	}
	t.limit, t.delta = account.Limit, account.Delta
	if err := agreesWith(t.header, account); err != nil {
		return err
	}
	if err := agreesWithPermissions(t.header, training); err != nil {
		return err
	}
	// Those that hold are the training set's, as they are at any moment. These are for what is bound and told now.
	if t.permissions, err = boundPermissions(training, account); err != nil {
		return err
	}
	if err := accounting.CheckDelta(t.delta, t.declared); err != nil {
		return invalid("upload the training set with a smaller delta, or declare fewer samples for the test set",
			"a test set has its training set's delta, and %s is not below 1/%d", t.delta, t.declared)
	}
	return nil
}

// agreesWith refuses a limit or delta beside test_of that is not the training set's.
func agreesWith(header *bastionlabv1.UploadDatasetHeader, account ledger.Account) error {
	next := "leave privacy_limit and delta out for a test set"
	if header.PrivacyLimit != nil {
		if limit, err := checkLimit(header.PrivacyLimit); err != nil || limit != account.Limit {
			return invalid(next, "a test set has the privacy limit of its training set, and another one was given")
		}
	}
	if header.Delta != nil {
		if delta, err := accounting.NewDelta(*header.Delta); err != nil || delta != account.Delta {
			return invalid(next, "a test set has the delta of its training set, and another one was given")
		}
	}
	return nil
}

// trainingSet finds the training set that a header is the test set of.
func (c *Catalogue) trainingSet(ctx context.Context, owner string, header *bastionlabv1.UploadDatasetHeader) (storage.DatasetRow, error) {
	row, _, err := c.permitted(ctx, owner, header.GetTestOf(), permission.Wish{Action: permission.See})
	if err != nil {
		return row, err
	}
	if row.Owner != owner {
		return row, refusal.New(refusal.PermissionDenied, "upload the training set yourself first", "a test set belongs to the owner of its training set")
	}
	if row.TestOf != "" {
		return row, invalid("name the training set", "a test set cannot have a test set")
	}
	card, err := decodeCard(row)
	if err != nil {
		return row, err
	}
	if !proto.Equal(card.GetSchema(), header.GetSchema()) {
		return row, invalid("give both sets the same names, shapes and dtypes", "the test set's schema is not its training set's")
	}
	return row, c.hasNoTestSet(ctx, row.ID)
}

func (c *Catalogue) hasNoTestSet(ctx context.Context, id string) error {
	_, err := c.store.TestSetOf(ctx, id)
	if errors.Is(err, storage.ErrNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	return invalid("delete that one first, or upload the training set anew", "the training set has a test set already")
}

func notFound() error {
	return refusal.New(refusal.NotFound, "list the datasets there are", "there is no such dataset")
}
