package server

import (
	"crypto/sha256"
	"slices"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// maxMade bounds the answers that are remembered, and maxMadeOfUser those to one user, who must not make the server forget those to others.
const (
	maxMade       = 64
	maxMadeOfUser = 8
)

// made is an upload that became a dataset, for a client whose connection broke before it read the answer: asked again, the server answers the
// same, and does not make a second dataset of the same records. What the dataset is by then, and whether it still is, is looked up.
type made struct {
	key     uploadKey
	header  [sha256.Size]byte
	dataset string
	answer  *bastionlabv1.UploadDatasetResponse // but its dataset
}

// remember keeps the answer to an upload that has a name, in the place of the oldest.
func (u *uploads) remember(d *datasetUpload, answer *bastionlabv1.UploadDatasetResponse) {
	if d.key.id == "" {
		return
	}
	kept := &bastionlabv1.UploadDatasetResponse{Lineage: answer.GetLineage(), Receipts: answer.GetReceipts()}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.made = append(u.made, made{d.key, digestOf(d.header), answer.GetDataset().GetId(), kept})
	ofUser := func(m made) bool { return m.key.user == d.key.user }
	count := 0
	for _, m := range u.made {
		if ofUser(m) {
			count++
		}
	}
	switch {
	case count > maxMadeOfUser:
		oldest := slices.IndexFunc(u.made, ofUser)
		u.made = slices.Delete(u.made, oldest, oldest+1)
	case len(u.made) > maxMade:
		u.made = slices.Delete(u.made, 0, 1)
	}
}

// answered is what an upload had become, where it is remembered.
func (u *uploads) answered(user string, header *bastionlabv1.UploadDatasetHeader) (made, bool) {
	key, digest := uploadKey{user, header.GetUploadId()}, digestOf(header)
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, m := range u.made {
		if m.key == key && m.header == digest {
			return m, true
		}
	}
	return made{}, false
}

// digestOf is of all of a header but its after_batches. It is compared within one process only.
func digestOf(header *bastionlabv1.UploadDatasetHeader) [sha256.Size]byte {
	encoded, _ := proto.MarshalOptions{Deterministic: true}.Marshal(withoutPlace(header)) // it was decoded from the wire
	return sha256.Sum256(encoded)
}

// with is the answer, of what the dataset is now.
func (m made) with(dataset *bastionlabv1.Dataset) *bastionlabv1.UploadDatasetResponse {
	return &bastionlabv1.UploadDatasetResponse{Dataset: dataset, Lineage: m.answer.GetLineage(), Receipts: m.answer.GetReceipts()}
}
