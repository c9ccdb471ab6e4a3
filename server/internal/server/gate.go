package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// requestIDTrailer names the log lines of a call to the person who asks about it.
const requestIDTrailer = "bastionlab-request-id"

// gate is what every call passes, before anything of its request is read: protocol number, caller, table of methods, handler, answer, one line in the log.
type gate struct {
	log      *slog.Logger
	identify identify
	audit    Audit
	calls    *calls
	drain    *drain
	observe  Observer
	boot     string // of this start
	binding  string // of every call on this listener; empty: of the sign-in
}

// call is what the log learns of one call.
type call struct {
	id, method, user, client string
	absent                   bool // nothing answers it but that there is no such method
	admitted                 bool // before the server began to stop
	started                  time.Time
	noted                    *note
}

func (g *gate) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	// gRPC names no service for a method that this server does not have.
	absent := service == nil && !permission.Knows(info.FullMethod)
	noted := newNote(g.audit, info.FullMethod, g.boot, g.binding)
	return g.pass(stream.Context(), info.FullMethod, absent, stream.SetTrailer, noted, func(ctx context.Context) error {
		gated := gatedStream{stream, ctx, requestTime, noted}
		if info.IsClientStream {
			gated.wait = 0
		}
		return handler(service, gated)
	})
}

func (g *gate) pass(ctx context.Context, method string, absent bool, setTrailer func(metadata.MD), noted *note, handle func(context.Context) error) error {
	this := call{id: newRequestID(), method: method, absent: absent, started: time.Now(), noted: noted}
	err := noted.finish(ctx, g.admit(ctx, &this, handle))
	if !isProbe(method) {
		defer g.drain.leave(this.admitted) // when all is said of it
		g.observe.Called(actionOf(method), outcomeOf(ctx, err), this.started)
	}
	if err == nil {
		g.write(ctx, this, codes.OK, nil)
		return nil
	}
	code, detail := answer(ctx, err)
	g.write(ctx, this, code, err)
	setTrailer(metadata.Pairs(requestIDTrailer, this.id))
	if detail != nil {
		trailer, err := trailerOf(detail)
		if err != nil {
			g.log.ErrorContext(ctx, "cannot encode an error detail", "request", this.id)
		}
		setTrailer(trailer)
	}
	return statusOf(code, detail)
}

// admit refuses what begins after the server has begun to stop. A health probe of an orchestrator is told so in its own way.
func (g *gate) admit(ctx context.Context, this *call, handle func(context.Context) error) error {
	if isProbe(this.method) {
		return g.handle(ctx, this, handle)
	}
	if this.admitted = g.drain.enter(); !this.admitted {
		return errStopping
	}
	return g.handle(ctx, this, handle)
}

func (g *gate) handle(ctx context.Context, this *call, handle func(context.Context) error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicError{text: panicText(value), stack: debug.Stack()}
		}
	}()
	// A health probe of an orchestrator knows neither our protocol nor a token, and learns one bit.
	if isProbe(this.method) {
		return handle(ctx)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	this.client = clientVersion(md)
	if err := checkProtocol(md); err != nil {
		return err
	}
	if this.absent || permission.IsOpen(this.method) {
		return handle(ctx)
	}
	caller, err := g.identify(ctx, this.method, md)
	this.user = caller.ID
	this.noted.by(caller.ID, bindingText(caller.Binding))
	if err != nil {
		return err
	}
	if err := know(ctx, caller.ID); err != nil {
		return err
	}
	leave, err := g.calls.enter(caller.ID)
	if err != nil {
		return err
	}
	defer leave()
	if err := this.noted.begin(); err != nil {
		return err
	}
	return underStanding(withUser(ctx, caller.ID), caller, handle)
}

// errStanding is what a call gets whose caller lost the right to make it while it was open.
var errStanding = refusal.New(refusal.Unauthenticated, "sign in again", "the session ended during the call: its user was revoked, or has fewer rights than before")

// underStanding ends a call that goes on longer than its caller may make it.
func underStanding(ctx context.Context, caller identity.Caller, handle func(context.Context) error) error {
	ctx, release := endWith(ctx, caller.Ended, errStanding)
	defer release()
	err := handle(ctx)
	if err != nil && context.Cause(ctx) == error(errStanding) {
		return errStanding
	}
	return err
}

func (g *gate) write(ctx context.Context, this call, code codes.Code, err error) {
	level := slog.LevelInfo
	if isProbe(this.method) {
		level = slog.LevelDebug
	}
	attributes := []slog.Attr{
		slog.String("request", this.id),
		slog.String("method", printable(this.method, maxNameBytes)),
		slog.String("user", this.user),
		slog.String("client", this.client),
		slog.String("code", code.String()),
		slog.Float64("duration_ms", float64(time.Since(this.started).Microseconds())/1000),
	}
	if this.method == bastionlabv1.SessionService_Hello_FullMethodName && version.Far(this.client) {
		level = slog.LevelWarn
		attributes = append(attributes, slog.String("untested_with", version.Number))
	}
	if code == codes.Internal {
		level = slog.LevelError
		attributes = append(attributes, slog.String("error", err.Error()))
		var panicked panicError
		if errors.As(err, &panicked) {
			attributes = append(attributes, slog.String("stack", string(panicked.stack)))
		}
	}
	g.log.LogAttrs(ctx, level, "call", attributes...)
}

// panicError is a panic of a handler. It ends that call only.
type panicError struct {
	text  string
	stack []byte
}

func (e panicError) Error() string { return "panic: " + e.text }

// panicText keeps a panic's value out of the log unless the runtime made it.
// PRIVACY: the runtime's texts hold indices and type names; any other value may hold what the handler was working on.
func panicText(value any) string {
	if err, ok := value.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", value)
}

func serviceOf(method string) string {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return service
}

func isProbe(method string) bool {
	return serviceOf(method) == grpc_health_v1.Health_ServiceDesc.ServiceName
}

func newRequestID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(id[:])
}
