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
	"slices"
	"sync"
	"testing"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/storage"
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
	rows  []storage.UserRow
	count int64 // claimed, if not 0
	err   error
}

func (m *memoryUsers) at(id string) int {
	return slices.IndexFunc(m.rows, func(row storage.UserRow) bool { return row.ID == id })
}

func (m *memoryUsers) keys() int {
	m.guard.Lock()
	defer m.guard.Unlock()
	return len(m.rows)
}

func (m *memoryUsers) RecordUser(_ context.Context, id string, publicKey []byte, nowUnixMS int64) error {
	m.guard.Lock()
	defer m.guard.Unlock()
	if m.err != nil {
		return m.err
	}
	if m.at(id) < 0 {
		m.rows = append(m.rows, storage.UserRow{ID: id, PublicKey: publicKey, AddedUnixMS: nowUnixMS})
	}
	m.rows[m.at(id)].LastSeenUnixMS = nowUnixMS
	return nil
}

func (m *memoryUsers) KnowsUser(_ context.Context, id string) (bool, error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	return m.at(id) >= 0, nil
}

func (m *memoryUsers) CountUsers(context.Context) (int64, error) {
	return max(m.count, int64(m.keys())), nil
}

func (m *memoryUsers) Users(context.Context) ([]storage.UserRow, error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	return slices.Clone(m.rows), nil
}

func (m *memoryUsers) User(_ context.Context, id string) (storage.UserRow, error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	if m.at(id) < 0 {
		return storage.UserRow{}, storage.ErrNoRow
	}
	return m.rows[m.at(id)], nil
}

func (m *memoryUsers) RegisterUser(_ context.Context, row storage.UserRow) error {
	m.guard.Lock()
	defer m.guard.Unlock()
	if m.err != nil {
		return m.err
	}
	if at := m.at(row.ID); at >= 0 {
		m.rows[at].Roles, m.rows[at].Name, m.rows[at].Revoked = row.Roles, row.Name, false
	} else {
		m.rows = append(m.rows, row)
	}
	return nil
}

func (m *memoryUsers) RevokeUser(_ context.Context, id string) error {
	m.guard.Lock()
	defer m.guard.Unlock()
	if m.err == nil {
		m.rows[m.at(id)].Revoked = true
	}
	return m.err
}

// channel is the connection of the tests: what the server knows of it.
var channel = Channel{PublicKeySHA256: sha256.Sum256([]byte("the server's key")), Exporter: sha256.Sum256([]byte("this connection")), HasExporter: true}

const byKey, byExporter = bastionlabv1.Binding_BINDING_KEY, bastionlabv1.Binding_BINDING_EXPORTER

func newSessions(t testing.TB) (*Sessions, *movableClock, *memoryUsers) {
	t.Helper()
	clock, users := &movableClock{at: time.UnixMilli(1_700_000_000_000)}, &memoryUsers{}
	registry, err := OpenRegistry(t.Context(), users, true, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Users: users, Registry: registry, Now: clock.now})
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
func signed(challenge []byte, binding byte, publicKey, exporter [32]byte) []byte {
	return bytes.Join([][]byte{[]byte("bastionlab.v1 sign-in 2"), {0}, challenge, {binding}, publicKey[:], exporter[:]}, nil)
}

// signedHere is what is signed on the connection of the tests.
func signedHere(challenge []byte, binding bastionlabv1.Binding) []byte {
	exporter := channel.Exporter
	if binding == byKey {
		exporter = [32]byte{}
	}
	return signed(challenge, byte(binding), channel.PublicKeySHA256, exporter)
}

func (k key) request(t testing.TB, s *Sessions) *bastionlabv1.SignInRequest {
	return k.bound(t, s, byKey)
}

func (k key) bound(t testing.TB, s *Sessions, binding bastionlabv1.Binding) *bastionlabv1.SignInRequest {
	t.Helper()
	challenge, err := s.Challenge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &bastionlabv1.SignInRequest{
		PublicKey: k.der, Challenge: challenge, Signature: k.sign(t, signedHere(challenge, binding)), Binding: binding,
	}
}

func (k key) signIn(t testing.TB, s *Sessions, binding bastionlabv1.Binding) Session {
	t.Helper()
	session, err := s.SignIn(t.Context(), k.bound(t, s, binding), channel)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// replace makes one request another.
func replace(request, by *bastionlabv1.SignInRequest) {
	request.PublicKey, request.Signature, request.Challenge, request.Binding = by.GetPublicKey(), by.GetSignature(), by.GetChallenge(), by.GetBinding()
}
