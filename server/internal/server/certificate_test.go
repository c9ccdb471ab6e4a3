package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"testing"
	"time"
)

func TestEveryStartHasAKeyOfItsOwn(t *testing.T) {
	first, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	key := first.PrivateKey.(*ecdsa.PrivateKey)
	if key.Curve != elliptic.P256() || key.Equal(second.PrivateKey.(*ecdsa.PrivateKey)) {
		t.Errorf("curve %s, and the same key twice: %t", key.Curve.Params().Name, key.Equal(second.PrivateKey.(*ecdsa.PrivateKey)))
	}
	for _, name := range certificateNames {
		if err := first.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}

// A certificate is pinned, and named by evidence: whatever client's or server's clock is wrong, and however long the server runs, it is taken.
func TestNoClockHasASayInTheCertificate(t *testing.T) {
	certificate, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	for _, now := range []time.Time{time.Now(), time.Now().AddDate(-20, 0, 0), time.Now().AddDate(40, 0, 0), time.Now().AddDate(1000, 0, 0)} {
		if _, err := certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "localhost", CurrentTime: now}); err != nil {
			t.Errorf("in %d: %v", now.Year(), err)
		}
	}
}
