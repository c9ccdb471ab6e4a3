package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

// endless are weights that go on until their reader is stopped.
type endless struct{ read chan struct{} }

func (e endless) Read(into []byte) (int, error) {
	select {
	case e.read <- struct{}{}:
	default:
	}
	return len(into), nil
}

func (endless) Close() error { return nil }

// SECURITY: whoever is revoked is out, in the middle of a call too.
func TestACallEndsWithTheStandingOfItsCaller(t *testing.T) {
	ctx := as(context.Background(), goodToken)
	for name, open := range map[string]func(s *running, domain *fakes, arrived func()) error{
		"a run that is watched": func(s *running, domain *fakes, arrived func()) error {
			domain.watch = func(ctx context.Context, _ string, _ func(*bastionlabv1.Run) error) error {
				arrived()
				<-ctx.Done()
				return ctx.Err()
			}
			stream, err := bastionlabv1.NewTrainingServiceClient(s.conn).WatchRun(ctx, &bastionlabv1.WatchRunRequest{})
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		},
		"an upload that pauses": func(s *running, domain *fakes, arrived func()) error {
			domain.upload = &fakeUpload{}
			stream, err := bastionlabv1.NewDatasetServiceClient(s.conn).UploadDataset(ctx)
			if err != nil {
				return err
			}
			if err := stream.Send(datasetHeader); err != nil {
				return err
			}
			arrived()
			return stream.RecvMsg(&bastionlabv1.UploadDatasetResponse{})
		},
		"weights that go home": func(s *running, domain *fakes, arrived func()) error {
			file := endless{make(chan struct{}, 1)}
			domain.weights = func(string) (training.Weights, error) {
				return training.Weights{StillPermitted: always, File: file}, nil
			}
			stream, err := bastionlabv1.NewTrainingServiceClient(s.conn).DownloadWeights(ctx, &bastionlabv1.DownloadWeightsRequest{})
			if err != nil {
				return err
			}
			<-file.read
			arrived()
			for err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			domain := &fakes{ended: make(chan struct{})}
			s := start(t, domain)
			ended := make(chan error, 1)
			arrived := make(chan struct{})
			go func() { ended <- open(s, domain, sync.OnceFunc(func() { close(arrived) })) }()
			<-arrived
			select {
			case err := <-ended:
				t.Fatalf("it ended by itself: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			close(domain.ended)
			select {
			case err := <-ended:
				if status.Code(err) != codes.Unauthenticated {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("it goes on")
			}
		})
	}
}

// A call that a caller's roles do not allow is refused before anything of it is read.
func TestTheGateJudgesRoles(t *testing.T) {
	for roles, refused := range map[identity.Roles][]string{
		permission.Owner:     {bastionlabv1.TrainingService_StartTraining_FullMethodName, bastionlabv1.ModelService_UploadModel_FullMethodName, bastionlabv1.UserService_AddUser_FullMethodName},
		permission.Scientist: {bastionlabv1.DatasetService_UploadDataset_FullMethodName, bastionlabv1.DatasetService_GrantAccess_FullMethodName, bastionlabv1.UserService_ListUsers_FullMethodName},
		permission.Operator:  {bastionlabv1.TrainingService_DownloadWeights_FullMethodName, bastionlabv1.LedgerService_ListReceipts_FullMethodName},
	} {
		s := start(t, &fakes{roles: roles})
		for _, method := range refused {
			detail, err := invoke(as(context.Background(), goodToken), s.conn, method)
			t.Run(roles.String()+method, func(t *testing.T) { expect(t, refusal.PermissionDenied, codes.PermissionDenied, detail, err) })
		}
	}
	s := start(t, &fakes{roles: permission.Operator})
	added, err := bastionlabv1.NewUserServiceClient(s.conn).AddUser(as(context.Background(), goodToken), &bastionlabv1.AddUserRequest{
		PublicKey: []byte{1}, Name: "n", Roles: []bastionlabv1.Role{bastionlabv1.Role_ROLE_OWNER},
	})
	if err != nil || added.GetName() != "n" || len(added.GetRoles()) != 1 {
		t.Errorf("an operator over the network: %v, %v", added, err)
	}
}

// What is told of a connection is what its other end knows of it: the key it saw, and the exporter.
func TestTheChannelOfACallIsThatOfItsConnection(t *testing.T) {
	domain := &fakes{}
	s := start(t, domain)
	key := sha256.Sum256(s.leaf.RawSubjectPublicKeyInfo)
	second := dial(t, s.address, credentials.NewTLS(trusting(s.leaf)))
	seen := map[[32]byte]bool{}
	for _, conn := range []*grpc.ClientConn{s.conn, second} {
		for range 2 {
			var from peer.Peer
			if _, err := bastionlabv1.NewTrainingServiceClient(conn).CancelRun(as(context.Background(), goodToken), &bastionlabv1.CancelRunRequest{}, grpc.Peer(&from)); err != nil {
				t.Fatal(err)
			}
			state := from.AuthInfo.(credentials.TLSInfo).State
			exporter, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
			if err != nil {
				t.Fatal(err)
			}
			told := domain.channels[len(domain.channels)-1]
			if !told.HasExporter || !bytes.Equal(told.Exporter[:], exporter) || told.PublicKeySHA256 != key {
				t.Errorf("the server knows %+v, the client %x", told, exporter)
			}
			seen[told.Exporter] = true
		}
	}
	if len(seen) != 2 {
		t.Errorf("two connections have %d exporters", len(seen))
	}
}

func TestAnswersOfUserServiceNameWhatIsKnown(t *testing.T) {
	s := start(t, &fakes{})
	users := bastionlabv1.NewUserServiceClient(s.local)
	if revoked, err := users.RevokeUser(as(context.Background(), ""), &bastionlabv1.RevokeUserRequest{Id: "u"}); err != nil || !revoked.GetRevoked() || revoked.GetId() != "u" {
		t.Errorf("%v, %v", revoked, err)
	}
	if _, err := users.AddUser(as(context.Background(), ""), &bastionlabv1.AddUserRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without a role: %v", err)
	}
	if list, err := users.ListUsers(as(context.Background(), ""), &bastionlabv1.ListUsersRequest{}); err != nil && !errors.Is(err, io.EOF) || len(list.GetUsers()) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
