package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const (
	signInContext = "bastionlab.v1 sign-in 2\x00"
	// An Ed25519 key has 44 bytes, a P-256 key 91.
	maxPublicKeyBytes = 256
	maxSignatureBytes = 128
)

// bound is what a sign-in is bound to.
type bound struct {
	binding   bastionlabv1.Binding
	publicKey [sha256.Size]byte
	exporter  [32]byte // zeros with the key alone
}

// boundBy is what a channel gives to a sign-in with some binding; known is false where it cannot give it.
func (c Channel) boundBy(binding bastionlabv1.Binding) (b bound, known bool) {
	b = bound{binding: binding, publicKey: c.PublicKeySHA256}
	switch binding {
	case bastionlabv1.Binding_BINDING_KEY:
		return b, true
	case bastionlabv1.Binding_BINDING_EXPORTER:
		b.exporter = c.Exporter
		return b, c.HasExporter
	}
	return bound{}, false
}

// message is what a caller signs. SECURITY: the channel is in it, so that what was signed for one is worth nothing on another.
func message(challenge []byte, b bound) []byte {
	signed := make([]byte, 0, len(signInContext)+len(challenge)+1+len(b.publicKey)+len(b.exporter))
	signed = append(signed, signInContext...)
	signed = append(signed, challenge...)
	signed = append(signed, byte(b.binding))
	signed = append(signed, b.publicKey[:]...)
	return append(signed, b.exporter[:]...)
}

// verify checks a signature by an Ed25519 or ECDSA P-256 key in its one encoding.
func verify(publicKey, signature, signed []byte) bool {
	if len(signature) > maxSignatureBytes {
		return false
	}
	switch key := parseKey(publicKey).(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, signed, signature)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(signed)
		return ecdsa.VerifyASN1(key, digest[:], signature)
	}
	return false
}

func validKey(publicKey []byte) bool { return parseKey(publicKey) != nil }

// parseKey reads a key that can sign in, in its one encoding; nil for any other.
func parseKey(publicKey []byte) any {
	if len(publicKey) > maxPublicKeyBytes {
		return nil
	}
	parsed, err := x509.ParsePKIXPublicKey(publicKey)
	if err != nil {
		return nil
	}
	// SECURITY: a user is the digest of these bytes. A second encoding of the same key would be a second user.
	canonical, err := x509.MarshalPKIXPublicKey(parsed)
	if err != nil || string(canonical) != string(publicKey) {
		return nil
	}
	switch key := parsed.(type) {
	case ed25519.PublicKey:
		return key
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return key
		}
	}
	return nil
}

// PublicKeyOf reads a file with a public key: PEM, as the Python client writes it beside a key, or DER.
func PublicKeyOf(file []byte) ([]byte, error) {
	if block, _ := pem.Decode(file); block != nil {
		if block.Type != "PUBLIC KEY" {
			// SECURITY: nothing of it is quoted: it may be a private key.
			return nil, refusal.New(refusal.InvalidArgument, "give the file that ends in .pub", "the file holds a %.40q, not a public key", block.Type)
		}
		file = block.Bytes
	}
	if !validKey(file) {
		return nil, refusal.New(refusal.InvalidArgument, "give a public key as SubjectPublicKeyInfo, such as a .pub file of the Python client",
			"the file holds no public Ed25519 or P-256 key")
	}
	return file, nil
}

// Sign is what a caller does with an Ed25519 or ECDSA P-256 key to prove that it has it, on a channel to a server's key. The exporter counts with that
// binding only.
func Sign(key crypto.Signer, challenge []byte, binding bastionlabv1.Binding, publicKeySHA256, exporter [32]byte) (publicKey, signature []byte, err error) {
	if publicKey, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return nil, nil, fmt.Errorf("sign in: %w", err)
	}
	b, known := Channel{publicKeySHA256, exporter, true}.boundBy(binding)
	if !known {
		return nil, nil, fmt.Errorf("sign in: there is no binding %s", binding)
	}
	signed, options := message(challenge, b), crypto.SignerOpts(crypto.Hash(0))
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		digest := sha256.Sum256(signed)
		signed, options = digest[:], crypto.SHA256
	}
	if signature, err = key.Sign(rand.Reader, signed, options); err != nil {
		return nil, nil, fmt.Errorf("sign in: %w", err)
	}
	return publicKey, signature, nil
}
