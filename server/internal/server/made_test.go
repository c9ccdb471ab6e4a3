package server

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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

// What was answered once is not true for ever: the dataset is looked up, as its owner.
func TestAnUploadThatIsSentAgainIsAnsweredWithWhatIsThereNow(t *testing.T) {
	domain := &fakes{upload: &fakeUpload{}}
	s := start(t, domain)
	send := func() (*bastionlabv1.UploadDatasetResponse, error) {
		stream := uploadOn(t, s, namedHeader(uploadName, 0))
		_ = stream.Send(tenRecords)
		_ = stream.Send(datasetTrailer)
		return stream.CloseAndRecv()
	}
	if _, err := send(); err != nil {
		t.Fatal(err)
	}
	if again, err := send(); err != nil || again.GetDataset().GetId() != "d1" || again.GetDataset().GetOwner() != "alice" {
		t.Errorf("got %v, %v, and not what there is now", again, err)
	}
	domain.gone.Store(true)
	if again, err := send(); status.Code(err) != codes.NotFound {
		t.Errorf("a deleted dataset is answered with %v, %v", again, err)
	}
	if domain.begun.Load() != 1 {
		t.Errorf("it was begun %d times", domain.begun.Load())
	}
}

// rememberMade remembers an upload of a user, and says of each so far whether it still is.
func rememberMade(u *uploads, user string, count int) func(i int) bool {
	header := func(i int) *bastionlabv1.UploadDatasetHeader { return namedHeader(fmt.Sprintf("%032x", i), 0) }
	for i := range count {
		u.remember(&datasetUpload{key: uploadKey{user, header(i).GetUploadId()}, header: header(i)}, &bastionlabv1.UploadDatasetResponse{})
	}
	return func(i int) bool { _, is := u.answered(user, header(i)); return is }
}

func TestAnswersAreForgottenInTime(t *testing.T) {
	u := newUploads(1, 1)
	bob := rememberMade(u, "bob", 1)
	alice := rememberMade(u, "alice", 2*maxMade)
	if last := 2*maxMade - 1; !bob(0) || !alice(last) || !alice(last-maxMadeOfUser+1) || alice(last-maxMadeOfUser) {
		t.Error("one user's were not forgotten for that user's newer ones alone")
	}
	for i := range maxMade - maxMadeOfUser {
		rememberMade(u, fmt.Sprint(i), 1)
	}
	if bob(0) || len(u.made) != maxMade {
		t.Errorf("%d are remembered, and bob's the oldest %t", len(u.made), bob(0))
	}
	if _, is := u.answered("eve", namedHeader(fmt.Sprintf("%032x", 0), 0)); is {
		t.Error("somebody else hears of it")
	}
}
