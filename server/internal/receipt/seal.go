package receipt

import (
	"crypto/ed25519"
)

// context keeps a receipt's signature from standing for anything else.
const context = "bastionlab receipt 1\n"

// Receipt is a body with the signature of the ledger that wrote it.
type Receipt struct {
	Body      []byte
	Signature []byte
	Key       ed25519.PublicKey
}

// Sign makes a receipt of a body.
func Sign(key ed25519.PrivateKey, body []byte) Receipt {
	return Receipt{Body: body, Signature: ed25519.Sign(key, signed(body)), Key: key.Public().(ed25519.PublicKey)}
}

// SignedBy says whether the key signed it.
func (r Receipt) SignedBy(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed(r.Body), r.Signature)
}

func signed(body []byte) []byte { return append([]byte(context), body...) }
