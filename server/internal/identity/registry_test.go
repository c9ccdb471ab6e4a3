package identity

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

const owner, scientist, operator = permission.Owner, permission.Scientist, permission.Operator

func (s *Sessions) mustAdd(t testing.TB, k key, roles Roles) string {
	t.Helper()
	row, err := s.registry.Add(t.Context(), k.der, "", roles)
	if err != nil {
		t.Fatal(err)
	}
	return row.ID
}

func (s *Sessions) mustRevoke(t testing.TB, k key) {
	t.Helper()
	if _, err := s.registry.Revoke(t.Context(), UserOf(k.der).ID); err != nil {
		t.Fatal(err)
	}
}

// standsAs is what a token's holder is on a channel; none where the token is worth nothing.
func (s *Sessions) standsAs(t testing.TB, token string, on Channel) Roles {
	t.Helper()
	caller, err := s.Authenticate(t.Context(), token, on)
	if err != nil && refusal.KindOf(err) != refusal.Unauthenticated {
		t.Fatal(err)
	}
	return caller.Roles
}

func ended(c Caller) bool {
	select {
	case <-c.Ended:
		return true
	default:
		return false
	}
}

func TestTheFirstRegistrationClosesDevelopmentModeAtOnceAndForGood(t *testing.T) {
	s, _, users := newSessions(t)
	guest, registered := ed25519Key(t), ecdsaKey(t, elliptic.P256())
	before, own := guest.signIn(t, s, byKey), registered.signIn(t, s, byKey)
	open, err := s.Authenticate(t.Context(), before.Token, channel)
	if err != nil || open.Roles != permission.OfDevelopment || !s.registry.Development() || ended(open) {
		t.Fatalf("in development mode: %+v, %v", open, err)
	}
	s.mustAdd(t, registered, scientist)
	if s.registry.Development() {
		t.Error("the server still says that it is in development mode")
	}
	if !ended(open) {
		t.Error("a call of a key that is not registered goes on")
	}
	if s.standsAs(t, before.Token, channel) != 0 {
		t.Error("a session of a key that is not registered goes on")
	}
	if roles := s.standsAs(t, own.Token, channel); roles != scientist {
		t.Errorf("who was registered is %s", roles)
	}
	if _, err := s.SignIn(t.Context(), guest.request(t, s), channel); refusal.KindOf(err) != refusal.PermissionDenied || !strings.Contains(err.Error(), "not registered") {
		t.Errorf("a key that is not registered: %v", err)
	}
	if session := registered.signIn(t, s, byKey); session.Roles != scientist {
		t.Errorf("signed in as %s", session.Roles)
	}
	// Revoking all does not open it again, and nor does another start, whatever the directory says.
	s.mustRevoke(t, registered)
	again, err := OpenRegistry(t.Context(), users, true, nil)
	if err != nil || again.Development() || again.RolesOf(UserOf(guest.der).ID) != 0 {
		t.Errorf("after a restart: development %t, %v", again.Development(), err)
	}
	if err := again.Admit(t.Context(), UserOf(guest.der)); refusal.KindOf(err) != refusal.PermissionDenied {
		t.Errorf("after a restart: %v", err)
	}
}

func TestWhoIsRevokedIsOutAtOnce(t *testing.T) {
	s, _, users := newSessions(t)
	k, other := ed25519Key(t), ed25519Key(t)
	s.mustAdd(t, k, owner)
	s.mustAdd(t, other, owner)
	mine, theirs := k.signIn(t, s, byKey), other.signIn(t, s, byKey)
	call, err := s.Authenticate(t.Context(), mine.Token, channel)
	if err != nil {
		t.Fatal(err)
	}
	s.mustRevoke(t, k)
	if !ended(call) || s.standsAs(t, mine.Token, channel) != 0 || s.registry.RolesOf(UserOf(k.der).ID) != 0 {
		t.Error("who was revoked is in")
	}
	if _, err := s.SignIn(t.Context(), k.request(t, s), channel); refusal.KindOf(err) != refusal.PermissionDenied || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a sign-in: %v", err)
	}
	if s.standsAs(t, theirs.Token, channel) != owner {
		t.Error("somebody else is out")
	}
	again, err := OpenRegistry(t.Context(), users, true, nil)
	if err != nil || again.Admit(t.Context(), UserOf(k.der)) == nil || again.Admit(t.Context(), UserOf(other.der)) != nil {
		t.Errorf("after a restart: %v", err)
	}
	if _, err := s.registry.Revoke(t.Context(), strings.Repeat("0", 64)); refusal.KindOf(err) != refusal.NotFound {
		t.Errorf("nobody is revoked: %v", err)
	}
	// An operator may change their mind; the old session stays void.
	s.mustAdd(t, k, owner)
	if s.standsAs(t, mine.Token, channel) != 0 {
		t.Error("the old token is good again")
	}
	k.signIn(t, s, byKey)
}

func TestDevelopmentModeTakesEveryKeyButARevokedOne(t *testing.T) {
	s, _, _ := newSessions(t)
	k, other := ed25519Key(t), ed25519Key(t)
	session, theirs := k.signIn(t, s, byKey), other.signIn(t, s, byKey)
	call, err := s.Authenticate(t.Context(), session.Token, channel)
	if err != nil {
		t.Fatal(err)
	}
	s.mustRevoke(t, k)
	if !ended(call) || s.standsAs(t, session.Token, channel) != 0 {
		t.Error("it is in")
	}
	if _, err := s.SignIn(t.Context(), k.request(t, s), channel); refusal.KindOf(err) != refusal.PermissionDenied {
		t.Errorf("a sign-in: %v", err)
	}
	if s.standsAs(t, theirs.Token, channel) != permission.OfDevelopment || !s.registry.Development() {
		t.Error("others are not taken any more")
	}
}

func TestOtherRolesHoldAtOnceAndFewerEndWhatIsOpen(t *testing.T) {
	s, _, _ := newSessions(t)
	k := ed25519Key(t)
	s.mustAdd(t, k, owner)
	session := k.signIn(t, s, byKey)
	now := func() Caller {
		t.Helper()
		caller, err := s.Authenticate(t.Context(), session.Token, channel)
		if err != nil {
			t.Fatal(err)
		}
		return caller
	}
	asOwner := now()
	s.mustAdd(t, k, owner|scientist)
	asBoth := now()
	if asBoth.Roles != owner|scientist || ended(asOwner) {
		t.Errorf("with one more: %+v, and what was open has ended: %t", asBoth, ended(asOwner))
	}
	s.mustAdd(t, k, scientist)
	if now().Roles != scientist || !ended(asOwner) || !ended(asBoth) || ended(now()) {
		t.Errorf("with one less: %+v", now())
	}
	s.mustRevoke(t, k)
	s.mustAdd(t, k, operator)
	session = k.signIn(t, s, byKey)
	if now().Roles != operator {
		t.Errorf("now %+v", now())
	}
}

// SECURITY: who sees a token, and has a connection of their own, has nothing.
func TestATokenByTheExporterIsGoodOnItsConnectionOnly(t *testing.T) {
	s, _, _ := newSessions(t)
	k := ed25519Key(t)
	other, none, elsewhere := channel, channel, channel
	other.Exporter[0] ^= 1
	none.Exporter, none.HasExporter = [32]byte{}, false
	elsewhere.PublicKeySHA256[31] ^= 1
	byE, byK := k.signIn(t, s, byExporter).Token, k.signIn(t, s, byKey).Token
	for name, test := range map[string]struct {
		on       Channel
		byE, byK bool
	}{
		"this connection":                    {channel, true, true},
		"another one":                        {other, false, true},
		"one without an exporter":            {none, false, true},
		"one to another key":                 {elsewhere, false, false},
		"this connection, after the others":  {channel, true, true},
		"an exporter of zeros, not known":    {Channel{PublicKeySHA256: channel.PublicKeySHA256}, false, true},
		"nothing that is known of a channel": {Channel{}, false, false},
	} {
		if got := s.standsAs(t, byE, test.on) != 0; got != test.byE {
			t.Errorf("%s: by exporter %t", name, got)
		}
		if got := s.standsAs(t, byK, test.on) != 0; got != test.byK {
			t.Errorf("%s: by key %t", name, got)
		}
	}
	if _, err := s.SignIn(t.Context(), k.bound(t, s, byExporter), none); refusal.KindOf(err) != refusal.Unauthenticated {
		t.Errorf("signed in by an exporter that the server does not know: %v", err)
	}
}

func TestWhatIsNotKeptDoesNotHold(t *testing.T) {
	s, _, users := newSessions(t)
	k, guest := ed25519Key(t), ed25519Key(t)
	session := guest.signIn(t, s, byKey)
	users.err = errors.New("the disk is full")
	if _, err := s.registry.Add(t.Context(), k.der, "", owner); !errors.Is(err, users.err) {
		t.Errorf("added: %v", err)
	}
	if _, err := s.registry.Revoke(t.Context(), UserOf(guest.der).ID); !errors.Is(err, users.err) {
		t.Errorf("revoked: %v", err)
	}
	if !s.registry.Development() || s.standsAs(t, session.Token, channel) != permission.OfDevelopment {
		t.Error("it holds, and the next start knows nothing of it")
	}
}

func TestKeysAndNamesThatAreNotRegistered(t *testing.T) {
	s, _, _ := newSessions(t)
	good := ed25519Key(t).der
	for name, test := range map[string]struct {
		key   []byte
		name  string
		roles Roles
	}{
		"P-384":                  {ecdsaKey(t, elliptic.P384()).der, "", owner},
		"no key":                 {nil, "", owner},
		"a key with more":        {append(append([]byte{}, good...), 0), "", owner},
		"no role":                {good, "", 0},
		"a role that is none":    {good, "", 8},
		"a name for a terminal":  {good, "\x1b[2J", owner},
		"a name in no encoding":  {good, "\xff", owner},
		"a name without end":     {good, strings.Repeat("n", maxNameBytes+1), owner},
		"a role beside one none": {good, "", owner | 64},
	} {
		if _, err := s.registry.Add(t.Context(), test.key, test.name, test.roles); refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !s.registry.Development() {
		t.Error("a refused registration closed development mode")
	}
}

func TestAPublicKeyIsReadFromEitherForm(t *testing.T) {
	der := ed25519Key(t).der
	private := ed25519Key(t)
	encoded, err := x509.MarshalPKCS8PrivateKey(private.signer)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := func(kind string, content []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	}
	for _, file := range [][]byte{der, inPEM("PUBLIC KEY", der)} {
		if got, err := PublicKeyOf(file); err != nil || string(got) != string(der) {
			t.Errorf("%x, %v", got, err)
		}
	}
	for name, file := range map[string][]byte{
		"a private key": inPEM("PRIVATE KEY", encoded), "nothing": nil, "text": []byte("ssh-ed25519 AAAA"), "a private key, called public": inPEM("PUBLIC KEY", encoded),
		"P-384": inPEM("PUBLIC KEY", ecdsaKey(t, elliptic.P384()).der),
	} {
		if _, err := PublicKeyOf(file); refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the registry and the sessions say is one thing, whoever asks while it changes.
func TestChangesWhileEverybodyCalls(t *testing.T) {
	store, err := storage.Open(t.Context(), t.TempDir(), storage.File)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	registry, err := OpenRegistry(t.Context(), store, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Users: store, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	k := ed25519Key(t)
	s.mustAdd(t, k, owner)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				session, err := s.SignIn(t.Context(), k.request(t, s), channel)
				if err != nil {
					continue
				}
				if caller, err := s.Authenticate(t.Context(), session.Token, channel); err == nil && !caller.Roles.Valid() {
					t.Error("a caller without a role")
				}
			}
		})
	}
	group.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			s.mustRevoke(t, k)
			if s.registry.RolesOf(UserOf(k.der).ID) != 0 {
				t.Error("in, after the revocation returned")
			}
			s.mustAdd(t, k, owner|Roles(i%2)*scientist)
		}
	})
	group.Wait()
	if registry.Development() {
		t.Error("open again")
	}
}
