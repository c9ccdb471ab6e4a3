package dataset

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/lineage"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// restoreDigests makes the digests of datasets that are there without: earlier releases kept none. A dataset whose records cannot be read
// stays without, and uploads of its owner are refused with the reason; that is no cause to serve nobody.
func (c *Catalogue) restoreDigests(ctx context.Context) error {
	have, err := c.store.BlobIDs(digestKind)
	if err != nil {
		return err
	}
	rows, err := c.store.Datasets(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if slices.Contains(have, row.ID) {
			continue
		}
		set, err := c.digestRecords(ctx, row)
		var fault *storage.BlobError
		if errors.As(err, &fault) {
			continue
		}
		if err == nil {
			err = c.keepDigests(row.ID, set)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// digestRecords digests the records of a dataset as its upload would have.
func (c *Catalogue) digestRecords(ctx context.Context, row storage.DatasetRow) (lineage.Set, error) {
	card, err := decodeCard(row)
	if err != nil {
		return lineage.Set{}, err
	}
	rows, err := c.newCollector(row.Owner, card.GetSchema())
	if err != nil {
		return lineage.Set{}, err
	}
	blob, err := c.store.OpenBlob(blobKind, row.ID)
	if err != nil {
		return lineage.Set{}, err
	}
	defer blob.Close()
	record := make([]byte, row.RecordBytes)
	for {
		if err := ctx.Err(); err != nil {
			return lineage.Set{}, err
		}
		switch _, err := io.ReadFull(blob, record); {
		case err == io.EOF:
			return rows.set(), nil
		case err != nil:
			return lineage.Set{}, err
		}
		if err := rows.add(record); err != nil {
			return lineage.Set{}, err
		}
	}
}
