package identity

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"slices"
	"testing"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestAKeyThatSignsIsLetInUnderItsDigest(t *testing.T) {
	for name, k := range map[string]key{"Ed25519": ed25519Key(t), "P-256": ecdsaKey(t, elliptic.P256())} {
		t.Run(name, func(t *testing.T) {
			s, _, users := newSessions(t)
			request := k.request(t, s)
			if len(request.GetChallenge()) != 32 {
				t.Errorf("a challenge of %d bytes", len(request.GetChallenge()))
			}
			session, err := s.SignIn(t.Context(), request, channel)
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256(k.der)
			if want := hex.EncodeToString(digest[:]); session.User.ID != want || session.User != UserOf(k.der) || session.Lifetime != time.Hour {
				t.Errorf("session %+v", session)
			}
			if row, err := users.User(t.Context(), session.User.ID); err != nil || !bytes.Equal(row.PublicKey, k.der) {
				t.Error("the key was not recorded")
			}
			if caller, err := s.Authenticate(t.Context(), session.Token, channel); err != nil || caller.User != session.User || caller.Roles != session.Roles || caller.Binding != byKey {
				t.Errorf("%+v, %v", caller, err)
			}
		})
	}
}

func TestEverySignInThatIsWrongGetsTheSameAnswer(t *testing.T) {
	ed, p256 := ed25519Key(t), ecdsaKey(t, elliptic.P256())
	rsaPrivate, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	type r = bastionlabv1.SignInRequest
	type alter func(t *testing.T, s *Sessions, clock *movableClock, request *r)
	resigned := func(k key, message func(request *r) []byte) alter {
		return func(t *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.PublicKey, request.Signature = k.der, k.sign(t, message(request))
		}
	}
	relay, other := sha256.Sum256([]byte("a relay's key")), sha256.Sum256([]byte("a relay's connection"))
	none := [32]byte{}
	// bound is a request that was signed well, for another channel or in another form.
	bound := func(binding bastionlabv1.Binding, message func(challenge []byte) []byte) alter {
		return func(t *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.Binding, request.Signature = binding, ed.sign(t, message(request.GetChallenge()))
		}
	}
	here := channel.PublicKeySHA256
	cases := map[string]alter{
		"expired challenge": func(_ *testing.T, _ *Sessions, clock *movableClock, _ *r) { clock.turn(time.Minute) },
		"used challenge": func(t *testing.T, s *Sessions, _ *movableClock, request *r) {
			if _, err := s.SignIn(t.Context(), request, channel); err != nil {
				t.Fatal(err)
			}
		},
		"used challenge, resigned": func(t *testing.T, s *Sessions, _ *movableClock, request *r) {
			if _, err := s.SignIn(t.Context(), request, channel); err != nil {
				t.Fatal(err)
			}
			request.PublicKey, request.Signature = p256.der, p256.sign(t, signedHere(request.GetChallenge(), byKey))
		},
		"used challenge, in the next span": func(t *testing.T, s *Sessions, clock *movableClock, request *r) {
			clock.turn(59 * time.Second)
			replace(request, ed.request(t, s))
			if _, err := s.SignIn(t.Context(), request, channel); err != nil {
				t.Fatal(err)
			}
			clock.turn(59 * time.Second)
		},
		"challenge of another server": func(t *testing.T, _ *Sessions, _ *movableClock, request *r) {
			stranger, _, _ := newSessions(t)
			replace(request, ed.request(t, stranger))
		},
		"challenge from the future": func(t *testing.T, s *Sessions, clock *movableClock, request *r) {
			clock.turn(10 * time.Second)
			replace(request, ed.request(t, s))
			clock.turn(-5 * time.Second)
		},
		"made-up challenge": func(t *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.Challenge = make([]byte, 32)
			request.Signature = ed.sign(t, signedHere(request.GetChallenge(), byKey))
		},
		"no challenge": func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) { request.Challenge = nil },
		"long challenge": func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.Challenge = append(request.Challenge, 0)
		},
		"no signature":   func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) { request.Signature = nil },
		"long signature": func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) { request.Signature = make([]byte, 1<<20) },
		"flipped signature": func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.Signature = flip(request.Signature, 7)
		},
		"another key": func(t *testing.T, _ *Sessions, _ *movableClock, request *r) { request.PublicKey = ed25519Key(t).der },
		"no key":      func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) { request.PublicKey = nil },
		"bad DER": func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.PublicKey = flip(request.PublicKey, 1)
		},
		"cut DER": func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.PublicKey = request.PublicKey[:20]
		},
		"DER with more": func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.PublicKey = append(request.PublicKey, 0)
		},
		"raw key": func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.PublicKey = request.PublicKey[12:]
		},
		"long key":                    func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) { request.PublicKey = make([]byte, 1<<20) },
		"P-384":                       resigned(ecdsaKey(t, elliptic.P384()), func(request *r) []byte { return signedHere(request.GetChallenge(), byKey) }),
		"P-224":                       resigned(ecdsaKey(t, elliptic.P224()), func(request *r) []byte { return signedHere(request.GetChallenge(), byKey) }),
		"RSA":                         resigned(keyOf(t, rsaPrivate, crypto.SHA256), func(request *r) []byte { return signedHere(request.GetChallenge(), byKey) }),
		"another key of the server":   bound(byKey, func(c []byte) []byte { return signed(c, 1, relay, none) }),
		"another key, by exporter":    bound(byExporter, func(c []byte) []byte { return signed(c, 2, relay, channel.Exporter) }),
		"another connection":          bound(byExporter, func(c []byte) []byte { return signed(c, 2, here, other) }),
		"no exporter, by exporter":    bound(byExporter, func(c []byte) []byte { return signed(c, 2, here, none) }),
		"an exporter, by key":         bound(byKey, func(c []byte) []byte { return signed(c, 1, here, channel.Exporter) }),
		"by key, said to be exporter": bound(byExporter, func(c []byte) []byte { return signed(c, 1, here, none) }),
		"by exporter, said to be key": bound(byKey, func(c []byte) []byte { return signed(c, 2, here, channel.Exporter) }),
		"no binding":                  bound(0, func(c []byte) []byte { return signed(c, 0, here, none) }),
		"a binding that there is not": bound(3, func(c []byte) []byte { return signed(c, 3, here, none) }),
		"a binding beyond a byte":     bound(257, func(c []byte) []byte { return signed(c, 1, here, none) }),
		"the message of release 1":    bound(byKey, func(c []byte) []byte { return slices.Concat([]byte("bastionlab.v1 sign-in\x00"), c, here[:]) }),
		"another context": resigned(ed, func(request *r) []byte {
			return bytes.Replace(signedHere(request.GetChallenge(), byKey), []byte("sign-in"), []byte("receipt"), 1)
		}),
		"the challenge alone": resigned(ed, func(request *r) []byte { return request.GetChallenge() }),
		"P-256, hashed twice": resigned(p256, func(request *r) []byte {
			digest := sha256.Sum256(signedHere(request.GetChallenge(), byKey))
			return digest[:]
		}),
		"P-256, raw signature": func(t *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.PublicKey = p256.der
			var pair struct{ R, S *big.Int }
			if _, err := asn1.Unmarshal(p256.sign(t, signedHere(request.GetChallenge(), byKey)), &pair); err != nil {
				t.Fatal(err)
			}
			request.Signature = append(pair.R.FillBytes(make([]byte, 32)), pair.S.FillBytes(make([]byte, 32))...)
		},
		"nothing at all": func(_ *testing.T, _ *Sessions, _ *movableClock, request *r) {
			request.PublicKey, request.Signature, request.Challenge = nil, nil, nil
		},
	}
	for name, alter := range cases {
		t.Run(name, func(t *testing.T) {
			s, clock, users := newSessions(t)
			request := ed.request(t, s)
			alter(t, s, clock, request)
			known := users.keys()
			_, err := s.SignIn(t.Context(), request, channel)
			if refusal.KindOf(err) != refusal.Unauthenticated || err.Error() != notProved().Error() {
				t.Errorf("got %v", err)
			}
			if users.keys() != known {
				t.Error("the key was recorded")
			}
		})
	}
}

// One key has one name: another encoding that the parser of the library also reads is refused. It reads a sequence with more in it.
func TestAKeyInAnotherEncodingIsNobody(t *testing.T) {
	s, _, _ := newSessions(t)
	k := ed25519Key(t)
	longer, err := asn1.Marshal(struct {
		Algorithm struct{ Algorithm asn1.ObjectIdentifier }
		Key       asn1.BitString
		More      int
	}{struct{ Algorithm asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 3, 101, 112}}, asn1.BitString{Bytes: k.der[12:], BitLength: 256}, 1})
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := x509.ParsePKIXPublicKey(longer); err != nil || !k.signer.Public().(ed25519.PublicKey).Equal(parsed) {
		t.Fatalf("the parser does not read it as the same key: %v", err)
	}
	request := k.request(t, s)
	request.PublicKey = longer
	if _, err := s.SignIn(t.Context(), request, channel); refusal.KindOf(err) != refusal.Unauthenticated {
		t.Errorf("got %v", err)
	}
}
