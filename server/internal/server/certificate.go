package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/storage"
)

const (
	certificateFile  = "server.pem"
	certificateYears = 10
	// renewBefore is how long before its end a certificate is replaced: clients look at the date.
	renewBefore = 30 * 24 * time.Hour
)

// firstProductName is the name that the first product's client insists on. It is told which client to install only if it gets this far.
const firstProductName = "bastionlab-server"

var alwaysNamed = []string{"localhost", "127.0.0.1", "::1", firstProductName}

// LoadCertificate returns the server's self-signed certificate, kept with its key in one file of dir, and makes a new one where there is
// none, where its end is near or where it does not name host (which may be empty).
func LoadCertificate(dir, host string, now time.Time) (tls.Certificate, error) {
	hosts := alwaysNamed
	if host != "" {
		hosts = append(hosts[:len(hosts):len(hosts)], host)
	}
	path := filepath.Join(dir, certificateFile)
	encoded, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return tls.Certificate{}, fmt.Errorf("read the server's certificate: %w", err)
	default:
		certificate, err := tls.X509KeyPair(encoded, encoded)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("read the server's certificate in %s: %w", path, err)
		}
		if serves(certificate.Leaf, hosts, now) {
			return certificate, nil
		}
	}
	return createCertificate(path, hosts, now)
}

func serves(leaf *x509.Certificate, hosts []string, now time.Time) bool {
	if now.Before(leaf.NotBefore) || now.Add(renewBefore).After(leaf.NotAfter) {
		return false
	}
	for _, host := range hosts {
		if leaf.VerifyHostname(host) != nil {
			return false
		}
	}
	return true
}

func createCertificate(path string, hosts []string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the server's TLS key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: firstProductName},
		NotBefore:             now.Add(-time.Hour), // a client's clock may be slow
		NotAfter:              now.AddDate(certificateYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true, // its own root: clients pin it as the only one
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the server's certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("encode the server's TLS key: %w", err)
	}
	// Key and certificate in one file: they can never come from two different starts.
	var file bytes.Buffer
	for _, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: der}, {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := pem.Encode(&file, block); err != nil {
			return tls.Certificate{}, fmt.Errorf("encode the server's certificate: %w", err)
		}
	}
	if err := storage.ReplaceKeyFile(path, file.Bytes()); err != nil {
		return tls.Certificate{}, fmt.Errorf("keep the server's certificate: %w", err)
	}
	return tls.X509KeyPair(file.Bytes(), file.Bytes())
}
