package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
)

const (
	signInContext = "bastionlab.v1 sign-in\x00"
	// An Ed25519 key has 44 bytes, a P-256 key 91.
	maxPublicKeyBytes = 256
	maxSignatureBytes = 128
)

// message is what a caller signs. SECURITY: the server's certificate is in it, so that what was signed for one channel is worth nothing
// on another.
func message(challenge, leafSHA256 []byte) []byte {
	signed := make([]byte, 0, len(signInContext)+len(challenge)+len(leafSHA256))
	signed = append(signed, signInContext...)
	signed = append(signed, challenge...)
	return append(signed, leafSHA256...)
}

// verify checks a signature by an Ed25519 or ECDSA P-256 key in its one encoding.
func verify(publicKey, signature, signed []byte) bool {
	if len(publicKey) > maxPublicKeyBytes || len(signature) > maxSignatureBytes {
		return false
	}
	parsed, err := x509.ParsePKIXPublicKey(publicKey)
	if err != nil {
		return false
	}
	// SECURITY: a user is the digest of these bytes. A second encoding of the same key would be a second user.
	canonical, err := x509.MarshalPKIXPublicKey(parsed)
	if err != nil || string(canonical) != string(publicKey) {
		return false
	}
	switch key := parsed.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, signed, signature)
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return false
		}
		digest := sha256.Sum256(signed)
		return ecdsa.VerifyASN1(key, digest[:], signature)
	}
	return false
}

// Sign is what a caller does with an Ed25519 or ECDSA P-256 key to prove that it has it.
func Sign(key crypto.Signer, challenge, leafSHA256 []byte) (publicKey, signature []byte, err error) {
	if publicKey, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return nil, nil, fmt.Errorf("sign in: %w", err)
	}
	signed, options := message(challenge, leafSHA256), crypto.SignerOpts(crypto.Hash(0))
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		digest := sha256.Sum256(signed)
		signed, options = digest[:], crypto.SHA256
	}
	if signature, err = key.Sign(rand.Reader, signed, options); err != nil {
		return nil, nil, fmt.Errorf("sign in: %w", err)
	}
	return publicKey, signature, nil
}
