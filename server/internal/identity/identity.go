// Package identity turns keys into callers: a challenge, a signature over it and over the channel, a short-lived token; and it keeps who is registered.
//
// Invariants: a challenge is accepted once, for a minute, from this process only; a signature counts for one server key only, or for one
// connection, so that a relay cannot use it, and a token of the latter is good on that connection only; tokens are random, live an hour and are
// kept as digests. Whatever is wrong with a proof, the answer is the same text; whose key was proved and is not registered is told so. No call that has
// not signed in makes the server remember anything. Development mode, in which every key is taken, ends with the first registration, at once and for good.
//
// Non-goals: no permissions (see permission), no key files.
package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// User is a caller: whoever holds a key.
type User struct {
	ID string // hex SHA-256 of the SubjectPublicKeyInfo: how this user is named everywhere
}

// UserOf names the holder of a key.
func UserOf(publicKey []byte) User {
	digest := sha256.Sum256(publicKey)
	return User{ID: hex.EncodeToString(digest[:])}
}

// Channel is what the server knows of the connection that a call came on.
type Channel struct {
	PublicKeySHA256 [sha256.Size]byte // of the server's own TLS key, as SubjectPublicKeyInfo
	Exporter        [32]byte          // of RFC 9266: of this connection and no other
	HasExporter     bool
}

// Session is what a proved key is given.
type Session struct {
	User     User
	Roles    Roles
	Token    string
	Lifetime time.Duration
}

// Caller is who makes a call.
type Caller struct {
	User
	Roles   Roles
	Binding bastionlabv1.Binding // that the sign-in had
	// Ended is closed when the user is revoked, has fewer roles, or was nobody's but development mode's that is over. A call that is open then must end.
	Ended <-chan struct{}
}

// Config is what Sessions needs. All fields but Now must be set.
type Config struct {
	Users    Users
	Registry *Registry
	Now      func() time.Time // nil: the clock
}

// Sessions hands out challenges and tokens. Its methods may be called concurrently.
type Sessions struct {
	users      Users
	registry   *Registry
	now        func() time.Time
	challenges *challenges

	guard  sync.Mutex
	tokens tokens
}

// New makes an authority without sessions: those of an earlier process are void.
func New(config Config) (*Sessions, error) {
	if config.Users == nil || config.Registry == nil {
		return nil, fmt.Errorf("identity: users and registry must be given")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Sessions{
		users: config.Users, registry: config.Registry, now: config.Now,
		challenges: newChallenges(config.Now), tokens: newTokens(),
	}, nil
}

// Challenge makes a challenge of 32 bytes. It costs the server no memory, however often it is called.
func (s *Sessions) Challenge(context.Context) ([]byte, error) { return s.challenges.issue(), nil }

// SignIn checks the proof of possession in request against the channel that it came on, and opens a session.
func (s *Sessions) SignIn(ctx context.Context, request *bastionlabv1.SignInRequest, channel Channel) (Session, error) {
	bound, known := channel.boundBy(request.GetBinding())
	if !known || !verify(request.GetPublicKey(), request.GetSignature(), message(request.GetChallenge(), bound)) {
		return Session{}, notProved()
	}
	// SECURITY: remembered as used only now, so that nobody without a key can fill what is remembered and keep others from signing in.
	if err := s.challenges.redeem(request.GetChallenge()); err != nil {
		return Session{}, err
	}
	user := UserOf(request.GetPublicKey())
	if err := s.registry.Admit(ctx, user); err != nil {
		return Session{}, fmt.Errorf("sign in: %w", err)
	}
	now := s.now()
	if err := s.users.RecordUser(ctx, user.ID, request.GetPublicKey(), now.UnixMilli()); err != nil {
		return Session{}, fmt.Errorf("sign in: %w", err)
	}
	s.guard.Lock()
	defer s.guard.Unlock()
	token, err := s.tokens.open(user, bound, now)
	if err != nil {
		return Session{}, err
	}
	return Session{User: user, Roles: s.registry.RolesOf(user.ID), Token: token, Lifetime: tokenLifetime}, nil
}

// Authenticate names the holder of a token that comes on a channel, as what they are at this moment.
func (s *Sessions) Authenticate(_ context.Context, token string, channel Channel) (Caller, error) {
	s.guard.Lock()
	defer s.guard.Unlock()
	session, ok := s.tokens.find(token, s.now())
	if !ok || !session.on(channel) {
		return Caller{}, notASession()
	}
	standing := s.registry.standingOf(session.user.ID)
	if standing == nil {
		s.tokens.endAll(session.user.ID)
		return Caller{}, notASession()
	}
	return Caller{User: session.user, Roles: standing.roles, Binding: session.bound.binding, Ended: standing.ended}, nil
}

func notASession() error {
	return refusal.New(refusal.Unauthenticated, "sign in again", "the session has ended or is not known")
}

// notProved is the one answer to every sign-in that fails. SECURITY: which check failed would tell an attacker what to mend.
func notProved() error {
	return refusal.New(refusal.Unauthenticated, "connect again, with the key of this user", "the sign-in could not be verified")
}
