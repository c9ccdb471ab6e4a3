package verification

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
)

// Roots are the root keys that are believed, by product: SHA-256 of SubjectPublicKeyInfo in hex.
type Roots map[string][]string

// AMDRoots are the keys of AMD's root certificates, as its key server hands them out (kdsintf.amd.com, cert_chain of each product). Chains of
// chip keys and of providers' keys of a product end in the same root.
func AMDRoots() Roots {
	return Roots{
		"Milan": {"9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"},
		"Genoa": {"429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"},
		"Turin": {"4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"},
	}
}

// intelRoot is the key of Intel's SGX root, which is TDX's too.
const intelRoot = "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"

func keyDigest(certificate *x509.Certificate) string {
	digest := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(digest[:])
}
