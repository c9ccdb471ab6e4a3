package dataset

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/lineage"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const (
	// digestKind is the storage kind of the digests of a dataset's records, under the dataset's identifier. They outlive the dataset: its
	// account does, and belongs to the records.
	digestKind = "digests"
	// digestPurpose is the purpose of the key that owners' keys are made of.
	digestPurpose = "bastionlab record digests 1"
)

// digestKey is the key of an owner's records.
//
// PRIVACY: it is each owner's own, so that nobody finds out by uploading whether somebody else has a record.
func (c *Catalogue) digestKey(owner string) lineage.Key {
	secret := c.store.DeriveKey(digestPurpose)
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte(owner))
	return lineage.Key(mac.Sum(nil))
}

// collector gathers the digests of records as they come: 16 bytes of each, 160 MB at ten million records, and as much again for a moment
// where a larger room takes over. How many there can be is Limits.Records.
type collector struct {
	hasher   *lineage.Hasher
	digests  []lineage.Digest
	expected int64
}

// collectedAtFirst is how many digests there is room for before the first record: a promise of records alone takes no more memory.
const collectedAtFirst = 4 << 10

func (c *Catalogue) newCollector(owner string, schema *bastionlabv1.Schema, records int64) (*collector, error) {
	hasher, err := lineage.NewHasher(c.digestKey(owner), schema)
	return &collector{hasher: hasher, expected: records}, err
}

// add takes one record as it lies.
func (c *collector) add(record []byte) error {
	digest, err := c.hasher.Sum(record)
	if err != nil {
		return err
	}
	if len(c.digests) == cap(c.digests) {
		larger := make([]lineage.Digest, len(c.digests), min(max(c.expected, int64(len(c.digests))+1), int64(2*len(c.digests)+collectedAtFirst)))
		copy(larger, c.digests)
		c.digests = larger
	}
	c.digests = append(c.digests, digest)
	return nil
}

// set is what was collected. Nothing can be added after it.
func (c *collector) set() lineage.Set {
	digests := c.digests
	c.digests, c.expected = nil, 0
	return lineage.NewSet(digests)
}

// keepDigests stores the digests of a dataset's records, before there is an account that could need them.
func (c *Catalogue) keepDigests(id string, rows lineage.Set) (sha256 []byte, err error) {
	blob, err := c.store.CreateBlob(digestKind, id)
	if err != nil {
		return nil, err
	}
	defer blob.Abort()
	if _, err := rows.WriteTo(blob); err != nil {
		return nil, err
	}
	sha256, _, err = blob.Commit()
	return sha256, err
}

// digestsOf reads the digests of a dataset's records, of a deleted one too.
func (c *Catalogue) digestsOf(id string) (rows lineage.Set, err error) {
	blob, err := c.store.OpenBlob(digestKind, id)
	if err == nil {
		defer blob.Close()
		rows, err = lineage.ReadSet(blob)
	}
	if err != nil {
		// PRIVACY: an account that cannot be compared is not taken for one that shares nothing.
		return lineage.Set{}, fmt.Errorf("%w (%w)", refusal.New(refusal.Unavailable,
			"ask the server's operator to put the folder blobs/digests of the data directory back from a backup, then upload again",
			"the digests of the records of your dataset %s cannot be read, so that it is not known whether this upload has used its budget before", id), err)
	}
	return rows, nil
}

// wantsDigests says whether a dataset's digests are still needed: as long as there is an account, whatever became of the dataset.
func (c *Catalogue) wantsDigests(id string) (bool, error) {
	_, err := c.ledger.Account(id)
	if refusal.KindOf(err) == refusal.NotFound {
		return false, nil
	}
	return err == nil, err
}
