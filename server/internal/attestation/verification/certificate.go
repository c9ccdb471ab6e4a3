package verification

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

// arcAMD is where AMD's extensions are ("VCEK Certificate and KDS Interface Specification", table 10).
var arcAMD = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}

// maxCertificateBytes bounds what somebody can make us compute with a key of theirs; AMD's certificates have less than 2 KiB.
const maxCertificateBytes = 8192

// chain are the certificates of a report: of the key that signed it, of what signed that, of the root.
type chain struct{ key, intermediate, root *x509.Certificate }

func parseChain(endorsements [][]byte) (chain, error) {
	if len(endorsements) != 3 {
		return chain{}, refuse("chain", "three certificates", "%d", len(endorsements))
	}
	var parsed [3]*x509.Certificate
	for i, der := range endorsements {
		if len(der) > maxCertificateBytes {
			return chain{}, refuse("format", fmt.Sprintf("certificates of at most %d bytes", maxCertificateBytes), "number %d of %d", i+1, len(der))
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return chain{}, refuse("format", "certificates in DER", "number %d of %d bytes: %s", i+1, len(der), err)
		}
		parsed[i] = certificate
	}
	return chain{parsed[0], parsed[1], parsed[2]}, nil
}

// verify follows the chain from a root that is pinned.
// SECURITY: the root comes with the evidence, so that nothing about it is believed but the key, and that because it is pinned. pinned tells.
func (c chain) verify(pinned func(digest string) bool, signingKey string, now time.Time) error {
	if digest := keyDigest(c.root); !pinned(digest) {
		return refuse("chain", "a root key that is pinned", "the key %s", digest)
	}
	for _, link := range []struct {
		what          string
		child, issuer *x509.Certificate
	}{
		{"the root", c.root, c.root},
		{"the intermediate certificate", c.intermediate, c.root},
		{"the certificate of the " + signingKey, c.key, c.intermediate},
	} {
		if err := issued(link.what, link.child, link.issuer, now); err != nil {
			return err
		}
	}
	if name := c.key.Subject.CommonName; name != "SEV-"+signingKey {
		return refuse("chain", "a certificate for SEV-"+signingKey, "one for %.40q", name)
	}
	return nil
}

func issued(what string, child, issuer *x509.Certificate, now time.Time) error {
	if string(child.RawIssuer) != string(issuer.RawSubject) {
		return refuse("chain", what+" to be issued by "+issuer.Subject.CommonName, "the issuer %.60q", child.Issuer.CommonName)
	}
	// crypto/x509 gives this name to RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes, and to nothing else.
	if child.SignatureAlgorithm != x509.SHA384WithRSAPSS {
		return refuse("chain", what+" to be signed with RSASSA-PSS and SHA-384", "%s", child.SignatureAlgorithm)
	}
	if now.Before(child.NotBefore) || now.After(child.NotAfter) {
		return refuse("chain", what+" to be valid on "+now.UTC().Format(time.DateOnly),
			"%s to %s", child.NotBefore.Format(time.DateOnly), child.NotAfter.Format(time.DateOnly))
	}
	key, ok := issuer.PublicKey.(*rsa.PublicKey)
	if !ok {
		return refuse("chain", "an RSA key that issues "+what, "%T", issuer.PublicKey)
	}
	digest := sha512.Sum384(child.RawTBSCertificate)
	if err := rsa.VerifyPSS(key, crypto.SHA384, digest[:], child.Signature, &rsa.PSSOptions{SaltLength: sha512.Size384}); err != nil {
		return refuse("chain", what+" to be signed by its issuer", "a signature that does not hold")
	}
	return nil
}

// signs says whether the chip's key signed what a report says.
func (c chain) signs(r *report) error {
	key, ok := c.key.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() {
		return refuse("signature", "a key on P-384", "%s", c.key.PublicKeyAlgorithm)
	}
	x, y := r.signature()
	digest := sha512.Sum384(r.signed())
	if !ecdsa.Verify(key, digest[:], x, y) {
		return refuse("signature", "the report to be signed by its certificate's key", "a signature that does not hold")
	}
	return nil
}

// extension is the value of one of AMD's extensions; crypto/x509 refuses a certificate that has one twice.
func (c chain) extension(arc ...int) []byte {
	oid := append(slices.Clone(arcAMD), arc...)
	for _, extension := range c.key.Extensions {
		if extension.Id.Equal(oid) {
			return extension.Value
		}
	}
	return nil
}

// version is the version of a part of the TCB that the key was made for.
func (c chain) version(arc int) (int, bool) {
	var value int
	rest, err := asn1.Unmarshal(c.extension(3, arc), &value)
	return value, err == nil && len(rest) == 0 && value >= 0
}

// hardwareID is the chip that the key is of, which AMD writes as it is.
func (c chain) hardwareID() []byte {
	return c.extension(4)
}

// productName is the product that the certificate names, as in Milan-B0.
func (c chain) productName() string {
	var name string
	if _, err := asn1.Unmarshal(c.extension(2), &name); err != nil {
		return ""
	}
	return name
}
