package server

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

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
	ctx, leave := context.WithCancel(stream.Context())
	defer leave()
	first, err := receiveHeader(ctx, stream.Recv)
	if err != nil {
		return err
	}
	if first.GetHeader() == nil {
		return outOfOrder("a dataset upload starts with its header")
	}
	s.uploads.settle(ctx, uploadKey{userOf(ctx), first.GetHeader().GetUploadId()}, func(d *datasetUpload) bool {
		return first.GetHeader().GetAfterBatches() == d.batches && proto.Equal(d.header, withoutPlace(first.GetHeader()))
	})
	if made, before := s.uploads.answered(userOf(ctx), first.GetHeader()); before {
		// It may be deleted by now, or permit other things.
		dataset, err := s.datasets.Get(ctx, userOf(ctx), made.dataset)
		if err != nil {
			return err
		}
		return stream.SendAndClose(made.with(dataset))
	}
	d, err := s.uploads.open(userOf(ctx), first.GetHeader())
	if err != nil {
		return err
	}
	s.uploads.feeds(d, leave)
	defer unmetered(ctx)()
	cut := false
	defer func() { s.uploads.release(d, cut) }()
	uploaded, err := s.feed(ctx, stream, d, first.GetHeader())
	if err != nil {
		if cut = wasCut(ctx, err); cut && stream.Context().Err() == nil {
			return errSuperseded
		}
		return err
	}
	return stream.SendAndClose(uploaded)
}

// feed begins an upload where it was not begun, and brings it what comes on a stream.
func (s *datasetService) feed(ctx context.Context, stream datasetStream, d *datasetUpload, header *bastionlabv1.UploadDatasetHeader) (_ *bastionlabv1.UploadDatasetResponse, err error) {
	if d.upload == nil {
		if d.upload, err = s.datasets.Begin(ctx, userOf(ctx), header); err != nil {
			d.upload = nil // not an interface that holds nothing
			return nil, err
		}
	}
	for pace := newPace(); ; {
		message, err := receive(ctx, pace, stream.Recv)
		if err != nil {
			return nil, err
		}
		switch part := message.GetPart().(type) {
		case *bastionlabv1.UploadDatasetRequest_Batch:
			// A batch that came whole is taken whole, also where its client has gone meanwhile.
			if err := d.upload.Add(context.WithoutCancel(ctx), part.Batch); err != nil {
				d.ended = true
				return nil, err
			}
			s.uploads.came(d, part.Batch.GetCount())
		case *bastionlabv1.UploadDatasetRequest_Trailer:
			s.uploads.brought(d)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			d.ended = true
			answer, err := d.upload.Finish(ctx, part.Trailer)
			if err == nil {
				s.uploads.remember(d, answer)
			}
			return answer, err
		default:
			return nil, outOfOrder("after the header of a dataset come batches, then one trailer")
		}
	}
}

func (s *datasetService) GetUpload(ctx context.Context, request *bastionlabv1.GetUploadRequest) (*bastionlabv1.UploadStanding, error) {
	s.uploads.settle(ctx, uploadKey{userOf(ctx), request.GetUploadId()}, func(*datasetUpload) bool { return true })
	return s.uploads.standing(userOf(ctx), request.GetUploadId()), nil
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
