package server

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// maxPresented bounds how many signatures one call has checked.
const maxPresented = 1000

// maxClosingsBytes bounds what one answer tells of earlier starts; gRPC clients take 4 MiB by default. receiptBytes is what a receipt takes besides its
// body.
const (
	maxClosingsBytes = 3 << 20
	receiptBytes     = 128
)

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

func (s *receiptService) ListClosings(ctx context.Context, _ *bastionlabv1.ListClosingsRequest) (*bastionlabv1.ListReceiptsResponse, error) {
	answer := &bastionlabv1.ListReceiptsResponse{}
	size := 0
	for _, closing := range s.receipts.Closings(ctx, userOf(ctx)) {
		if size += len(closing.GetBody()) + receiptBytes; size > maxClosingsBytes {
			answer.More = true // those of the oldest boots; they come first no more often for being asked again
			break
		}
		answer.Receipts = append(answer.Receipts, closing)
	}
	return answer, nil
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
