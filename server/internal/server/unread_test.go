package server

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// A caller without a token is answered before it has sent anything: nothing that it could send is held in memory.
func TestACallWithoutATokenIsRefusedUnread(t *testing.T) {
	s := start(t, &fakes{})
	for _, method := range everyMethod() {
		if permission.IsOpen(method) {
			continue
		}
		t.Run(method, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(as(context.Background(), "other"), 5*time.Second)
			defer cancel()
			stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
			if err != nil {
				t.Fatal(err)
			}
			err = stream.RecvMsg(&bastionlabv1.ListRunsResponse{})
			expect(t, refusal.Unauthenticated, codes.Unauthenticated, detailIn(stream.Trailer()), err)
		})
	}
}

// unknown is a field that no message of this protocol has.
func unknown(size int) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), make([]byte, size))
}

func TestRequestsAreReadWithoutWhatNobodyKnows(t *testing.T) {
	with := func(message proto.Message) proto.Message {
		message.ProtoReflect().SetUnknown(unknown(9))
		return message
	}
	schema := with(&bastionlabv1.Schema{Label: with(&bastionlabv1.TensorSpec{Name: "y"}).(*bastionlabv1.TensorSpec)}).(*bastionlabv1.Schema)
	header := with(&bastionlabv1.UploadDatasetHeader{Name: "d", Schema: schema}).(*bastionlabv1.UploadDatasetHeader)
	optimizer := with(&bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Sgd{Sgd: with(&bastionlabv1.SGD{Lr: 1}).(*bastionlabv1.SGD)}}).(*bastionlabv1.Optimizer)
	request := with(&bastionlabv1.TrainingRequest{ModelId: "m", Optimizer: optimizer}).(*bastionlabv1.TrainingRequest)
	for name, test := range map[string]struct{ sent, want proto.Message }{
		"dataset": {
			with(&bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Header{Header: header}}),
			&bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Header{Header: &bastionlabv1.UploadDatasetHeader{
				Name: "d", Schema: &bastionlabv1.Schema{Label: &bastionlabv1.TensorSpec{Name: "y"}},
			}}},
		},
		"run": {
			with(&bastionlabv1.StartTrainingRequest{Request: request, Name: "r"}),
			&bastionlabv1.StartTrainingRequest{Name: "r", Request: &bastionlabv1.TrainingRequest{
				ModelId: "m", Optimizer: &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Sgd{Sgd: &bastionlabv1.SGD{Lr: 1}}},
			}},
		},
	} {
		encoded, err := proto.Marshal(test.sent)
		if err != nil {
			t.Fatal(err)
		}
		got := test.want.ProtoReflect().New().Interface()
		if err := decode(encoded, got); err != nil || !proto.Equal(got, test.want) {
			t.Errorf("%s: read as %v, %v", name, got, err)
		}
	}
}

func TestOnlyRecordsMayBeLarge(t *testing.T) {
	large := func(part *bastionlabv1.UploadDatasetRequest) *bastionlabv1.UploadDatasetRequest {
		part.ProtoReflect().SetUnknown(unknown(maxRequestBytes))
		return part
	}
	records := &bastionlabv1.RecordBatch{Safetensors: make([]byte, 65<<20)}
	for name, test := range map[string]struct {
		sent    proto.Message
		refused bool
	}{
		"a chunk of a model":         {&bastionlabv1.UploadModelRequest{Part: &bastionlabv1.UploadModelRequest_Chunk{Chunk: make([]byte, 1<<20)}}, false},
		"too large a chunk":          {&bastionlabv1.UploadModelRequest{Part: &bastionlabv1.UploadModelRequest_Chunk{Chunk: make([]byte, maxRequestBytes)}}, true},
		"the largest record":         {&bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Batch{Batch: records}}, false},
		"a large header":             {large(&bastionlabv1.UploadDatasetRequest{}), true},
		"a large header and records": {large(&bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Batch{Batch: records}}), true},
	} {
		encoded, err := proto.Marshal(test.sent)
		if err != nil {
			t.Fatal(err)
		}
		err = decode(encoded, test.sent.ProtoReflect().New().Interface())
		if (err != nil) != test.refused || err != nil && refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What cannot be read is answered in this server's own words, in a call as in an upload.
func TestMessagesThatCannotBeReadAreRefused(t *testing.T) {
	for name, method := range map[string]string{"call": bastionlabv1.TrainingService_GetRun_FullMethodName, "upload": bastionlabv1.DatasetService_UploadDataset_FullMethodName} {
		for what, sent := range map[string][]byte{"rubbish": {0xff, 0xff}, "too large": unknown(maxRequestBytes)} {
			t.Run(name+" "+what, func(t *testing.T) {
				s := start(t, &fakes{})
				stream, err := s.conn.NewStream(as(context.Background(), goodToken), &grpc.StreamDesc{ClientStreams: true}, method, grpc.ForceCodecV2(newCodec()))
				if err != nil {
					t.Fatal(err)
				}
				raw := &bastionlabv1.HelloRequest{}
				raw.ProtoReflect().SetUnknown(sent)
				if err := stream.SendMsg(raw); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				_ = stream.CloseSend()
				err = stream.RecvMsg(&bastionlabv1.HelloResponse{})
				expect(t, refusal.InvalidArgument, codes.InvalidArgument, detailIn(stream.Trailer()), err)
			})
		}
	}
}

// silentStream is a client that opened a call and sends nothing.
type silentStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s silentStream) RecvMsg(any) error { <-s.ctx.Done(); return s.ctx.Err() }

func TestARequestThatDoesNotArriveIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := (gatedStream{silentStream{ctx: ctx}, ctx, time.Millisecond, nil}).RecvMsg(&bastionlabv1.GetRunRequest{}); refusal.KindOf(err) != refusal.Unavailable {
		t.Errorf("got %v", err)
	}
}
