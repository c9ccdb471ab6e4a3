package server

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

type trainingService struct {
	bastionlabv1.UnimplementedTrainingServiceServer
	training Training
	stopping <-chan struct{} // closed when the server stops: a watcher must not hold it up
}

func (s *trainingService) PlanTraining(ctx context.Context, request *bastionlabv1.TrainingRequest) (*bastionlabv1.Plan, error) {
	return s.training.Plan(ctx, userOf(ctx), request)
}

func (s *trainingService) StartTraining(ctx context.Context, request *bastionlabv1.StartTrainingRequest) (*bastionlabv1.Run, error) {
	return s.training.Start(ctx, userOf(ctx), request)
}

func (s *trainingService) PlanTest(ctx context.Context, request *bastionlabv1.TestRequest) (*bastionlabv1.Plan, error) {
	return s.training.PlanTest(ctx, userOf(ctx), request)
}

func (s *trainingService) StartTest(ctx context.Context, request *bastionlabv1.StartTestRequest) (*bastionlabv1.Run, error) {
	return s.training.StartTest(ctx, userOf(ctx), request)
}

func (s *trainingService) GetRun(ctx context.Context, request *bastionlabv1.GetRunRequest) (*bastionlabv1.Run, error) {
	return s.training.Get(ctx, userOf(ctx), request.GetId())
}

func (s *trainingService) ListRuns(ctx context.Context, _ *bastionlabv1.ListRunsRequest) (*bastionlabv1.ListRunsResponse, error) {
	runs, err := s.training.List(ctx, userOf(ctx))
	if err != nil {
		return nil, err
	}
	return &bastionlabv1.ListRunsResponse{Runs: runs}, nil
}

func (s *trainingService) WatchRun(request *bastionlabv1.WatchRunRequest, stream grpc.ServerStreamingServer[bastionlabv1.Run]) error {
	ctx, release := endWith(stream.Context(), s.stopping, errStopping)
	defer release()
	err := s.training.Watch(ctx, userOf(ctx), request.GetId(), stream.Send)
	if context.Cause(ctx) == error(errStopping) {
		return errStopping
	}
	return err
}

func (s *trainingService) CancelRun(ctx context.Context, request *bastionlabv1.CancelRunRequest) (*bastionlabv1.Run, error) {
	return s.training.Cancel(ctx, userOf(ctx), request.GetId())
}

func (s *trainingService) ApproveRun(ctx context.Context, request *bastionlabv1.ApproveRunRequest) (*bastionlabv1.Run, error) {
	return s.training.Approve(ctx, userOf(ctx), request.GetId())
}

func (s *trainingService) DenyRun(ctx context.Context, request *bastionlabv1.DenyRunRequest) (*bastionlabv1.Run, error) {
	return s.training.Deny(ctx, userOf(ctx), request.GetId(), request.GetReason())
}

type weightsStream = grpc.ServerStreamingServer[bastionlabv1.DownloadWeightsResponse]

func (s *trainingService) DownloadWeights(request *bastionlabv1.DownloadWeightsRequest, stream weightsStream) error {
	weights, err := s.training.Weights(stream.Context(), userOf(stream.Context()), request.GetRunId())
	if err != nil {
		return err
	}
	defer weights.File.Close()
	header := &bastionlabv1.DownloadHeader{SizeBytes: weights.SizeBytes, Sha256: weights.SHA256}
	if err := stream.Send(&bastionlabv1.DownloadWeightsResponse{Part: &bastionlabv1.DownloadWeightsResponse_Header{Header: header}}); err != nil {
		return transportError{err}
	}
	return sendChunks(stream, weights)
}

func sendChunks(stream weightsStream, weights training.Weights) error {
	for {
		if err := stream.Context().Err(); err != nil {
			return err // who takes them home lost the right to
		}
		// PRIVACY: a client may read as slowly as it likes; what the owner takes back meanwhile stays.
		if err := weights.StillPermitted(stream.Context()); err != nil {
			return err
		}
		chunk, err := fill(weights.File, make([]byte, downloadChunkBytes))
		if len(chunk) > 0 {
			part := &bastionlabv1.DownloadWeightsResponse_Chunk{Chunk: chunk}
			if err := stream.Send(&bastionlabv1.DownloadWeightsResponse{Part: part}); err != nil {
				return transportError{err}
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read the weights: %w", err)
		}
	}
}

// fill is io.ReadFull without its io.ErrUnexpectedEOF: a sealed file says exactly that when its end was cut off, and a short last chunk must
// not look the same.
func fill(file io.Reader, chunk []byte) ([]byte, error) {
	filled := 0
	for filled < len(chunk) {
		n, err := file.Read(chunk[filled:])
		filled += n
		if err != nil {
			return chunk[:filled], err
		}
	}
	return chunk, nil
}
