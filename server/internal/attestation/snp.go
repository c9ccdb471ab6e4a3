package attestation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/client"
	"github.com/google/go-sev-guest/verify/trust"
)

// levelledQuotes is what is used of the guest driver's client.
type levelledQuotes interface {
	GetRawQuoteAtLevel(reportData [64]byte, vmpl uint) ([]byte, error)
}

// SNP asks the AMD secure processor, through configfs-tsm where the kernel has it (6.7 and newer), else through /dev/sev-guest.
type SNP struct {
	quotes levelledQuotes
	// own is the chip's certificate as the operator gave it; nil: the host hands it out with each report.
	own []byte
}

// NewSNP opens the device. chip is the certificate of the chip's key in DER, for hosts that hand out none.
func NewSNP(chip []byte) (*SNP, error) {
	quotes, err := client.GetLeveledQuoteProvider()
	if err != nil {
		return nil, fmt.Errorf("open the SEV-SNP device: %w", err)
	}
	return &SNP{quotes: quotes, own: chip}, nil
}

// Format implements Provider.
func (*SNP) Format() string { return FormatSNP }

// Attest implements Provider.
func (s *SNP) Attest(_ context.Context, reportData [64]byte) (Report, error) {
	quote, err := s.quotes.GetRawQuoteAtLevel(reportData, 0)
	if err != nil {
		return Report{}, fmt.Errorf("ask the secure processor: %w", err)
	}
	if len(quote) < ReportBytes {
		return Report{}, fmt.Errorf("the secure processor answered with %d bytes", len(quote))
	}
	report := quote[:ReportBytes]
	// SECURITY: the host sits between this guest and the processor.
	if !bytes.Equal(report[offsetReportData:offsetReportData+64], reportData[:]) {
		return Report{}, errors.New("the report does not carry what it was asked to")
	}
	chip, err := s.chipCertificate(quote[ReportBytes:])
	if err != nil {
		return Report{}, err
	}
	chain, err := chainOf(chip)
	if err != nil {
		return Report{}, err
	}
	return Report{Bytes: report, Endorsements: chain}, nil
}

// ErrNoChipCertificate says how to mend a host that hands out no certificate.
var ErrNoChipCertificate = errors.New("the host hands out no certificate of the chip's key: fetch it from AMD's key server, and name the file with --endorsement")

// chipCertificate is the operator's, else the host's. It is no secret, and whoever verifies the report verifies it too.
func (s *SNP) chipCertificate(table []byte) ([]byte, error) {
	if s.own != nil {
		return s.own, nil
	}
	if len(table) == 0 {
		return nil, ErrNoChipCertificate
	}
	var certificates abi.CertTable
	if err := certificates.Unmarshal(table); err != nil {
		return nil, fmt.Errorf("read the host's certificates: %w", err)
	}
	for _, kind := range []string{abi.VcekGUID, abi.VlekGUID} {
		if der, err := certificates.GetByGUIDString(kind); err == nil {
			return der, nil
		}
	}
	return nil, ErrNoChipCertificate
}

// chainOf is the chip's certificate, that of what signed it and that of AMD's root, as AMD publishes them.
func chainOf(chip []byte) ([][]byte, error) {
	leaf, err := x509.ParseCertificate(chip)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of the chip's key: %w", err)
	}
	for _, published := range [][]byte{trust.AskArkMilanVcekBytes, trust.AskArkGenoaVcekBytes, trust.AskArkTurinVcekBytes,
		trust.AskArkMilanVlekBytes, trust.AskArkGenoaVlekBytes, trust.AskArkTurinVlekBytes} {
		signer, rest := pem.Decode(published)
		root, _ := pem.Decode(rest)
		if signer == nil || root == nil {
			continue
		}
		parsed, err := x509.ParseCertificate(signer.Bytes)
		if err == nil && bytes.Equal(parsed.RawSubject, leaf.RawIssuer) {
			return [][]byte{chip, signer.Bytes, root.Bytes}, nil
		}
	}
	return nil, fmt.Errorf("the chip's key was signed by %q, which is none of AMD's", leaf.Issuer.CommonName)
}
