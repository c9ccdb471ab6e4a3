package server

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"google.golang.org/grpc"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// While a call is under way, the next one on the same connection is told that the server stops, and the first one gets its answer.
func TestWhoCallsAServerThatStopsIsToldSo(t *testing.T) {
	arrived, let := make(chan struct{}), make(chan struct{})
	answer := sync.OnceFunc(func() { close(let) })
	s := start(t, &fakes{datasets: func(string) ([]*bastionlabv1.Dataset, error) {
		close(arrived)
		<-let
		return nil, nil
	}})
	t.Cleanup(answer) // before the server's own end, which waits for it
	client := bastionlabv1.NewDatasetServiceClient(s.conn)
	first := make(chan error, 1)
	go func() {
		_, err := client.ListDatasets(as(context.Background(), goodToken), &bastionlabv1.ListDatasetsRequest{})
		first <- err
	}()
	<-arrived
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Server.Stop(ctx)
	}()
	for s.Server.Figures().Ready {
		time.Sleep(time.Millisecond)
	}
	<-s.Server.stopping
	var trailer metadata.MD
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		// The drain begins a moment after readiness ends; datasets are not asked for twice, so another method is.
		_, err := client.GetUpload(as(context.Background(), goodToken), &bastionlabv1.GetUploadRequest{}, grpc.Trailer(&trailer))
		if detail := detailIn(trailer); detail.GetKind() == bastionlabv1.ErrorDetail_Kind(refusal.Unavailable) {
			expect(t, refusal.Unavailable, codes.Unavailable, detail, err)
			if !strings.Contains(detail.GetWhat(), "stopping") {
				t.Errorf("it says %q", detail.GetWhat())
			}
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the next call is answered with %v, %v", detail, err)
		}
	}
	answer()
	if err := <-first; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		t.Error("the server waits for nobody")
	}
}

type ear struct {
	mu    sync.Mutex
	heard []string
}

func (e *ear) Called(action, outcome string, began time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, action+" "+outcome)
	if time.Since(began) > time.Minute {
		e.heard = append(e.heard, "no beginning")
	}
}

func (e *ear) Limited(limit string) { e.Called("limit", limit, time.Now()) }

func TestAnObserverHearsOfCallsInFixedWords(t *testing.T) {
	heard := &ear{}
	d := newDrain()
	g := &gate{log: slog.New(slog.DiscardHandler), audit: &fakeAudit{}, drain: d, observe: heard, identify: func(context.Context, string, metadata.MD) (caller identity.Caller, err error) {
		return caller, refusal.New(refusal.PermissionDenied, "", "no")
	}}
	pass := func(method string) {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs(ProtocolKey, "1"))
		_ = g.pass(ctx, method, false, func(metadata.MD) {}, newNote(g.audit, method, "", ""), func(context.Context) error { return nil })
	}
	pass(bastionlabv1.DatasetService_ListDatasets_FullMethodName)
	pass(bastionlabv1.SessionService_Hello_FullMethodName)
	pass("/somebody's/words")
	pass("/grpc.health.v1.Health/Check")
	want := "DatasetService.ListDatasets permission_denied, SessionService.Hello ok, unknown permission_denied"
	if got := strings.Join(heard.heard, ", "); got != want {
		t.Errorf("it heard %q, want %q", got, want)
	}
	if d.underWay() != 0 {
		t.Errorf("%d calls are under way", d.underWay())
	}
	c := &calls{of: map[string]int{"alice": maxCallsOfUser}, observe: heard}
	if _, err := c.enter("alice"); err == nil {
		t.Error("there is no limit")
	}
	if last := heard.heard[len(heard.heard)-1]; last != "limit calls_of_user" {
		t.Errorf("of a limit it heard %q", last)
	}
	for _, said := range heard.heard {
		action, outcome, _ := strings.Cut(said, " ")
		if !slices.Contains(append(Actions(), "limit"), action) || !slices.Contains(append(Outcomes(), Limits()...), outcome) {
			t.Errorf("%q is of no set", said)
		}
	}
}
