package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// Config is what a Server is made of. All of it is needed.
type Config struct {
	Certificate tls.Certificate
	Development bool // every key is accepted, and clients are told so
	Sessions    Sessions
	Datasets    Datasets
	Models      Models
	Training    Training
	Receipts    Receipts
	Boot        string // of this start, as receipts name it
	Log         *slog.Logger
	// StorageLevel is where the key of what is stored lives, as clients and receipts are told.
	StorageLevel string
}

// Server answers on the network with TLS, and on a local socket for the machine's operator.
type Server struct {
	network, local *grpc.Server
	health         *health.Server
	stopping       chan struct{}
	stop           sync.Once
}

var errStopping = refusal.New(refusal.Unavailable, "connect again when it is back", "the server is stopping")

// New makes a server that does not listen yet and whose health is "not serving".
func New(config Config) (*Server, error) {
	if config.Certificate.Leaf == nil || config.Sessions == nil || config.Datasets == nil || config.Models == nil || config.Training == nil || config.Receipts == nil || config.StorageLevel == "" || config.Log == nil {
		return nil, errors.New("server: the configuration is incomplete")
	}
	s := &Server{health: health.NewServer(), stopping: make(chan struct{})}
	s.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	leaf := sha256.Sum256(config.Certificate.Leaf.Raw)
	uploads := newUploads(maxUploads, maxUploadsOfUser)
	datasets := &datasetService{datasets: config.Datasets, uploads: uploads}
	receipts := &receiptService{receipts: config.Receipts}
	training := &trainingService{training: config.Training, stopping: s.stopping}

	s.network = newTransport(meteredTLS{credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{config.Certificate},
		MinVersion:   tls.VersionTLS13, // SECURITY: nothing older is spoken, so nothing can be downgraded
	})}, &gate{log: config.Log, identify: identifyByToken(config.Sessions)})
	network := asStreams{s.network}
	bastionlabv1.RegisterSessionServiceServer(network, &sessionService{sessions: config.Sessions, info: infoOf(config), leafSHA256: leaf[:]})
	bastionlabv1.RegisterDatasetServiceServer(network, datasets)
	bastionlabv1.RegisterModelServiceServer(network, &modelService{models: config.Models, uploads: uploads})
	bastionlabv1.RegisterTrainingServiceServer(network, training)
	bastionlabv1.RegisterLedgerServiceServer(network, receipts)
	grpc_health_v1.RegisterHealthServer(network, s.health)

	s.local = newTransport(insecure.NewCredentials(), &gate{log: config.Log, identify: identifyOperator})
	local := asStreams{s.local}
	bastionlabv1.RegisterDatasetServiceServer(local, datasets)
	bastionlabv1.RegisterTrainingServiceServer(local, training)
	grpc_health_v1.RegisterHealthServer(local, s.health)
	return s, nil
}

func infoOf(config Config) *bastionlabv1.ServerInfo {
	return &bastionlabv1.ServerInfo{
		Version:      version.Number,
		Platform:     "none",
		Simulated:    true,
		Development:  config.Development,
		Binding:      "certificate",
		StorageLevel: config.StorageLevel,
		LedgerKey:    config.Receipts.Key(),
		BootId:       config.Boot,
	}
}

func newTransport(credentials credentials.TransportCredentials, gate *gate) *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(credentials),
		grpc.StreamInterceptor(gate.stream),
		grpc.UnknownServiceHandler(refuseUnknownMethod),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxSendBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout, MaxConnectionIdle: connectionIdle}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientPing, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true), // nothing may touch the ledger after Stop returned
	)
}

// Serve answers on all listeners until Stop; local may be nil. It owns the listeners. Ready is said here, when nothing is left to start.
func (s *Server) Serve(network []net.Listener, local net.Listener) error {
	var serving errgroup.Group
	for _, listener := range network {
		serving.Go(func() error { return serve(s.network, netutil.LimitListener(listener, maxConnections)) })
	}
	if local != nil {
		serving.Go(func() error { return serve(s.local, netutil.LimitListener(local, maxConnections)) })
	}
	s.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	return serving.Wait()
}

func serve(transport *grpc.Server, listener net.Listener) error {
	if err := transport.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	}
	return nil
}

// Stop says "not serving", takes no new calls, lets those under way finish until ctx is done, then ends them. It returns when no handler
// runs any more.
func (s *Server) Stop(ctx context.Context) {
	s.health.Shutdown()
	s.stop.Do(func() { close(s.stopping) })
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.network.GracefulStop()
		s.local.GracefulStop()
	}()
	select {
	case <-drained:
	case <-ctx.Done():
		s.network.Stop()
		s.local.Stop()
		<-drained
	}
}

// endWith is ctx, ending also when stopping is closed.
func endWith(ctx context.Context, stopping <-chan struct{}) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-stopping:
			cancel(errStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
