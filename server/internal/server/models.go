package server

import (
	"context"

	"google.golang.org/grpc"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

type modelService struct {
	bastionlabv1.UnimplementedModelServiceServer
	models  Models
	uploads *uploads
}

type modelStream = grpc.ClientStreamingServer[bastionlabv1.UploadModelRequest, bastionlabv1.UploadModelResponse]

func (s *modelService) UploadModel(stream modelStream) error {
	ctx := stream.Context()
	first, err := receiveHeader(ctx, stream.Recv)
	if err != nil {
		return err
	}
	if first.GetHeader() == nil {
		return outOfOrder("a model upload starts with its header")
	}
	leave, err := s.uploads.enter(userOf(ctx))
	if err != nil {
		return err
	}
	defer leave()
	defer unmetered(ctx)()
	upload, err := s.models.Begin(ctx, userOf(ctx), first.GetHeader())
	if err != nil {
		return err
	}
	defer upload.Abort()
	response, err := s.receive(ctx, stream, upload)
	if err != nil {
		return err
	}
	return stream.SendAndClose(response)
}

func (s *modelService) receive(ctx context.Context, stream modelStream, upload ModelUpload) (*bastionlabv1.UploadModelResponse, error) {
	for pace := newPace(); ; {
		message, err := receive(ctx, pace, stream.Recv)
		if err != nil {
			return nil, err
		}
		switch part := message.GetPart().(type) {
		case *bastionlabv1.UploadModelRequest_Chunk:
			if err := upload.Add(ctx, part.Chunk); err != nil {
				return nil, err
			}
		case *bastionlabv1.UploadModelRequest_Trailer:
			return upload.Finish(ctx, part.Trailer)
		default:
			return nil, outOfOrder("after the header of a model come chunks, then one trailer")
		}
	}
}
