package server

import (
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// maxMade bounds the answers that are remembered, each of a few KiB.
const maxMade = 64

// made is an upload that became a dataset, for a client whose connection broke before it read the answer: asked again, the server answers the
// same, and does not make a second dataset of the same records.
type made struct {
	key    uploadKey
	header *bastionlabv1.UploadDatasetHeader // but its after_batches
	answer *bastionlabv1.UploadDatasetResponse
}

// remember keeps the answer to an upload that has a name, in the place of the oldest.
func (u *uploads) remember(d *datasetUpload, answer *bastionlabv1.UploadDatasetResponse) {
	if d.key.id == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.made = append(u.made, made{d.key, d.header, answer})
	u.made = u.made[max(0, len(u.made)-maxMade):]
}

// answered is the answer that an upload had, where it is remembered; nil where it is not.
func (u *uploads) answered(user string, header *bastionlabv1.UploadDatasetHeader) *bastionlabv1.UploadDatasetResponse {
	key := uploadKey{user, header.GetUploadId()}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, m := range u.made {
		if m.key == key && proto.Equal(m.header, withoutPlace(header)) {
			return m.answer
		}
	}
	return nil
}
