package server

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestStopEndsWatchersAtOnce(t *testing.T) {
	joined := make(chan struct{})
	s := start(t, &fakes{watch: func(ctx context.Context, _ string, send func(*bastionlabv1.Run) error) error {
		close(joined)
		<-ctx.Done()
		return ctx.Err()
	}})
	stream, err := bastionlabv1.NewTrainingServiceClient(s.conn).WatchRun(as(context.Background(), goodToken), &bastionlabv1.WatchRunRequest{Id: "r"})
	if err != nil {
		t.Fatal(err)
	}
	<-joined
	started := time.Now()
	s.stop()
	_, err = stream.Recv()
	expect(t, refusal.Unavailable, codes.Unavailable, detailIn(stream.Trailer()), err)
	if waited := time.Since(started); waited > 4*time.Second {
		t.Errorf("stopping took %s", waited)
	}
}

func TestStopWaitsForCallsUnderWayAndNoLonger(t *testing.T) {
	arrived, finished := make(chan struct{}), make(chan struct{})
	s := start(t, &fakes{datasets: func(string) ([]*bastionlabv1.Dataset, error) {
		close(arrived)
		time.Sleep(300 * time.Millisecond)
		close(finished)
		return nil, nil
	}})
	go func() {
		_, _ = invoke(as(context.Background(), goodToken), s.conn, bastionlabv1.DatasetService_ListDatasets_FullMethodName)
	}()
	<-arrived
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	s.Server.Stop(ctx)
	select {
	case <-finished:
	default:
		t.Error("Stop returned while a handler was running")
	}
	if health, _ := s.health.Check(context.Background(), &grpc_health_v1.HealthCheckRequest{}); health.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING {
		t.Error("a stopped server calls itself healthy")
	}
}

func TestIncompleteConfigurationIsRefused(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a server of nothing")
	}
}
