package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/training"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const goodToken = "token-of-alice"

// fakes stand for the whole domain. A nil function means that the call must not arrive.
type fakes struct {
	datasets func(user string) ([]*bastionlabv1.Dataset, error)
	upload   *fakeUpload
	watch    func(ctx context.Context, user string, send func(*bastionlabv1.Run) error) error
	weights  func(user string) (training.Weights, error)
	roles    identity.Roles // 0: those of development mode
	ended    chan struct{}  // closed when alice is revoked
	gone     atomic.Bool    // all datasets are deleted

	mu       sync.Mutex
	channels []identity.Channel // that calls came on
	audit    fakeAudit
	begun    atomic.Int32 // dataset uploads
}

// fakeEvidence says what it was asked for; to slowNonce when the caller leaves.
type fakeEvidence struct{}

var slowNonce = [attestation.NonceBytes]byte{0xFF}

func (fakeEvidence) Evidence(ctx context.Context, nonce [attestation.NonceBytes]byte, channel attestation.Channel) (*bastionlabv1.Evidence, error) {
	if nonce == slowNonce {
		<-ctx.Done()
	}
	return &bastionlabv1.Evidence{Report: nonce[:], Endorsements: [][]byte{channel.PublicKey, channel.Exporter[:]}, Binding: channel.Binding}, nil
}

func (f *fakes) noteChannel(channel identity.Channel) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.channels = append(f.channels, channel)
}

type fakeSessions struct{ fakes *fakes }

func (fakeSessions) Challenge(context.Context) ([]byte, error) { return make([]byte, 32), nil }
func (fakeSessions) SignIn(_ context.Context, request *bastionlabv1.SignInRequest, channel identity.Channel) (identity.Session, error) {
	if !bytes.Equal(request.GetSignature(), channel.PublicKeySHA256[:]) {
		return identity.Session{}, unauthenticated("the signature does not hold")
	}
	return identity.Session{Token: goodToken, Lifetime: time.Hour, User: identity.User{ID: "alice"}, Roles: permission.OfDevelopment}, nil
}
func (f fakeSessions) Authenticate(_ context.Context, token string, channel identity.Channel) (identity.Caller, error) {
	if token != goodToken {
		return identity.Caller{}, unauthenticated("the token is unknown or has expired")
	}
	f.fakes.noteChannel(channel)
	caller := identity.Caller{User: identity.User{ID: "alice"}, Roles: permission.OfDevelopment, Ended: f.fakes.ended}
	if f.fakes.roles != 0 {
		caller.Roles = f.fakes.roles
	}
	return caller, nil
}

// fakeUsers know nobody.
type fakeUsers struct{}

func (fakeUsers) Add(_ context.Context, key []byte, name string, roles identity.Roles) (storage.UserRow, error) {
	return storage.UserRow{ID: "new", PublicKey: key, Name: name, Roles: int64(roles)}, nil
}
func (fakeUsers) List(context.Context) ([]storage.UserRow, error) { return nil, nil }
func (fakeUsers) Revoke(_ context.Context, user string) (storage.UserRow, error) {
	return storage.UserRow{ID: user, Revoked: true}, nil
}

type fakeDatasets struct {
	Datasets
	fakes *fakes
}

func (f fakeDatasets) List(_ context.Context, user string) ([]*bastionlabv1.Dataset, error) {
	return f.fakes.datasets(user)
}
func (f fakeDatasets) Begin(context.Context, string, *bastionlabv1.UploadDatasetHeader) (DatasetUpload, error) {
	f.fakes.begun.Add(1)
	return f.fakes.upload, nil
}

func (f fakeDatasets) Get(_ context.Context, user, id string) (*bastionlabv1.Dataset, error) {
	if f.fakes.gone.Load() {
		return nil, refusal.New(refusal.NotFound, "list", "there is no such dataset")
	}
	return &bastionlabv1.Dataset{Id: id, Owner: user}, nil
}

type fakeModels struct{ fakes *fakes }

func (f fakeModels) Begin(context.Context, string, *bastionlabv1.UploadModelHeader) (ModelUpload, error) {
	return fakeModelUpload{f.fakes.upload}, nil
}

// fakeUpload notes what happened to it.
type fakeUpload struct {
	mu   sync.Mutex
	seen []string
	err  error // of what comes next

	finishing chan struct{} // not nil: Finish waits for it, or for its caller's leaving
}

func (u *fakeUpload) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
}

func (u *fakeUpload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *fakeUpload) note(what string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = append(u.seen, what)
}

func (u *fakeUpload) story() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Join(u.seen, " ")
}

func (u *fakeUpload) Add(context.Context, *bastionlabv1.RecordBatch) error {
	u.note("add")
	return u.failure()
}
func (u *fakeUpload) Rest()  { u.note("rest") }
func (u *fakeUpload) Abort() { u.note("abort") }
func (u *fakeUpload) Finish(ctx context.Context, _ *bastionlabv1.UploadDatasetTrailer) (*bastionlabv1.UploadDatasetResponse, error) {
	u.note("finish")
	if u.finishing != nil {
		select {
		case <-u.finishing:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &bastionlabv1.UploadDatasetResponse{Dataset: &bastionlabv1.Dataset{Id: "d1"}}, u.failure()
}

type fakeModelUpload struct{ *fakeUpload }

func (u fakeModelUpload) Add(context.Context, []byte) error { u.note("add"); return nil }
func (u fakeModelUpload) Finish(context.Context, *bastionlabv1.UploadModelTrailer) (*bastionlabv1.UploadModelResponse, error) {
	u.note("finish")
	return &bastionlabv1.UploadModelResponse{ModelId: "m1"}, nil
}

// fakeReceipts know the receipt "known".
type fakeReceipts struct{ Receipts }

func (fakeReceipts) Key() []byte { return []byte("key") }
func (fakeReceipts) Present(_ context.Context, _ string, receipt *bastionlabv1.Receipt) (*bastionlabv1.Standing, error) {
	if string(receipt.GetBody()) == "known" {
		return &bastionlabv1.Standing{State: bastionlabv1.Standing_STATE_KNOWN, NewestSeq: 7}, nil
	}
	return &bastionlabv1.Standing{State: bastionlabv1.Standing_STATE_FOREIGN}, nil
}
func (fakeReceipts) Closings(_ context.Context, user string) []*bastionlabv1.Receipt {
	return []*bastionlabv1.Receipt{{Body: []byte("closed for " + user)}, {Body: make([]byte, 2<<20)}, {Body: make([]byte, 2<<20)}}
}
func (fakeReceipts) OfRun(_ context.Context, user, id string) ([]*bastionlabv1.Receipt, error) {
	return []*bastionlabv1.Receipt{{Body: []byte(user + " " + id)}}, nil
}
func (fakeReceipts) OfDataset(_ context.Context, user, id string, after int64) ([]*bastionlabv1.Receipt, bool, error) {
	return []*bastionlabv1.Receipt{{Body: fmt.Append(nil, user, " ", id, " ", after)}}, true, nil
}

// always is the word of an owner who takes nothing back.
func always(context.Context) error { return nil }

type fakeTraining struct {
	Training
	fakes *fakes
}

func (f fakeTraining) Watch(ctx context.Context, user, _ string, send func(*bastionlabv1.Run) error) error {
	return f.fakes.watch(ctx, user, send)
}
func (f fakeTraining) Weights(_ context.Context, user, _ string) (training.Weights, error) {
	return f.fakes.weights(user)
}
func (f fakeTraining) Cancel(_ context.Context, user, id string) (*bastionlabv1.Run, error) {
	return &bastionlabv1.Run{Id: id, Scientist: user}, nil
}

// running is a server under test, a client connection to it and what it wrote to its log.
type running struct {
	*Server
	domain      *fakes
	conn, local *grpc.ClientConn
	address     string
	leaf        *x509.Certificate
	log         *lockedBuffer
	stop        func()
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func start(t *testing.T, domain *fakes) *running {
	t.Helper()
	dir := t.TempDir()
	certificate, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	server, err := New(Config{
		Certificate: certificate,
		Evidence:    fakeEvidence{},
		Users:       fakeUsers{},
		Sessions:    fakeSessions{domain},
		Datasets:    fakeDatasets{fakes: domain},
		Models:      fakeModels{domain},
		Training:    fakeTraining{fakes: domain}, Receipts: fakeReceipts{}, Audit: &domain.audit, Boot: "b1",
		Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	network, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	local, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve([]net.Listener{network}, local) }()
	stop := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Stop(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return &running{
		Server: server, domain: domain, address: network.Addr().String(), leaf: certificate.Leaf, log: log, stop: stop,
		conn:  dial(t, network.Addr().String(), credentials.NewTLS(trusting(certificate.Leaf))),
		local: dial(t, "unix:"+socket, insecure.NewCredentials()),
	}
}

// signatureOn is what the fake takes for a signature on a channel to that key.
func signatureOn(leaf *x509.Certificate) []byte {
	digest := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return digest[:]
}

func trusting(leaf *x509.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

func dial(t *testing.T, address string, with credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(with))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// as is the metadata of a good client, with or without a token.
func as(ctx context.Context, token string) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, ProtocolKey, "1", ClientVersionKey, version.Number)
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	return ctx
}

// invoke makes one call of any method, unary or stream, with one empty message, and returns its error and what came in the trailer.
func invoke(ctx context.Context, conn *grpc.ClientConn, method string) (*bastionlabv1.ErrorDetail, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return nil, err
	}
	// A refusal may arrive before the message is sent; then the answer is what counts.
	if err := stream.SendMsg(&bastionlabv1.ListRunsRequest{}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	_ = stream.CloseSend()
	for err = nil; err == nil; {
		err = stream.RecvMsg(&bastionlabv1.ListRunsRequest{})
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return detailIn(stream.Trailer()), err
}

func detailIn(trailer metadata.MD) *bastionlabv1.ErrorDetail {
	values := trailer.Get(ErrorTrailer)
	if len(values) != 1 {
		return nil
	}
	detail := &bastionlabv1.ErrorDetail{}
	if err := proto.Unmarshal([]byte(values[0]), detail); err != nil {
		return nil
	}
	return detail
}
