// Package identity turns keys into callers: a challenge, a signature over it and over the server's certificate, a short-lived token.
//
// Invariants: a challenge is accepted once, for a minute, from this process only; a signature counts for one server certificate only, so
// that a relay with another cannot use it; tokens are random, live an hour and are kept as digests. Whatever is wrong with a sign-in, the
// answer is the same text. No call that has not signed in makes the server remember anything.
//
// Non-goals: no permissions (who may do what is judged where it is done), no key files, no roles yet: Admission is their place.
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

// Session is what a proved key is given.
type Session struct {
	User     User
	Token    string
	Lifetime time.Duration
}

// Users records who signed in.
type Users interface {
	RecordUser(ctx context.Context, id string, publicKey []byte, nowUnixMS int64) error
	KnowsUser(ctx context.Context, id string) (bool, error)
	CountUsers(ctx context.Context) (int64, error)
}

// Admission says which proved keys are let in.
type Admission interface {
	Admit(ctx context.Context, user User, users Users) error
}

// AnyKey admits every key, as development mode does, up to a number that no honest machine sees.
type AnyKey struct{}

const maxUsers = 100_000

// Admit implements Admission.
func (AnyKey) Admit(ctx context.Context, user User, users Users) error {
	known, err := users.KnowsUser(ctx, user.ID)
	if known || err != nil {
		return err
	}
	count, err := users.CountUsers(ctx)
	if err != nil {
		return err
	}
	if count >= maxUsers {
		return refusal.New(refusal.Unavailable, "ask the server's operator", "the server knows %d users and takes no new ones", count)
	}
	return nil
}

// Config is what Sessions needs. All fields but Now must be set.
type Config struct {
	Users     Users
	Admission Admission
	Now       func() time.Time // nil: the clock
}

// Sessions hands out challenges and tokens. Its methods may be called concurrently.
type Sessions struct {
	users      Users
	admission  Admission
	now        func() time.Time
	challenges *challenges

	guard  sync.Mutex
	tokens tokens
}

// New makes an authority without sessions: those of an earlier process are void.
func New(config Config) (*Sessions, error) {
	if config.Users == nil || config.Admission == nil {
		return nil, fmt.Errorf("identity: users and admission must be given")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Sessions{
		users: config.Users, admission: config.Admission, now: config.Now,
		challenges: newChallenges(config.Now), tokens: newTokens(),
	}, nil
}

// Challenge makes a challenge of 32 bytes. It costs the server no memory, however often it is called.
func (s *Sessions) Challenge(context.Context) ([]byte, error) { return s.challenges.issue(), nil }

// SignIn checks the proof of possession in request against the digest of the certificate that the server shows, and opens a session.
func (s *Sessions) SignIn(ctx context.Context, request *bastionlabv1.SignInRequest, leafSHA256 []byte) (Session, error) {
	if len(leafSHA256) != sha256.Size {
		return Session{}, fmt.Errorf("sign in: the digest of the server's certificate has %d bytes", len(leafSHA256))
	}
	if err := s.challenges.redeem(request.GetChallenge()); err != nil {
		return Session{}, err
	}
	if !verify(request.GetPublicKey(), request.GetSignature(), message(request.GetChallenge(), leafSHA256)) {
		return Session{}, notProved()
	}
	user := UserOf(request.GetPublicKey())
	if err := s.admission.Admit(ctx, user, s.users); err != nil {
		return Session{}, fmt.Errorf("sign in: %w", err)
	}
	now := s.now()
	if err := s.users.RecordUser(ctx, user.ID, request.GetPublicKey(), now.UnixMilli()); err != nil {
		return Session{}, fmt.Errorf("sign in: %w", err)
	}
	s.guard.Lock()
	defer s.guard.Unlock()
	token, err := s.tokens.open(user, now)
	if err != nil {
		return Session{}, err
	}
	return Session{User: user, Token: token, Lifetime: tokenLifetime}, nil
}

// Authenticate names the holder of a token.
func (s *Sessions) Authenticate(_ context.Context, token string) (User, error) {
	s.guard.Lock()
	defer s.guard.Unlock()
	user, ok := s.tokens.find(token, s.now())
	if !ok {
		return User{}, refusal.New(refusal.Unauthenticated, "sign in again", "the session has ended or is not known")
	}
	return user, nil
}

// notProved is the one answer to every sign-in that fails. SECURITY: which check failed would tell an attacker what to mend.
func notProved() error {
	return refusal.New(refusal.Unauthenticated, "connect again, with the key of this user", "the sign-in could not be verified")
}
