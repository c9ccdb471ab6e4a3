package attestation

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Simulated is a secure processor in software. Its reports have the form of SEV-SNP's, so that everything but the hardware is tried; its root is
// nobody's, so that what it signs proves nothing but that the answer is fresh and meant for this connection.
// SECURITY: its evidence has a format of its own: no verifier that wants hardware can take one for the other.
type Simulated struct {
	key      *ecdsa.PrivateKey
	chain    [][]byte
	template [SignedBytes]byte
}

// devices are how a confidential VM shows itself to its guest.
var devices = []string{"/dev/sev-guest", "/dev/tdx_guest"}

// ErrDevice is why there is no simulator: there is hardware that can prove something.
var ErrDevice = errors.New("this machine has a TEE, and evidence is not simulated where it can be had")

const (
	simulatedKeyBits  = 2048 // it protects nothing, and a start should not wait for more
	simulatedLifetime = 10 * 365 * 24 * time.Hour
)

// simulatedTCB is in Milan's layout: boot loader, TEE, four reserved, SNP firmware, microcode.
var simulatedTCB = [8]byte{3, 0, 0, 0, 0, 0, 24, 219}

// NewSimulated makes a device with fresh keys, on machines that have none. present says which files there are.
func NewSimulated(present func(path string) bool, now time.Time) (*Simulated, error) {
	if device := Device(present); device != "" {
		return nil, fmt.Errorf("%w (%s)", ErrDevice, device)
	}
	s := &Simulated{}
	if err := s.makeChain(now); err != nil {
		return nil, fmt.Errorf("make a simulated device: %w", err)
	}
	s.fillTemplate()
	return s, nil
}

// Format implements Provider.
func (*Simulated) Format() string { return FormatSimulated }

// Attest implements Provider.
func (s *Simulated) Attest(_ context.Context, reportData [64]byte) (Report, error) {
	report := make([]byte, ReportBytes)
	copy(report, s.template[:])
	copy(report[offsetReportData:], reportData[:])
	digest := sha512.Sum384(report[:SignedBytes])
	r, v, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		return Report{}, fmt.Errorf("sign a simulated report: %w", err)
	}
	putLittleEndian(report[offsetSignature:], r)
	putLittleEndian(report[offsetSignature+signatureInt:], v)
	return Report{Bytes: report, Endorsements: s.chain}, nil
}

func putLittleEndian(into []byte, value *big.Int) {
	encoded := value.Bytes()
	for i, b := range encoded {
		into[len(encoded)-1-i] = b
	}
}

// fillTemplate writes all that is the same in every report: a guest of version 3 on a Milan, without a measurement.
func (s *Simulated) fillTemplate() {
	report := s.template[:]
	binary.LittleEndian.PutUint32(report[offsetVersion:], 3)
	binary.LittleEndian.PutUint64(report[offsetGuestPolicy:], 1<<17|55) // the bit that must be one; ABI 0.55
	binary.LittleEndian.PutUint32(report[offsetAlgorithm:], 1)          // ECDSA P-384 with SHA-384
	for _, offset := range []int{offsetCurrentTCB, offsetReportedTCB, offsetCommitted, offsetLaunchTCB} {
		copy(report[offset:], simulatedTCB[:])
	}
	binary.LittleEndian.PutUint64(report[offsetPlatform:], 1<<5) // alias check complete
	copy(report[offsetCPUID:], []byte{0x19, 0x01, 0x01})         // family, model, stepping
}

// makeChain makes the certificates of a chip: its own, of what signed that, of the root. Extensions are those of AMD's key server
// ("Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification", table 10).
func (s *Simulated) makeChain(now time.Time) error {
	root, err := rsa.GenerateKey(rand.Reader, simulatedKeyBits)
	if err != nil {
		return err
	}
	signer, err := rsa.GenerateKey(rand.Reader, simulatedKeyBits)
	if err != nil {
		return err
	}
	if s.key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		return err
	}
	extensions, err := chipExtensions()
	if err != nil {
		return err
	}
	ark := authority("ARK-Simulated", now)
	ask := authority("SEV-Simulated", now)
	vcek := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "SEV-VCEK"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(simulatedLifetime), SignatureAlgorithm: x509.SHA384WithRSAPSS, ExtraExtensions: extensions}
	for _, link := range []struct {
		subject, issuer *x509.Certificate
		key             any
		by              *rsa.PrivateKey
	}{{vcek, ask, s.key.Public(), signer}, {ask, ark, signer.Public(), root}, {ark, ark, root.Public(), root}} {
		der, err := x509.CreateCertificate(rand.Reader, link.subject, link.issuer, link.key, link.by)
		if err != nil {
			return err
		}
		s.chain = append(s.chain, der)
	}
	return nil
}

func authority(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(simulatedLifetime), SignatureAlgorithm: x509.SHA384WithRSAPSS, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
}

// chipExtensions name the chip, here all zeros, and the versions that its key is of.
func chipExtensions() ([]pkix.Extension, error) {
	amd := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}
	under := func(arc ...int) asn1.ObjectIdentifier { return append(append(asn1.ObjectIdentifier{}, amd...), arc...) }
	versions := []struct {
		arc   []int
		value int
	}{{[]int{1}, 1}, {[]int{3, 1}, int(simulatedTCB[0])}, {[]int{3, 2}, int(simulatedTCB[1])}, {[]int{3, 3}, int(simulatedTCB[6])}, {[]int{3, 8}, int(simulatedTCB[7])}}
	var extensions []pkix.Extension
	for _, version := range versions {
		value, err := asn1.Marshal(version.value)
		if err != nil {
			return nil, err
		}
		extensions = append(extensions, pkix.Extension{Id: under(version.arc...), Value: value})
	}
	return append(extensions, pkix.Extension{Id: under(4), Value: make([]byte, 64)}), nil
}
