package server

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// SECURITY: answers that nobody reads stay in memory, so one user has only so many.
func TestOneUserHasOnlySoManyCallsAtOnce(t *testing.T) {
	domain := &fakes{
		watch: func(ctx context.Context, _ string, _ func(*bastionlabv1.Run) error) error {
			<-ctx.Done()
			return ctx.Err()
		},
		datasets: func(string) ([]*bastionlabv1.Dataset, error) { return nil, nil },
	}
	s := start(t, domain)
	list := func() codes.Code {
		_, err := bastionlabv1.NewDatasetServiceClient(s.conn).ListDatasets(as(context.Background(), goodToken), &bastionlabv1.ListDatasetsRequest{})
		return status.Code(err)
	}
	leave := make([]func(), maxCallsOfUser-1)
	for i := range leave {
		leave[i], _ = s.calls.enter("alice")
	}
	if code := list(); code != codes.OK {
		t.Errorf("the last is answered %s", code)
	}
	under := func() int { s.calls.mu.Lock(); defer s.calls.mu.Unlock(); return s.calls.of["alice"] }
	eventually(t, func() bool { return under() == maxCallsOfUser-1 })
	ctx, cancel := context.WithCancel(as(context.Background(), goodToken))
	defer cancel()
	if _, err := bastionlabv1.NewTrainingServiceClient(s.conn).WatchRun(ctx, &bastionlabv1.WatchRunRequest{Id: "r"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return under() == maxCallsOfUser })
	if code := list(); code != codes.Unavailable {
		t.Errorf("one too many is answered %s", code)
	}
	if _, err := s.calls.enter("bob"); err != nil {
		t.Errorf("bob: %v", err)
	}
	if _, err := bastionlabv1.NewTrainingServiceClient(s.local).CancelRun(as(context.Background(), ""), &bastionlabv1.CancelRunRequest{Id: "r"}); err != nil {
		t.Errorf("the operator, on the socket: %v", err)
	}
	cancel()
	eventually(t, func() bool { return list() == codes.OK })
}
