package server

import (
	"context"
	"strings"
	"testing"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestReceiveGivesUpOnAPause(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // ends the waiting goroutine, as a returning handler does
	short := &pace{left: 10 * time.Millisecond, most: 10 * time.Millisecond}
	silent := func() (*bastionlabv1.UploadModelRequest, error) { <-ctx.Done(); return nil, ctx.Err() }
	if _, err := receive(ctx, short, silent); refusal.KindOf(err) != refusal.Unavailable {
		t.Errorf("a silent client: %v", err)
	}
	message := &bastionlabv1.UploadModelRequest{}
	if got, err := receive(ctx, newPace(), func() (*bastionlabv1.UploadModelRequest, error) { return message, nil }); got != message || err != nil {
		t.Errorf("a prompt one: %v, %v", got, err)
	}
}

// Every message comes before a pause would be too long; what counts is how much they bring.
func TestAnUploadMustComeAtAPace(t *testing.T) {
	for name, test := range map[string]struct {
		every   time.Duration
		bytes   int
		dropped bool
	}{
		"fast":                             {time.Second, 1 << 20, false},
		"a MiB a minute":                   {time.Minute, 1 << 20, false},
		"just fast enough":                 {64 * time.Second, 1 << 20, false},
		"too slow":                         {70 * time.Second, 1 << 20, true},
		"a byte every minute":              {time.Minute, 1, true},
		"a byte every second":              {time.Second, 1, true},
		"a large record after a long wait": {110 * time.Second, 64 << 20, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPace()
			for passed := time.Duration(0); passed < 24*time.Hour && p.left > 0; passed += test.every {
				p.earn(test.every, test.bytes)
			}
			if (p.left <= 0) != test.dropped {
				t.Errorf("after a day %s are left", p.left)
			}
			if p.left > uploadIdle {
				t.Errorf("%s were saved up", p.left)
			}
		})
	}
}

func TestUploadsAreBoundedForAllAndForEach(t *testing.T) {
	places := newUploads(3, 2)
	enter := func(user string, taken bool) func() {
		t.Helper()
		leave, err := places.enter(user)
		if (err == nil) != taken || err != nil && refusal.KindOf(err) != refusal.Unavailable {
			t.Errorf("%s: %v", user, err)
		}
		return leave
	}
	first := enter("alice", true)
	enter("alice", true)
	enter("alice", false)
	bob := enter("bob", true)
	enter("carol", false)
	first()
	carol := enter("carol", true)
	bob()
	carol()
	enter("alice", true)
	if len(places.of) != 1 {
		t.Errorf("users without an upload are remembered: %v", places.of)
	}
}

// A caller that opens uploads and sends no header takes no place; one that has taken its own leaves the others theirs.
func TestAnUploadHasAPlaceOnceItsHeaderArrived(t *testing.T) {
	domain := &fakes{upload: &fakeUpload{}}
	s := start(t, domain)
	client := bastionlabv1.NewDatasetServiceClient(s.conn)
	open := func() bastionlabv1.DatasetService_UploadDatasetClient {
		t.Helper()
		ctx, cancel := context.WithCancel(as(context.Background(), goodToken))
		t.Cleanup(cancel)
		stream, err := client.UploadDataset(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	for range 2 * maxUploads {
		open()
	}
	upload := func() (bastionlabv1.DatasetService_UploadDatasetClient, error) {
		stream := open()
		for _, part := range []*bastionlabv1.UploadDatasetRequest{datasetHeader, datasetTrailer} {
			if err := stream.Send(part); err != nil {
				return stream, err
			}
		}
		_, err := stream.CloseAndRecv()
		return stream, err
	}
	if _, err := upload(); err != nil {
		t.Fatalf("beside %d that are silent: %v", 2*maxUploads, err)
	}
	for range maxUploadsOfUser {
		stream := open()
		for _, part := range []*bastionlabv1.UploadDatasetRequest{datasetHeader, datasetBatch} {
			if err := stream.Send(part); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, func() bool { return strings.Count(domain.upload.story(), "add") == maxUploadsOfUser })
	stream, _ := upload()
	if detail := detailIn(stream.Trailer()); detail.GetKind() != bastionlabv1.ErrorDetail_KIND_UNAVAILABLE {
		t.Errorf("one more: %v", detail)
	}
}
