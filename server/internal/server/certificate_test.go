package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"testing"
	"time"
)

func TestEveryStartHasAKeyOfItsOwn(t *testing.T) {
	first, err := NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewCertificate(time.Now())
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
