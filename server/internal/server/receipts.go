package server

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// maxPresented bounds how many signatures one call has checked.
const maxPresented = 1000

type receiptService struct {
	bastionlabv1.UnimplementedLedgerServiceServer
	receipts Receipts
}

func (s *receiptService) ListReceipts(ctx context.Context, request *bastionlabv1.ListReceiptsRequest) (*bastionlabv1.ListReceiptsResponse, error) {
	if run := request.GetRunId(); run != "" {
		receipts, err := s.receipts.OfRun(ctx, userOf(ctx), run)
		return &bastionlabv1.ListReceiptsResponse{Receipts: receipts}, err
	}
	receipts, more, err := s.receipts.OfDataset(ctx, userOf(ctx), request.GetDatasetId(), request.GetAfterSeq())
	return &bastionlabv1.ListReceiptsResponse{Receipts: receipts, More: more}, err
}

func (s *receiptService) PresentReceipts(ctx context.Context, request *bastionlabv1.PresentReceiptsRequest) (*bastionlabv1.PresentReceiptsResponse, error) {
	if len(request.GetReceipts()) > maxPresented {
		return nil, refusal.New(refusal.InvalidArgument, "present them in parts", "%d receipts were presented, at most %d are taken at once", len(request.GetReceipts()), maxPresented)
	}
	answer := &bastionlabv1.PresentReceiptsResponse{}
	for _, receipt := range request.GetReceipts() {
		standing, err := s.receipts.Present(ctx, userOf(ctx), receipt)
		if err != nil {
			return nil, err
		}
		answer.Standings = append(answer.Standings, standing)
	}
	return answer, nil
}
