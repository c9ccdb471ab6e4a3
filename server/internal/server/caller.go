package server

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

type userKey struct{}

func withUser(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, userKey{}, user)
}

// userOf is the caller that the gate let in. It panics outside the gate: a handler without a caller must not run at all.
func userOf(ctx context.Context) string { return ctx.Value(userKey{}).(string) }

// identifyByToken reads the bearer token that SignIn handed out.
func identifyByToken(sessions Sessions) func(context.Context, metadata.MD) (string, error) {
	return func(ctx context.Context, md metadata.MD) (string, error) {
		values := md.Get("authorization")
		if len(values) != 1 {
			return "", unauthenticated("the call carries no token")
		}
		scheme, token, _ := strings.Cut(values[0], " ")
		if !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > maxTokenBytes {
			return "", unauthenticated("the call carries no bearer token")
		}
		user, err := sessions.Authenticate(ctx, token)
		return user.ID, err
	}
}

func unauthenticated(what string) error {
	return refusal.New(refusal.Unauthenticated, "sign in with a key first, as Connection does", "%s", what)
}
