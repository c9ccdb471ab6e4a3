package server

import (
	"fmt"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// A client whose connection broke before it read the answer sends the upload again, and hears the same.
func TestAnUploadThatIsSentAgainIsNotMadeAgain(t *testing.T) {
	domain := &fakes{upload: &fakeUpload{}}
	s := start(t, domain)
	whole := func(header *bastionlabv1.UploadDatasetHeader) string {
		stream := uploadOn(t, s, header)
		_ = stream.Send(tenRecords)
		_ = stream.Send(datasetTrailer)
		answer, err := stream.CloseAndRecv()
		return fmt.Sprint(answer.GetDataset().GetId(), err)
	}
	first := whole(namedHeader(uploadName, 0))
	if again := whole(namedHeader(uploadName, 0)); again != first || domain.begun.Load() != 1 {
		t.Errorf("the same is answered %s, then %s, and was begun %d times", first, again, domain.begun.Load())
	}
	other := namedHeader(uploadName, 0)
	other.Name = "another"
	whole(other)
	if domain.begun.Load() != 2 {
		t.Error("another upload of the same name was taken for the first")
	}
	whole(namedHeader("", 0))
	whole(namedHeader("", 0))
	if domain.begun.Load() != 4 {
		t.Error("uploads without a name were taken for one another")
	}
}

func TestAnswersAreForgottenInTime(t *testing.T) {
	u := newUploads(1, 1)
	headers := make([]*bastionlabv1.UploadDatasetHeader, maxMade+1)
	for i := range headers {
		headers[i] = namedHeader(fmt.Sprintf("%032x", i), 0)
		u.remember(&datasetUpload{key: uploadKey{"alice", headers[i].GetUploadId()}, header: headers[i]}, &bastionlabv1.UploadDatasetResponse{})
	}
	if u.answered("alice", headers[0]) != nil || u.answered("alice", headers[1]) == nil || u.answered("alice", headers[maxMade]) == nil {
		t.Error("not the oldest was forgotten")
	}
	if u.answered("bob", headers[1]) != nil {
		t.Error("somebody else hears of it")
	}
}
