package attestation

import (
	"context"
	"fmt"

	"github.com/google/go-tdx-guest/client"
)

// quotes is what is used of the guest driver's client.
type quotes interface {
	GetRawQuote(reportData [64]byte) ([]byte, error)
}

// TDX asks Intel's quoting enclave, through configfs-tsm.
type TDX struct {
	quotes quotes
	// collateral is what Intel says of this platform, in JSON, as the operator fetched it; it runs out, and is read again at a start.
	collateral []byte
}

// NewTDX opens the device.
func NewTDX(collateral []byte) (*TDX, error) {
	provider, err := client.GetQuoteProvider()
	if err != nil {
		return nil, fmt.Errorf("open the TDX device: %w", err)
	}
	if err := provider.IsSupported(); err != nil {
		return nil, fmt.Errorf("open the TDX device: %w", err)
	}
	return &TDX{quotes: provider, collateral: collateral}, nil
}

// Format implements Provider.
func (*TDX) Format() string { return FormatTDX }

// Attest implements Provider.
func (t *TDX) Attest(_ context.Context, reportData [64]byte) (Report, error) {
	quote, err := t.quotes.GetRawQuote(reportData)
	if err != nil {
		return Report{}, fmt.Errorf("ask for a quote: %w", err)
	}
	report := Report{Bytes: quote}
	if t.collateral != nil {
		report.Endorsements = [][]byte{t.collateral}
	}
	return report, nil
}
