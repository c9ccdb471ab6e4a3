package dataset

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// maxListedReceipts bounds one answer: a receipt has a kilobyte or two.
const maxListedReceipts = 500

// Receipts returns the receipts of the account that one of the caller's datasets draws on, also of a deleted one, after a number. more says
// that there are others.
func (c *Catalogue) Receipts(ctx context.Context, user, id string, after int64) (receipts []*bastionlabv1.Receipt, more bool, err error) {
	account, err := c.ledger.Account(id)
	if err != nil {
		return nil, false, notFound()
	}
	if account.Owner != user {
		if _, _, err := c.permitted(ctx, user, id, permission.Wish{Action: permission.See}); err != nil {
			return nil, false, err
		}
		return nil, false, notOwner("read its receipts")
	}
	found, err := c.ledger.Receipts(id, after, maxListedReceipts+1)
	if err != nil {
		return nil, false, err
	}
	more = len(found) > maxListedReceipts
	return Receipts(found[:min(len(found), maxListedReceipts)]), more, nil
}

// newestReceipt is that of the movement that was just made.
func (c *Catalogue) newestReceipt(id string) []*bastionlabv1.Receipt {
	found, err := c.ledger.NewestReceipt(id)
	if err != nil {
		return nil // the owner asks again
	}
	return Receipts([]receipt.Receipt{found})
}

// Receipts is how they travel.
func Receipts(receipts []receipt.Receipt) []*bastionlabv1.Receipt {
	travelling := make([]*bastionlabv1.Receipt, 0, len(receipts))
	for _, r := range receipts {
		travelling = append(travelling, &bastionlabv1.Receipt{Body: r.Body, Signature: r.Signature, Key: r.Key})
	}
	return travelling
}
