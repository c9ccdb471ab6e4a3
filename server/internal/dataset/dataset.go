// Package dataset takes datasets in and gives them out: uploads that leave everything or nothing, the catalogue that others see, and the
// records of one dataset as a sealed file in memory for one trainer.
//
// Invariants: a dataset becomes visible after its records are stored, checked against the client's digests and its account is open in the
// ledger, in this order; an upload that ends otherwise leaves no blob, no row and no account. Where there is an account, the digests of
// its records are stored (see lineage), and stay when the dataset is deleted: an account belongs to records. What others see - names, shapes, dtypes,
// declared figures - is never computed from records. No error holds a value of a record.
//
// What somebody may not see is, to them, what there is not; only the owner lowers, grants, deletes.
//
// Non-goals: no prices, no runs, and no rules: what a grant permits is permission's.
package dataset

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// blobKind is the storage kind of records.
const blobKind = "dataset"

// books is what the catalogue asks of the ledger.
type books interface {
	OpenAccount(d ledger.Dataset) error
	JoinAccounts(d ledger.Dataset, accounts []string, price func(charge []byte, orders []int64) ([]accounting.Renyi, error)) error
	LowerLimit(dataset string, limit accounting.Epsilon) error
	LimitScientist(dataset, scientist string, limit accounting.Epsilon) error
	Account(dataset string) (ledger.Account, error)
	AccountsOf(owner string) []ledger.Account
	Receipts(dataset string, after int64, most int) ([]receipt.Receipt, error)
	NewestReceipt(dataset string) (receipt.Receipt, error)
}

// Config is what a Catalogue needs.
type Config struct {
	Store  *storage.Store
	Ledger *ledger.Ledger
	Limits Limits
	Now    func() time.Time // nil: the clock

	// Roles are what a user is at the moment, and Development whether every key is accepted: then everybody may do everything with a dataset whose
	// owner said nothing.
	Roles       func(user string) permission.Roles
	Development func() bool
}

// Catalogue holds the datasets of one server. Its methods may be called concurrently.
type Catalogue struct {
	store  *storage.Store
	ledger books
	limits Limits
	now    func() time.Time
	roles  func(user string) permission.Roles
	insert func(context.Context, storage.DatasetRow) error // of the store

	development func() bool

	// comparing serialises uploads from where they are compared with earlier ones to where they are on an account. It bounds how many records are
	// compared at once, and is never held by who lowers a limit or deletes. It is taken before changing.
	comparing sync.Mutex
	// changing serialises what makes datasets visible or takes them away.
	changing sync.Mutex
}

// New opens the catalogue and removes blobs that an upload left when the server was killed before they became a dataset or got an
// account.
func New(ctx context.Context, config Config) (*Catalogue, error) {
	if config.Store == nil || config.Ledger == nil || config.Roles == nil || config.Development == nil {
		return nil, errors.New("dataset: store, ledger, roles and mode must be given")
	}
	if err := config.Limits.check(); err != nil {
		return nil, err
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &Catalogue{store: config.Store, ledger: config.Ledger, limits: config.Limits, now: config.Now, roles: config.Roles, insert: config.Store.InsertDataset, development: config.Development}
	return c, c.removeOrphans(ctx)
}

func (c *Catalogue) removeOrphans(ctx context.Context) error {
	if err := c.store.SweepDatasetKeys(ctx); err != nil {
		return err
	}
	err := c.store.SweepBlobs(blobKind, func(id string) (bool, error) {
		_, err := c.store.Dataset(ctx, id)
		if errors.Is(err, storage.ErrNoRow) {
			return false, nil
		}
		return err == nil, err
	})
	return errors.Join(err, c.store.SweepBlobs(digestKind, c.wantsDigests))
}
