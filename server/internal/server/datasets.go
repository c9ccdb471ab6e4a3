package server

import (
	"context"

	"google.golang.org/grpc"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

type datasetService struct {
	bastionlabv1.UnimplementedDatasetServiceServer
	datasets Datasets
	uploads  *uploads
}

type datasetStream = grpc.ClientStreamingServer[bastionlabv1.UploadDatasetRequest, bastionlabv1.UploadDatasetResponse]

func (s *datasetService) UploadDataset(stream datasetStream) error {
	ctx := stream.Context()
	first, err := receiveHeader(ctx, stream.Recv)
	if err != nil {
		return err
	}
	if first.GetHeader() == nil {
		return outOfOrder("a dataset upload starts with its header")
	}
	leave, err := s.uploads.enter(userOf(ctx))
	if err != nil {
		return err
	}
	defer leave()
	defer unmetered(ctx)()
	upload, err := s.datasets.Begin(ctx, userOf(ctx), first.GetHeader())
	if err != nil {
		return err
	}
	defer upload.Abort()
	uploaded, err := s.receive(ctx, stream, upload)
	if err != nil {
		return err
	}
	return stream.SendAndClose(uploaded)
}

func (s *datasetService) receive(ctx context.Context, stream datasetStream, upload DatasetUpload) (*bastionlabv1.UploadDatasetResponse, error) {
	for pace := newPace(); ; {
		message, err := receive(ctx, pace, stream.Recv)
		if err != nil {
			return nil, err
		}
		switch part := message.GetPart().(type) {
		case *bastionlabv1.UploadDatasetRequest_Batch:
			if err := upload.Add(ctx, part.Batch); err != nil {
				return nil, err
			}
		case *bastionlabv1.UploadDatasetRequest_Trailer:
			return upload.Finish(ctx, part.Trailer)
		default:
			return nil, outOfOrder("after the header of a dataset come batches, then one trailer")
		}
	}
}

func outOfOrder(what string) error {
	return refusal.New(refusal.InvalidArgument, "use the client of this server's release", "%s", what)
}

func (s *datasetService) ListDatasets(ctx context.Context, _ *bastionlabv1.ListDatasetsRequest) (*bastionlabv1.ListDatasetsResponse, error) {
	datasets, err := s.datasets.List(ctx, userOf(ctx))
	if err != nil {
		return nil, err
	}
	return &bastionlabv1.ListDatasetsResponse{Datasets: datasets}, nil
}

func (s *datasetService) GetDataset(ctx context.Context, request *bastionlabv1.GetDatasetRequest) (*bastionlabv1.Dataset, error) {
	return s.datasets.Get(ctx, userOf(ctx), request.GetId())
}

func (s *datasetService) GetBudget(ctx context.Context, request *bastionlabv1.GetBudgetRequest) (*bastionlabv1.Budget, error) {
	return s.datasets.Budget(ctx, userOf(ctx), request.GetDatasetId())
}

func (s *datasetService) LowerLimit(ctx context.Context, request *bastionlabv1.LowerLimitRequest) (*bastionlabv1.Budget, error) {
	return s.datasets.LowerLimit(ctx, userOf(ctx), request.GetDatasetId(), request.GetPrivacyLimit(), request.GetScientist())
}

func (s *datasetService) DeleteDataset(ctx context.Context, request *bastionlabv1.DeleteDatasetRequest) (*bastionlabv1.DeleteDatasetResponse, error) {
	if err := s.datasets.Delete(ctx, userOf(ctx), request.GetId()); err != nil {
		return nil, err
	}
	return &bastionlabv1.DeleteDatasetResponse{}, nil
}

func (s *datasetService) GrantAccess(ctx context.Context, request *bastionlabv1.GrantAccessRequest) (*bastionlabv1.Dataset, error) {
	return s.datasets.Grant(ctx, userOf(ctx), request.GetDatasetId(), request.GetGrant())
}

func (s *datasetService) RevokeAccess(ctx context.Context, request *bastionlabv1.RevokeAccessRequest) (*bastionlabv1.Dataset, error) {
	return s.datasets.Revoke(ctx, userOf(ctx), request.GetDatasetId(), request.GetUser())
}
