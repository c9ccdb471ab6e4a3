package attestation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/verify/trust"
)

func nothingThere(string) bool { return false }

func TestASimulatedDeviceCannotBeChosenWhereThereIsARealOne(t *testing.T) {
	for _, device := range []string{"/dev/sev-guest", "/dev/tdx_guest"} {
		there := func(path string) bool { return path == device }
		if _, err := NewSimulated(there, time.Now()); !errors.Is(err, ErrDevice) {
			t.Errorf("%s: got %v", device, err)
		}
		// Nor by way of Open: this machine lacks what it takes to use the device, and that is an error.
		if provider, err := Open(Files{Present: there, Now: time.Now}, nil); err == nil {
			t.Errorf("%s: got a provider of %s", device, provider.Format())
		}
	}
	provider, err := Open(Files{Present: nothingThere, Now: time.Now}, nil)
	if err != nil || provider.Format() != FormatSimulated {
		t.Errorf("without a device: %v, %v", provider, err)
	}
}

func TestASimulatedReportCarriesWhatItWasAskedTo(t *testing.T) {
	device, err := NewSimulated(nothingThere, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := [64]byte{1, 2, 3}
	report, err := device.Attest(context.Background(), want)
	if err != nil || len(report.Bytes) != ReportBytes || [64]byte(report.Bytes[offsetReportData:offsetReportData+64]) != want {
		t.Errorf("%d bytes, %v", len(report.Bytes), err)
	}
	if len(report.Endorsements) != 3 {
		t.Errorf("%d certificates came with it", len(report.Endorsements))
	}
}

// fakeQuotes is the guest driver's client.
type fakeQuotes struct {
	quote []byte
	fails error
}

func (f fakeQuotes) GetRawQuoteAtLevel([64]byte, uint) ([]byte, error) { return f.quote, f.fails }
func (f fakeQuotes) GetRawQuote([64]byte) ([]byte, error)              { return f.quote, f.fails }

// chipSignedBy is a certificate that names one of AMD's as its issuer. Nobody verifies it here.
func chipSignedBy(t *testing.T, published []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(published)
	signer, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	device, err := NewSimulated(nothingThere, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(device.chain[0])
	if err != nil {
		t.Fatal(err)
	}
	// The two names have the same place in both certificates, so one is put for the other and the length mended.
	renamed := bytes.Replace(parsed.Raw, parsed.RawIssuer, signer.RawSubject, 1)
	return withLengths(renamed, len(signer.RawSubject)-len(parsed.RawIssuer))
}

// withLengths adds to the two outermost lengths of a certificate, both of two bytes.
func withLengths(der []byte, more int) []byte {
	for _, at := range []int{2, 6} {
		length := int(der[at])<<8 + int(der[at+1]) + more
		der[at], der[at+1] = byte(length>>8), byte(length)
	}
	return der
}

func TestTheDevicesAnswerIsCompletedOrRefused(t *testing.T) {
	reportData := [64]byte{7}
	honest := make([]byte, ReportBytes)
	copy(honest[offsetReportData:], reportData[:])
	chip := chipSignedBy(t, trust.AskArkGenoaVcekBytes)
	table := abi.CertTable{Entries: []abi.CertTableEntry{{GUID: [16]byte(guid(t, abi.VcekGUID)), RawCert: chip}}}
	tests := map[string]struct {
		device SNP
		wrong  bool
	}{
		"the host hands out the chip's certificate": {device: SNP{quotes: fakeQuotes{quote: append(bytes.Clone(honest), table.Marshal()...)}}},
		"the operator has it":                       {device: SNP{quotes: fakeQuotes{quote: honest}, own: chip}},
		"nobody has it":                             {device: SNP{quotes: fakeQuotes{quote: honest}}, wrong: true},
		"a report about something else":             {device: SNP{quotes: fakeQuotes{quote: make([]byte, ReportBytes)}, own: chip}, wrong: true},
		"a short report":                            {device: SNP{quotes: fakeQuotes{quote: honest[:ReportBytes-1]}, own: chip}, wrong: true},
		"a table that is none":                      {device: SNP{quotes: fakeQuotes{quote: append(bytes.Clone(honest), 1, 2, 3)}}, wrong: true},
		"a device that fails":                       {device: SNP{quotes: fakeQuotes{fails: errors.New("busy")}, own: chip}, wrong: true},
		"a chip that AMD did not sign":              {device: SNP{quotes: fakeQuotes{quote: honest}, own: chipOfNobody(t)}, wrong: true},
		"no certificate at all":                     {device: SNP{quotes: fakeQuotes{quote: honest}, own: []byte("pem?")}, wrong: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report, err := test.device.Attest(context.Background(), reportData)
			if (err != nil) != test.wrong {
				t.Fatalf("got %v", err)
			}
			if err == nil && (!bytes.Equal(report.Endorsements[0], chip) || len(report.Endorsements) != 3) {
				t.Errorf("%d certificates", len(report.Endorsements))
			}
		})
	}
}

func chipOfNobody(t *testing.T) []byte {
	t.Helper()
	device, err := NewSimulated(nothingThere, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return device.chain[0]
}

func guid(t *testing.T, text string) []byte {
	t.Helper()
	header := abi.CertTableHeaderEntry{}
	if err := header.GUID.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return header.GUID[:]
}

func TestAQuoteTravelsWithItsCollateral(t *testing.T) {
	report, err := (&TDX{quotes: fakeQuotes{quote: []byte("quote")}, collateral: []byte("{}")}).Attest(context.Background(), [64]byte{})
	if err != nil || string(report.Bytes) != "quote" || len(report.Endorsements) != 1 {
		t.Errorf("got %v, %v", report, err)
	}
	if _, err := (&TDX{quotes: fakeQuotes{fails: errors.New("no")}}).Attest(context.Background(), [64]byte{}); err == nil {
		t.Error("a device that fails is no error")
	}
}
