package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
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
