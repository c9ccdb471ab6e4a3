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
	"sync/atomic"
	"time"

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
)

// Config is what a Server is made of. All of it but Observe is needed.
type Config struct {
	Certificate tls.Certificate
	Evidence    Evidence
	Sessions    Sessions
	Users       Users
	Datasets    Datasets
	Models      Models
	Training    Training
	Receipts    Receipts
	Audit       Audit
	Boot        string // of this start, as receipts name it
	Log         *slog.Logger
	Observe     Observer // nil: nobody
}

// Server answers on the network with TLS, and on a local socket for the machine's operator.
type Server struct {
	network, local *grpc.Server
	health         *health.Server
	uploads        *uploads
	calls          *calls
	crowd          *crowd
	drain          *drain
	ready          atomic.Bool
	stopping       chan struct{}
	stop           sync.Once
}

var errStopping = refusal.New(refusal.Unavailable, "connect again when it is back", "the server is stopping")

// New makes a server that does not listen yet and whose health is "not serving".
func New(config Config) (*Server, error) {
	if config.Certificate.Leaf == nil || config.Evidence == nil || config.Sessions == nil || config.Users == nil || config.Datasets == nil || config.Models == nil || config.Training == nil || config.Receipts == nil || config.Audit == nil || config.Log == nil {
		return nil, errors.New("server: the configuration is incomplete")
	}
	if config.Observe == nil {
		config.Observe = nobody{}
	}
	s := &Server{health: health.NewServer(), stopping: make(chan struct{}), drain: newDrain(), crowd: newCrowd(maxStrangers, maxKnown, maxKnownOfUser)}
	s.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	key := config.Certificate.Leaf.RawSubjectPublicKeyInfo
	keyDigest := sha256.Sum256(key)
	users := &userService{users: config.Users}
	s.uploads = newUploads(maxUploads, maxUploadsOfUser)
	s.calls = &calls{of: map[string]int{}}
	s.calls.observe, s.uploads.observe, s.crowd.observe = config.Observe, config.Observe, config.Observe
	datasets := &datasetService{datasets: config.Datasets, uploads: s.uploads}
	receipts := &receiptService{receipts: config.Receipts}
	training := &trainingService{training: config.Training, stopping: s.stopping}

	s.network = newTransport(meteredTLS{credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{config.Certificate},
		MinVersion:   tls.VersionTLS13, // SECURITY: nothing older is spoken, so nothing can be downgraded
		// SECURITY: every connection agrees on keys of its own, so that its exporter is its own too.
		SessionTicketsDisabled: true,
	})}, &gate{log: config.Log, identify: identifyByToken(config.Sessions, keyDigest), audit: config.Audit, calls: s.calls, drain: s.drain, observe: config.Observe, boot: config.Boot})
	network := asStreams{s.network}
	bastionlabv1.RegisterAttestationServiceServer(network, &attestationService{evidence: config.Evidence, key: key})
	bastionlabv1.RegisterSessionServiceServer(network, &sessionService{sessions: config.Sessions, publicKeySHA256: keyDigest})
	bastionlabv1.RegisterUserServiceServer(network, users)
	bastionlabv1.RegisterDatasetServiceServer(network, datasets)
	bastionlabv1.RegisterModelServiceServer(network, &modelService{models: config.Models, uploads: s.uploads})
	bastionlabv1.RegisterTrainingServiceServer(network, training)
	bastionlabv1.RegisterLedgerServiceServer(network, receipts)
	bastionlabv1.RegisterAuditServiceServer(network, &auditService{audit: config.Audit})
	grpc_health_v1.RegisterHealthServer(network, s.health)

	s.local = newTransport(insecure.NewCredentials(), &gate{log: config.Log, identify: identifyOperator, audit: config.Audit, drain: s.drain, observe: config.Observe, boot: config.Boot, binding: "socket"})
	local := asStreams{s.local}
	bastionlabv1.RegisterUserServiceServer(local, users)
	bastionlabv1.RegisterDatasetServiceServer(local, datasets)
	bastionlabv1.RegisterTrainingServiceServer(local, training)
	bastionlabv1.RegisterAuditServiceServer(local, &auditService{audit: config.Audit})
	grpc_health_v1.RegisterHealthServer(local, s.health)
	return s, nil
}

func newTransport(credentials credentials.TransportCredentials, gate *gate) *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(credentials),
		grpc.StreamInterceptor(gate.stream),
		grpc.UnknownServiceHandler(refuseUnknownMethod),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(MaxAnswerBytes),
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
		serving.Go(func() error { return serve(s.network, crowdedListener{listener, s.crowd}) })
	}
	if local != nil {
		serving.Go(func() error { return serve(s.local, netutil.LimitListener(local, maxLocal)) })
	}
	s.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	s.ready.Store(true)
	return serving.Wait()
}

func serve(transport *grpc.Server, listener net.Listener) error {
	if err := transport.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	}
	return nil
}

// answerTime is how long callers may take to read their last answer, once no call is under way or the time for them is over.
const answerTime = 500 * time.Millisecond

// Stop says "not serving", refuses new calls as such of a server that stops, lets those under way finish until ctx is done, then ends them.
// It returns when no handler runs any more.
func (s *Server) Stop(ctx context.Context) {
	s.ready.Store(false)
	s.health.Shutdown()
	s.stop.Do(func() { close(s.stopping) })
	s.drain.stop()
	select {
	case <-s.drain.idle:
	case <-ctx.Done():
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.network.GracefulStop()
		s.local.GracefulStop()
	}()
	patience := time.NewTimer(answerTime)
	defer patience.Stop()
	select {
	case <-drained:
	case <-patience.C:
		s.network.Stop()
		s.local.Stop()
		<-drained
	}
	s.uploads.stop()
}

// endWith is ctx, ending with a cause also when some channel is closed. The returned function must be called.
func endWith(ctx context.Context, closed <-chan struct{}, cause error) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-closed:
			cancel(cause)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
