package dataset

import (
	"errors"

	"github.com/bastionlab/bastionlab/server/internal/lineage"
)

// Limits bound what is taken. They protect the server; none says anything about records.
type Limits struct {
	RecordBytes      int64 // one record
	DatasetBytes     int64 // all records: they are held in memory while a run trains on them
	BatchBytes       int64 // the safetensors file of one batch
	Records          int64 // of one dataset: 16 bytes of each are held while it is uploaded, and a few times that while they are compared
	DeclaredSamples  int64
	NameBytes        int
	DescriptionBytes int
	Inputs           int
	Rank             int
	TensorNameBytes  int
	CardBytes        int   // what others see of one dataset, encoded
	OwnerDatasets    int   // of one owner, test sets too
	OwnerUploads     int   // of one owner ever, deleted ones too: each upload is compared with all of them
	OwnerRecords     int64 // of all these together
	ListingBytes     int   // of all cards that one listing shows
}

// recordsShare lets the digests of a dataset's records take a sixteenth of what its records may: several are uploaded at once.
const recordsShare = 16 * lineage.DigestBytes

// DefaultLimits suits a machine with memory for datasets of datasetBytes.
func DefaultLimits(datasetBytes int64) Limits {
	return Limits{
		RecordBytes:      64 << 20,
		DatasetBytes:     datasetBytes,
		BatchBytes:       65 << 20, // one of the largest records, with its header
		Records:          max(1_000_000, datasetBytes/recordsShare),
		DeclaredSamples:  1_000_000_000,
		NameBytes:        256,
		DescriptionBytes: 16 << 10,
		Inputs:           64,
		Rank:             8,
		TensorNameBytes:  128,
		CardBytes:        48 << 10, // what all the texts, inputs and ranges above come to
		OwnerUploads:     4096,
		OwnerRecords:     2 * max(1_000_000, datasetBytes/recordsShare),
		OwnerDatasets:    256,      // whose cards always fit in a listing
		ListingBytes:     14 << 20, // less than what a client takes in one message
	}
}

func (l Limits) check() error {
	if l.RecordBytes <= 0 || l.DatasetBytes <= 0 || l.BatchBytes <= 0 || l.Records <= 0 || l.DeclaredSamples <= 0 || l.NameBytes <= 0 || l.DescriptionBytes <= 0 ||
		l.Inputs <= 0 || l.Rank <= 0 || l.TensorNameBytes <= 0 ||
		l.CardBytes <= 0 || l.OwnerUploads <= 0 || l.OwnerRecords <= 0 || l.OwnerDatasets <= 0 || l.ListingBytes <= 0 {
		return errors.New("dataset: every limit must be positive")
	}
	return nil
}
