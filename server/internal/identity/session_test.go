package identity

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

func TestTokens(t *testing.T) {
	s, clock, _ := newSessions(t)
	k := ed25519Key(t)
	signIn := func(k key) Session {
		session, err := s.SignIn(t.Context(), k.request(t, s), channel)
		if err != nil {
			t.Fatal(err)
		}
		return session
	}
	valid := func(token string) bool {
		_, err := s.Authenticate(t.Context(), token, channel)
		if err != nil && refusal.KindOf(err) != refusal.Unauthenticated {
			t.Fatal(err)
		}
		return err == nil
	}
	first := signIn(k)
	if strings.ContainsAny(first.Token, " \n=") || len(first.Token) < 43 {
		t.Errorf("token %q", first.Token)
	}
	for _, wrong := range []string{"", "x", first.Token + "x", first.Token[:len(first.Token)-1], strings.ToUpper(first.Token), strings.Repeat("x", 1<<16)} {
		if valid(wrong) {
			t.Errorf("%.50q is taken", wrong)
		}
	}
	clock.turn(time.Hour - time.Millisecond)
	if !valid(first.Token) {
		t.Error("void before its hour")
	}
	clock.turn(time.Millisecond)
	if valid(first.Token) || len(s.tokens.sessions) != 0 || len(s.tokens.byUser) != 0 {
		t.Error("good after its hour, or remembered")
	}
	// One user's sessions are bounded; the oldest gives way, and nobody else's.
	other := signIn(ed25519Key(t))
	mine := make([]Session, maxTokensPerUser+1)
	for i := range mine {
		mine[i] = signIn(k)
	}
	if valid(mine[0].Token) || !valid(mine[1].Token) || !valid(mine[maxTokensPerUser].Token) || !valid(other.Token) {
		t.Error("another session than the oldest gave way")
	}
	// All sessions together are bounded too, and what has ended makes room.
	for i := len(s.tokens.sessions); i < maxTokens; i++ {
		s.tokens.sessions[sha256.Sum256(big.NewInt(int64(i)).Bytes())] = tokenSession{user: User{ID: "crowd"}, ends: clock.now().Add(time.Minute)}
	}
	if _, err := s.SignIn(t.Context(), ed25519Key(t).request(t, s), channel); refusal.KindOf(err) != refusal.Unavailable {
		t.Errorf("one more than all: %v", err)
	}
	clock.turn(time.Minute)
	if !valid(signIn(ed25519Key(t)).Token) {
		t.Error("no room after the crowd left")
	}
}

func TestDevelopmentModeTakesNewKeysUpToABound(t *testing.T) {
	s, _, users := newSessions(t)
	old := ed25519Key(t)
	if _, err := s.SignIn(t.Context(), old.request(t, s), channel); err != nil {
		t.Fatal(err)
	}
	users.count = maxUsers
	if _, err := s.SignIn(t.Context(), ed25519Key(t).request(t, s), channel); refusal.KindOf(err) != refusal.Unavailable {
		t.Errorf("a new key: %v", err)
	}
	if _, err := s.SignIn(t.Context(), old.request(t, s), channel); err != nil {
		t.Errorf("a known key: %v", err)
	}
}

func TestWhatIsNotRecordedIsNotLetIn(t *testing.T) {
	s, _, users := newSessions(t)
	users.err = errors.New("the disk is full")
	if _, err := s.SignIn(t.Context(), ed25519Key(t).request(t, s), channel); !errors.Is(err, users.err) {
		t.Errorf("got %v", err)
	}
	if users.keys() != 0 || len(s.tokens.sessions) != 0 {
		t.Error("let in")
	}
	for _, config := range []Config{{}, {Users: users}, {Registry: s.registry}} {
		if _, err := New(config); err == nil {
			t.Errorf("%+v: made", config)
		}
	}
}

func TestUsersAreRecordedInStorageWithTheirFirstAndLastSight(t *testing.T) {
	store, err := storage.Open(t.Context(), t.TempDir(), storage.File)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	clock := &movableClock{at: time.UnixMilli(1000)}
	registry, err := OpenRegistry(t.Context(), store, true, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Users: store, Registry: registry, Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	k := ed25519Key(t)
	for range 2 {
		if _, err := s.SignIn(t.Context(), k.request(t, s), channel); err != nil {
			t.Fatal(err)
		}
		clock.turn(time.Second)
	}
	users, err := store.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].ID != UserOf(k.der).ID || !bytes.Equal(users[0].PublicKey, k.der) ||
		users[0].AddedUnixMS != 1000 || users[0].LastSeenUnixMS != 2000 {
		t.Errorf("%+v, %v", users, err)
	}
}

func FuzzSignIn(f *testing.F) {
	s, _, _ := newSessions(f)
	for _, k := range []key{ed25519Key(f), ecdsaKey(f, elliptic.P256())} {
		for _, binding := range []bastionlabv1.Binding{byKey, byExporter} {
			request := k.bound(f, s, binding)
			f.Add(request.GetPublicKey(), request.GetSignature(), request.GetChallenge(), int32(binding))
		}
	}
	stranger, _, _ := newSessions(f)
	f.Fuzz(func(t *testing.T, publicKey, signature, challenge []byte, binding int32) {
		request := &bastionlabv1.SignInRequest{PublicKey: publicKey, Signature: signature, Challenge: challenge, Binding: bastionlabv1.Binding(binding)}
		if _, err := stranger.SignIn(t.Context(), request, channel); err == nil {
			t.Fatal("let in")
		}
		if taken, err := PublicKeyOf(publicKey); err == nil && !validKey(taken) {
			t.Fatal("a key was taken that cannot sign in")
		}
		if verify(publicKey, signature, []byte("what nobody signed")) {
			t.Fatal("verified")
		}
	})
}
