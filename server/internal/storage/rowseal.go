package storage

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// rowPurpose is the purpose of the key that seals the rows of datasets.
const rowPurpose = "bastionlab dataset rows 1"

// sealOf is a code over all of a dataset's row.
//
// SECURITY: blobs and keys that were changed on the disk are refused, and so must be what says how to read them and who may: records that are
// cut in halves count twice, and a grant that nobody gave lets somebody train. A row that is put back from before, within one start of the
// server, is not told from the newest: it is of before a grant or a revocation, and of the same records.
func (s *Store) sealOf(d DatasetRow) []byte {
	key := s.DeriveKey(rowPurpose)
	code := hmac.New(sha256.New, key[:])
	for _, field := range [][]byte{[]byte(d.ID), []byte(d.Owner), []byte(d.TestOf), d.Card, d.BlobSHA256, d.Permissions} {
		code.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		code.Write(field)
	}
	for _, number := range []int64{d.CreatedUnixMS, d.Records, d.RecordBytes, d.BlobBytes} {
		code.Write(binary.BigEndian.AppendUint64(nil, uint64(number)))
	}
	return code.Sum(nil)
}

// checkSeal refuses a row that this server did not write. Rows of before there were seals have none, and lie beside the key anyway.
func (s *Store) checkSeal(d DatasetRow, seal []byte) error {
	if len(seal) == 0 && s.level != Memory {
		return nil
	}
	if !hmac.Equal(seal, s.sealOf(d)) {
		return fmt.Errorf("the row of dataset %q was changed on the disk", d.ID)
	}
	return nil
}
