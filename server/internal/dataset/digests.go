package dataset

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/lineage"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const (
	// digestKind is the storage kind of the digests of a dataset's records, under the dataset's identifier. They outlive the dataset: its
	// account does, and belongs to the records. So they are under the server's key, not under the dataset's, which is destroyed.
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

// keyedDigest stands for the records of a dataset as they lie.
// PRIVACY: the digest itself would let whoever reads it, and knows all records but one, try what that one is.
func (c *Catalogue) keyedDigest(owner string, digest []byte) []byte {
	key := c.digestKey(owner)
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("records\n"))
	mac.Write(digest)
	return mac.Sum(nil)
}

// collector gathers the digests of records as they come: 16 bytes of each, 160 MB at ten million records, and as much again for a moment
// when all have come. How many there can be is Limits.Records; a promise of records takes no memory.
type collector struct {
	hasher *lineage.Hasher
	parts  [][]lineage.Digest // full ones, and one that is filled
}

// collectedAtOnce is how many digests there is room for in a part. A single list would have to be copied where it grows, and there would
// be three times as much in memory.
const collectedAtOnce = 4 << 10

func (c *Catalogue) newCollector(owner string, schema *bastionlabv1.Schema) (*collector, error) {
	hasher, err := lineage.NewHasher(c.digestKey(owner), schema)
	return &collector{hasher: hasher}, err
}

// add takes one record as it lies.
func (c *collector) add(record []byte) error {
	digest, err := c.hasher.Sum(record)
	if err != nil {
		return err
	}
	last := len(c.parts) - 1
	if last < 0 || len(c.parts[last]) == collectedAtOnce {
		c.parts = append(c.parts, make([]lineage.Digest, 0, collectedAtOnce))
		last++
	}
	c.parts[last] = append(c.parts[last], digest)
	return nil
}

// set is what was collected, which the collector no longer has.
func (c *collector) set() lineage.Set {
	digests := slices.Concat(c.parts...)
	c.parts = nil
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
