package server

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// A client that lost its connection is back before the server has noticed: its old stream, which nobody feeds, gives way.
func TestAStreamTakesThePlaceOfOneThatIsLost(t *testing.T) {
	domain := &fakes{upload: &fakeUpload{}}
	s := start(t, domain)
	lost := uploadOn(t, s, namedHeader(uploadName, 0))
	_ = lost.Send(tenRecords)
	eventually(t, func() bool { return standing(t, s, uploadName) == "1 of 10" })
	other := namedHeader(uploadName, 1)
	other.Name = "another"
	stream := uploadOn(t, s, other)
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a stream with another header: %v", err)
	}
	stream = uploadOn(t, s, namedHeader(uploadName, 1))
	_ = stream.Send(tenRecords)
	_ = stream.Send(datasetTrailer)
	if answer, err := stream.CloseAndRecv(); err != nil || answer.GetDataset().GetId() != "d1" {
		t.Errorf("got %v, %v", answer, err)
	}
	if err := lost.RecvMsg(&bastionlabv1.UploadDatasetResponse{}); status.Code(err) != codes.Unavailable {
		t.Errorf("the lost one ended with %v", err)
	}
	s.stop()
	if domain.upload.story() != "add rest add finish abort" || domain.begun.Load() != 1 || s.uploads.taken != 0 {
		t.Errorf("the domain saw %q, begun %d times, and %d places are taken", domain.upload.story(), domain.begun.Load(), s.uploads.taken)
	}
}

// Who asks how much there is has given up the stream that brings it: what it brought is counted, and no more comes.
func TestWhoAsksHowMuchThereIsEndsTheStream(t *testing.T) {
	domain := &fakes{upload: &fakeUpload{}}
	s := start(t, domain)
	lost := uploadOn(t, s, namedHeader(uploadName, 0))
	_ = lost.Send(tenRecords)
	eventually(t, func() bool { return standing(t, s, uploadName) == "1 of 10" })
	ask := &bastionlabv1.GetUploadRequest{UploadId: uploadName}
	held, err := bastionlabv1.NewDatasetServiceClient(s.conn).GetUpload(as(context.Background(), goodToken), ask)
	if err != nil || held.GetBatches() != 1 || s.uploads.waits() != 1 {
		t.Fatalf("holds %v, %v", held, err)
	}
	if err := lost.RecvMsg(&bastionlabv1.UploadDatasetResponse{}); status.Code(err) != codes.Unavailable {
		t.Errorf("the lost one ended with %v", err)
	}
}

// An upload that has all is not ended by its client's return: that one hears what became of it.
func TestAStreamThatBroughtAllIsWaitedFor(t *testing.T) {
	held := make(chan struct{})
	domain := &fakes{upload: &fakeUpload{finishing: held}}
	s := start(t, domain)
	lost := uploadOn(t, s, namedHeader(uploadName, 0))
	_ = lost.Send(tenRecords)
	_ = lost.Send(datasetTrailer)
	eventually(t, func() bool { return domain.upload.story() == "add finish" })
	stream := uploadOn(t, s, namedHeader(uploadName, 1))
	_ = stream.Send(datasetTrailer)
	time.AfterFunc(50*time.Millisecond, func() { close(held) })
	if answer, err := stream.CloseAndRecv(); err != nil || answer.GetDataset().GetId() != "d1" || domain.begun.Load() != 1 {
		t.Errorf("got %v, %v, and it was begun %d times", answer, err, domain.begun.Load())
	}
}
