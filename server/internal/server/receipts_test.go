package server

import (
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

func TestReceiptsAreListedByDatasetOrRunAndJudgedInOrder(t *testing.T) {
	r := start(t, &fakes{})
	ledger := bastionlabv1.NewLedgerServiceClient(r.conn)
	ofRun, err := ledger.ListReceipts(as(t.Context(), goodToken), &bastionlabv1.ListReceiptsRequest{Of: &bastionlabv1.ListReceiptsRequest_RunId{RunId: "r"}})
	if err != nil || string(ofRun.GetReceipts()[0].GetBody()) != "alice r" || ofRun.GetMore() {
		t.Errorf("of a run: %v, %v", ofRun, err)
	}
	ofDataset, err := ledger.ListReceipts(as(t.Context(), goodToken), &bastionlabv1.ListReceiptsRequest{Of: &bastionlabv1.ListReceiptsRequest_DatasetId{DatasetId: "d"}, AfterSeq: 3})
	if err != nil || string(ofDataset.GetReceipts()[0].GetBody()) != "alice d 3" || !ofDataset.GetMore() {
		t.Errorf("of a dataset: %v, %v", ofDataset, err)
	}
	closings, err := ledger.ListClosings(as(t.Context(), goodToken), &bastionlabv1.ListClosingsRequest{})
	if err != nil || len(closings.GetReceipts()) != 2 || string(closings.GetReceipts()[0].GetBody()) != "closed for alice" || !closings.GetMore() {
		t.Errorf("closings: %d, %t, %v", len(closings.GetReceipts()), closings.GetMore(), err)
	}
	judged, err := ledger.PresentReceipts(as(t.Context(), goodToken), &bastionlabv1.PresentReceiptsRequest{Receipts: []*bastionlabv1.Receipt{{Body: []byte("known")}, {}}})
	if err != nil || len(judged.GetStandings()) != 2 || judged.GetStandings()[0].GetNewestSeq() != 7 || judged.GetStandings()[1].GetState() != bastionlabv1.Standing_STATE_FOREIGN {
		t.Errorf("judged: %v, %v", judged, err)
	}
	if _, err := ledger.PresentReceipts(as(t.Context(), goodToken), &bastionlabv1.PresentReceiptsRequest{Receipts: make([]*bastionlabv1.Receipt, maxPresented+1)}); err == nil {
		t.Error("more than can be judged at once were taken")
	}
}
