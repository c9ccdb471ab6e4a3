package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

var (
	datasetHeader  = &bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Header{Header: &bastionlabv1.UploadDatasetHeader{}}}
	datasetBatch   = &bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Batch{Batch: &bastionlabv1.RecordBatch{}}}
	datasetTrailer = &bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Trailer{Trailer: &bastionlabv1.UploadDatasetTrailer{}}}
	hugeBatch      = &bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Batch{Batch: &bastionlabv1.RecordBatch{Safetensors: make([]byte, maxMessageBytes)}}}
)

func TestDatasetUpload(t *testing.T) {
	for name, test := range map[string]struct {
		parts []*bastionlabv1.UploadDatasetRequest
		story string // what the domain saw
		kind  refusal.Kind
		what  string // gRPC's own words where kind is 0
	}{
		"whole":             {[]*bastionlabv1.UploadDatasetRequest{datasetHeader, datasetBatch, datasetBatch, datasetTrailer}, "add add finish abort", 0, ""},
		"empty":             {nil, "", refusal.InvalidArgument, "ended before its trailer"},
		"no header":         {[]*bastionlabv1.UploadDatasetRequest{datasetBatch}, "", refusal.InvalidArgument, "starts with its header"},
		"header twice":      {[]*bastionlabv1.UploadDatasetRequest{datasetHeader, datasetHeader}, "abort", refusal.InvalidArgument, "come batches"},
		"empty part":        {[]*bastionlabv1.UploadDatasetRequest{datasetHeader, {}}, "abort", refusal.InvalidArgument, "come batches"},
		"cut off":           {[]*bastionlabv1.UploadDatasetRequest{datasetHeader, datasetBatch}, "add abort", refusal.InvalidArgument, "ended before its trailer"},
		"message too large": {[]*bastionlabv1.UploadDatasetRequest{datasetHeader, hugeBatch}, "abort", 0, "larger than max"},
	} {
		t.Run(name, func(t *testing.T) {
			domain := &fakes{upload: &fakeUpload{}}
			s := start(t, domain)
			stream, err := bastionlabv1.NewDatasetServiceClient(s.conn).UploadDataset(as(context.Background(), goodToken))
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range test.parts {
				if err := stream.Send(part); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
			response, err := stream.CloseAndRecv()
			if test.kind == 0 && test.what != "" {
				if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), test.what) {
					t.Errorf("it says %v", err)
				}
			} else if test.kind == 0 {
				if err != nil || response.GetDataset().GetId() != "d1" {
					t.Errorf("response %v, %v", response, err)
				}
			} else {
				detail := detailIn(stream.Trailer())
				expect(t, test.kind, codes.InvalidArgument, detail, err)
				if !strings.Contains(detail.GetWhat(), test.what) {
					t.Errorf("it says %q", detail.GetWhat())
				}
			}
			s.stop()
			if domain.upload.story() != test.story {
				t.Errorf("the domain saw %q, want %q", domain.upload.story(), test.story)
			}
		})
	}
}

func TestUploadOfAVanishedClientIsAborted(t *testing.T) {
	domain := &fakes{upload: &fakeUpload{}}
	s := start(t, domain)
	ctx, cancel := context.WithCancel(as(context.Background(), goodToken))
	defer cancel()
	stream, err := bastionlabv1.NewModelServiceClient(s.conn).UploadModel(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []*bastionlabv1.UploadModelRequest{
		{Part: &bastionlabv1.UploadModelRequest_Header{Header: &bastionlabv1.UploadModelHeader{}}},
		{Part: &bastionlabv1.UploadModelRequest_Chunk{Chunk: []byte("PK")}},
	} {
		if err := stream.Send(part); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return domain.upload.story() == "add" })
	cancel()
	eventually(t, func() bool { return domain.upload.story() == "add abort" })
}

func TestModelUpload(t *testing.T) {
	domain := &fakes{upload: &fakeUpload{}}
	s := start(t, domain)
	stream, err := bastionlabv1.NewModelServiceClient(s.conn).UploadModel(as(context.Background(), goodToken))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []*bastionlabv1.UploadModelRequest{
		{Part: &bastionlabv1.UploadModelRequest_Header{Header: &bastionlabv1.UploadModelHeader{}}},
		{Part: &bastionlabv1.UploadModelRequest_Chunk{Chunk: []byte("PK")}},
		{Part: &bastionlabv1.UploadModelRequest_Trailer{Trailer: &bastionlabv1.UploadModelTrailer{}}},
	} {
		if err := stream.Send(part); err != nil {
			t.Fatal(err)
		}
	}
	if response, err := stream.CloseAndRecv(); err != nil || response.GetModelId() != "m1" {
		t.Errorf("response %v, %v", response, err)
	}
	s.stop()
	if domain.upload.story() != "add finish abort" {
		t.Errorf("the domain saw %q", domain.upload.story())
	}
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatal("it did not come about")
}

func TestDownload(t *testing.T) {
	large := strings.Repeat("w", 2*downloadChunkBytes+17)
	for name, test := range map[string]struct {
		file io.Reader
		want string
		code codes.Code
	}{
		"several chunks": {strings.NewReader(large), large, codes.OK},
		"exact chunks":   {strings.NewReader(large[:downloadChunkBytes]), large[:downloadChunkBytes], codes.OK},
		"empty":          {strings.NewReader(""), "", codes.OK},
		// A sealed file whose end was cut off must not arrive as a shorter one.
		"cut off at rest": {io.MultiReader(strings.NewReader("abc"), failing{io.ErrUnexpectedEOF}), "abc", codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			closed := false
			s := start(t, &fakes{weights: func(string) (training.Weights, error) {
				return training.Weights{StillPermitted: always, File: file{test.file, &closed}, SizeBytes: int64(len(test.want)), SHA256: []byte{1}}, nil
			}})
			stream, err := bastionlabv1.NewTrainingServiceClient(s.conn).DownloadWeights(as(context.Background(), goodToken), &bastionlabv1.DownloadWeightsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			first, err := stream.Recv()
			if err != nil || first.GetHeader().GetSizeBytes() != int64(len(test.want)) {
				t.Fatalf("header %v, %v", first, err)
			}
			var got strings.Builder
			for {
				message, err := stream.Recv()
				if err != nil {
					if errors.Is(err, io.EOF) {
						err = nil
					}
					if status.Code(err) != test.code {
						t.Errorf("it ends with %v", err)
					}
					break
				}
				got.Write(message.GetChunk())
			}
			if got.String() != test.want {
				t.Errorf("%d bytes, want %d", got.Len(), len(test.want))
			}
			s.stop()
			if !closed {
				t.Error("the file stays open")
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type file struct {
	io.Reader
	closed *bool
}

func (f file) Close() error { *f.closed = true; return nil }

// PRIVACY: what an owner takes back during a download does not leave any more.
func TestADownloadEndsWhereItIsNotPermittedAnyMore(t *testing.T) {
	closed, asked := false, 0
	still := func(context.Context) error {
		if asked++; asked > 2 {
			return refusal.New(refusal.PermissionDenied, "ask", "the owner took it back")
		}
		return nil
	}
	s := start(t, &fakes{weights: func(string) (training.Weights, error) {
		return training.Weights{File: file{bytes.NewReader(make([]byte, 5*downloadChunkBytes)), &closed}, StillPermitted: still}, nil
	}})
	stream, err := bastionlabv1.NewTrainingServiceClient(s.conn).DownloadWeights(as(context.Background(), goodToken), &bastionlabv1.DownloadWeightsRequest{RunId: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for err == nil {
		var part *bastionlabv1.DownloadWeightsResponse
		part, err = stream.Recv()
		got += len(part.GetChunk())
	}
	if got != 2*downloadChunkBytes || status.Code(err) != codes.PermissionDenied {
		t.Errorf("%d bytes left, then %v", got, err)
	}
}
