package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// everyMethod comes from the protocol itself, so that a new method is covered without anybody remembering this file.
func everyMethod() []string {
	var methods []string
	protoregistry.GlobalFiles.RangeFilesByPackage("bastionlab.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				methods = append(methods, fmt.Sprintf("/%s/%s", service.FullName(), service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	return methods
}

func expect(t *testing.T, kind refusal.Kind, code codes.Code, detail *bastionlabv1.ErrorDetail, err error) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("code %s, want %s (%v)", status.Code(err), code, err)
	}
	if detail == nil {
		t.Fatalf("no error detail beside %v", err)
	}
	if detail.GetKind() != bastionlabv1.ErrorDetail_Kind(kind) {
		t.Errorf("kind %s, want %d", detail.GetKind(), kind)
	}
}

func TestEveryMethodWantsTheProtocolNumber(t *testing.T) {
	s := start(t, &fakes{})
	for _, method := range everyMethod() {
		for name, ctx := range map[string]context.Context{
			"none":    context.Background(),
			"older":   metadata.AppendToOutgoingContext(context.Background(), ProtocolKey, "0"),
			"newer":   metadata.AppendToOutgoingContext(context.Background(), ProtocolKey, "2"),
			"no sum":  metadata.AppendToOutgoingContext(context.Background(), ProtocolKey, "one"),
			"several": metadata.AppendToOutgoingContext(context.Background(), ProtocolKey, "1", ProtocolKey, "1"),
		} {
			detail, err := invoke(ctx, s.conn, method)
			t.Run(method+"/"+name, func(t *testing.T) {
				expect(t, refusal.VersionMismatch, codes.FailedPrecondition, detail, err)
			})
		}
	}
}

func TestEveryMethodButTheDoorWantsAToken(t *testing.T) {
	s := start(t, &fakes{})
	for _, method := range everyMethod() {
		if permission.IsOpen(method) {
			continue
		}
		for name, ctx := range map[string]context.Context{
			"no token":     as(context.Background(), ""),
			"wrong token":  as(context.Background(), "other"),
			"wrong scheme": metadata.AppendToOutgoingContext(as(context.Background(), ""), "authorization", "Basic "+goodToken),
			"two tokens":   metadata.AppendToOutgoingContext(as(context.Background(), goodToken), "authorization", "Bearer "+goodToken),
			"long token":   as(context.Background(), strings.Repeat("t", maxTokenBytes+1)),
		} {
			detail, err := invoke(ctx, s.conn, method)
			t.Run(method+"/"+name, func(t *testing.T) {
				expect(t, refusal.Unauthenticated, codes.Unauthenticated, detail, err)
			})
		}
	}
}

func TestFirstProductsClientIsToldWhatToInstall(t *testing.T) {
	s := start(t, &fakes{})
	for _, method := range []string{
		"/bastionlab.SessionService/GetChallenge", "/bastionlab.SessionService/CreateSession", "/bastionlab_torch.TorchService/SendDataset",
		"/bastionlab_torch.TorchService/FetchDataset", "/remote_torch.RemoteTorch/Train", "/bastionlab.v1.TrainingService/NoSuchMethod",
	} {
		for name, ctx := range map[string]context.Context{"plain": context.Background(), "with our metadata": as(context.Background(), goodToken)} {
			detail, err := invoke(ctx, s.conn, method)
			t.Run(method+"/"+name, func(t *testing.T) {
				expect(t, refusal.VersionMismatch, codes.FailedPrecondition, detail, err)
				// The first product's client shows the status message only.
				for _, text := range []string{detail.GetNext(), status.Convert(err).Message()} {
					if !strings.Contains(text, "install the Python client of BastionLab "+version.Number) {
						t.Errorf("it is not told which client to install: %q", text)
					}
				}
			})
		}
	}
}

func TestAVersionFarAwayIsServedAndNamedInTheLog(t *testing.T) {
	for client, far := range map[string]bool{version.Number: false, strconv.Itoa(Protocol) + ".99.0": true, "someone's own": false} {
		s := start(t, &fakes{})
		ctx := metadata.AppendToOutgoingContext(context.Background(), ProtocolKey, "1", ClientVersionKey, client)
		if _, err := bastionlabv1.NewSessionServiceClient(s.conn).Hello(ctx, &bastionlabv1.HelloRequest{}); err != nil {
			t.Fatalf("%s: %v", client, err)
		}
		s.stop()
		named := strings.Contains(s.log.String(), `"level":"WARN"`) && strings.Contains(s.log.String(), `"untested_with":"`+version.Number+`"`)
		if named != far {
			t.Errorf("%s: named %t, want %t:\n%s", client, named, far, s.log)
		}
	}
}

func TestTheProtocolIsTheMajorVersion(t *testing.T) {
	if !strings.HasPrefix(version.Number, strconv.Itoa(Protocol)+".") {
		t.Errorf("version %s speaks protocol %d: peers of another major version would not be refused", version.Number, Protocol)
	}
}

func TestSignInIsBoundToTheServersKey(t *testing.T) {
	s := start(t, &fakes{})
	client := bastionlabv1.NewSessionServiceClient(s.conn)
	ctx := as(context.Background(), "")
	hello, err := client.Hello(ctx, &bastionlabv1.HelloRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if hello.GetProtocol() != Protocol || len(hello.GetChallenge()) != 32 {
		t.Errorf("hello says %v", hello)
	}
	signature := signatureOn(s.leaf) // the fake takes the digest of the key for the signature
	signed, err := client.SignIn(ctx, &bastionlabv1.SignInRequest{Signature: signature})
	if err != nil || signed.GetToken() != goodToken || signed.GetExpiresInSeconds() != 3600 || len(signed.GetRoles()) != 2 {
		t.Fatalf("SignIn: %v, %v", signed, err)
	}
	if _, err := client.SignIn(ctx, &bastionlabv1.SignInRequest{Signature: make([]byte, 32)}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("another key's digest: %v", err)
	}
}

func TestHealthNeedsNothing(t *testing.T) {
	s := start(t, &fakes{})
	for _, conn := range []*grpc.ClientConn{s.conn, s.local} {
		health, err := grpc_health_v1.NewHealthClient(conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health: %v, %v", health, err)
		}
	}
}

func TestUnforeseenErrorsStayInTheLog(t *testing.T) {
	const secret = "record 17 holds PLANTED"
	for name, test := range map[string]struct {
		fail  func() error
		inLog bool
	}{
		"error":         {func() error { return errors.New(secret) }, true},
		"wrapped":       {func() error { return fmt.Errorf("list: %w", errors.New(secret)) }, true},
		"status":        {func() error { return status.Error(codes.NotFound, secret) }, true},
		"panic":         {func() error { panic(secret) }, false},
		"runtime panic": {func() error { return []error{}[len(secret)] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &fakes{datasets: func(string) ([]*bastionlabv1.Dataset, error) { return nil, test.fail() }})
			detail, err := invoke(as(context.Background(), goodToken), s.conn, bastionlabv1.DatasetService_ListDatasets_FullMethodName)
			expect(t, refusal.Internal, codes.Internal, detail, err)
			if text := detail.String() + err.Error(); strings.Contains(text, "PLANTED") || !strings.Contains(text, internalText) {
				t.Errorf("the client reads %q", text)
			}
			s.stop()
			if found := strings.Contains(s.log.String(), secret); found != test.inLog {
				t.Errorf("in the log: %t, want %t:\n%s", found, test.inLog, s.log)
			}
			if !strings.Contains(s.log.String(), `"level":"ERROR"`) {
				t.Errorf("the log does not call it an error:\n%s", s.log)
			}
		})
	}
}

func TestLogNamesTheCallAndNotItsContent(t *testing.T) {
	s := start(t, &fakes{datasets: func(user string) ([]*bastionlabv1.Dataset, error) {
		return []*bastionlabv1.Dataset{{Name: "PLANTED-name"}}, nil
	}})
	if _, err := invoke(as(context.Background(), goodToken), s.conn, bastionlabv1.DatasetService_ListDatasets_FullMethodName); err != nil {
		t.Fatal(err)
	}
	s.stop()
	for _, want := range []string{bastionlabv1.DatasetService_ListDatasets_FullMethodName, `"user":"alice"`, `"code":"OK"`, `"client":"` + version.Number + `"`, `"duration_ms":`, `"request":"`} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, s.log)
		}
	}
	for _, unwanted := range []string{"PLANTED", goodToken} {
		if strings.Contains(s.log.String(), unwanted) {
			t.Errorf("the log holds %s:\n%s", unwanted, s.log)
		}
	}
}

func TestOperatorMayLookAndCancelAndNoMore(t *testing.T) {
	s := start(t, &fakes{datasets: func(user string) ([]*bastionlabv1.Dataset, error) {
		if user != identity.MachineOperator {
			t.Errorf("the local caller is %q", user)
		}
		return nil, nil
	}})
	for _, method := range everyMethod() {
		if permission.OnSocket(method) == nil {
			continue
		}
		detail, err := invoke(as(context.Background(), goodToken), s.local, method)
		t.Run(method, func(t *testing.T) {
			if kind := detail.GetKind(); kind != bastionlabv1.ErrorDetail_KIND_PERMISSION_DENIED && kind != bastionlabv1.ErrorDetail_KIND_VERSION_MISMATCH {
				t.Errorf("%s, %v", kind, err)
			}
		})
	}
	if _, err := bastionlabv1.NewDatasetServiceClient(s.local).ListDatasets(as(context.Background(), ""), &bastionlabv1.ListDatasetsRequest{}); err != nil {
		t.Errorf("list datasets: %v", err)
	}
	if run, err := bastionlabv1.NewTrainingServiceClient(s.local).CancelRun(as(context.Background(), ""), &bastionlabv1.CancelRunRequest{Id: "r"}); err != nil || run.GetScientist() != identity.MachineOperator {
		t.Errorf("cancel: %v, %v", run, err)
	}
}
