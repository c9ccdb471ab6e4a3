package server

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

type userKey struct{}

func withUser(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, userKey{}, user)
}

// userOf is the caller that the gate let in. It panics outside the gate: a handler without a caller must not run at all.
func userOf(ctx context.Context) string { return ctx.Value(userKey{}).(string) }

// identify says who makes a call, or refuses a caller who may not make it.
type identify func(ctx context.Context, method string, md metadata.MD) (identity.Caller, error)

// identifyByToken reads the bearer token that SignIn handed out, and holds its holder to the table of methods.
func identifyByToken(sessions Sessions, publicKeySHA256 [32]byte) identify {
	return func(ctx context.Context, method string, md metadata.MD) (identity.Caller, error) {
		values := md.Get("authorization")
		if len(values) != 1 {
			return identity.Caller{}, unauthenticated("the call carries no token")
		}
		scheme, token, _ := strings.Cut(values[0], " ")
		if !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > maxTokenBytes {
			return identity.Caller{}, unauthenticated("the call carries no bearer token")
		}
		caller, err := sessions.Authenticate(ctx, token, connectionOf(ctx, publicKeySHA256))
		if err != nil {
			return identity.Caller{}, err
		}
		return caller, permission.ByRole(method, caller.Roles)
	}
}

// identifyOperator names the caller on the local socket.
// SECURITY: whoever the operating system lets into the data directory, which is its owner's alone.
func identifyOperator(_ context.Context, method string, _ metadata.MD) (identity.Caller, error) {
	caller := identity.Caller{User: identity.User{ID: identity.MachineOperator}, Roles: permission.Operator}
	return caller, permission.OnSocket(method)
}

// connectionOf is what the server knows of the connection that a call came on, for a sign-in and its token.
func connectionOf(ctx context.Context, publicKeySHA256 [32]byte) identity.Channel {
	channel := identity.Channel{PublicKeySHA256: publicKeySHA256}
	if exporter, err := exporterOf(ctx); err == nil {
		channel.Exporter, channel.HasExporter = exporter, true
	}
	return channel
}

func unauthenticated(what string) error {
	return refusal.New(refusal.Unauthenticated, "sign in with a key first, as Connection does", "%s", what)
}
