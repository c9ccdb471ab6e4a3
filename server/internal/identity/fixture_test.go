package identity

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// movableClock is a clock that tests turn.
type movableClock struct {
	guard sync.Mutex
	at    time.Time
}

func (c *movableClock) now() time.Time {
	c.guard.Lock()
	defer c.guard.Unlock()
	return c.at
}

func (c *movableClock) turn(by time.Duration) {
	c.guard.Lock()
	defer c.guard.Unlock()
	c.at = c.at.Add(by)
}

// memoryUsers are Users in memory.
type memoryUsers struct {
	guard sync.Mutex
	keys  map[string][]byte
	count int64 // claimed, if not 0
	err   error
}

func (m *memoryUsers) RecordUser(_ context.Context, id string, publicKey []byte, _ int64) error {
	m.guard.Lock()
	defer m.guard.Unlock()
	if m.err == nil {
		m.keys[id] = publicKey
	}
	return m.err
}

func (m *memoryUsers) KnowsUser(_ context.Context, id string) (bool, error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	return m.keys[id] != nil, nil
}

func (m *memoryUsers) CountUsers(context.Context) (int64, error) {
	return max(m.count, int64(len(m.keys))), nil
}

var leaf = sha256.Sum256([]byte("the server's certificate"))

func newSessions(t testing.TB) (*Sessions, *movableClock, *memoryUsers) {
	t.Helper()
	clock, users := &movableClock{at: time.UnixMilli(1_700_000_000_000)}, &memoryUsers{keys: map[string][]byte{}}
	s, err := New(Config{Users: users, Admission: AnyKey{}, Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	return s, clock, users
}

// key signs as a client does.
type key struct {
	der    []byte
	signer crypto.Signer
	hash   crypto.Hash
}

func keyOf(t testing.TB, signer crypto.Signer, hash crypto.Hash) key {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key{der, signer, hash}
}

func ed25519Key(t testing.TB) key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keyOf(t, private, 0)
}

func ecdsaKey(t testing.TB, curve elliptic.Curve) key {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keyOf(t, private, crypto.SHA256)
}

func (k key) sign(t testing.TB, signed []byte) []byte {
	t.Helper()
	if k.hash != 0 {
		digest := sha256.Sum256(signed)
		signed = digest[:]
	}
	signature, err := k.signer.Sign(rand.Reader, signed, k.hash)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// signed is what session.proto says is signed, written anew here.
func signed(challenge, leaf []byte) []byte {
	return bytes.Join([][]byte{[]byte("bastionlab.v1 sign-in"), {0}, challenge, leaf}, nil)
}

func (k key) request(t testing.TB, s *Sessions) *bastionlabv1.SignInRequest {
	t.Helper()
	challenge, err := s.Challenge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &bastionlabv1.SignInRequest{PublicKey: k.der, Challenge: challenge, Signature: k.sign(t, signed(challenge, leaf[:]))}
}

// replace makes one request another.
func replace(request, by *bastionlabv1.SignInRequest) {
	request.PublicKey, request.Signature, request.Challenge = by.GetPublicKey(), by.GetSignature(), by.GetChallenge()
}
