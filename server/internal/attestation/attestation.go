// Package attestation makes evidence: what a server runs, on which hardware, bound to the connection on which it was asked.
//
// Invariants: a report's data are made of parts of fixed length, so that no two statements have the same; a report that does not carry what it
// was asked to carry is an error; what a caller is given commits to that caller's nonce. However many callers ask at once, the
// hardware is asked for one report at a time.
//
// Non-goals: judging evidence (package verification), transport, keys: whoever makes the TLS key says here what it is.
package attestation

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"fmt"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// The formats of evidence.
const (
	FormatSNP       = "sev-snp"
	FormatTDX       = "tdx"
	FormatSimulated = "simulated"
)

const (
	// NonceBytes is the length of a caller's nonce.
	NonceBytes = 32
	// ExporterBytes is the length of a channel binding.
	ExporterBytes = 32
	exporterLabel = "EXPORTER-Channel-Binding" // RFC 9266, section 4.2

	reportLabel = "bastionlab attestation 1\x00"
)

// Channel is a connection as evidence is bound to it.
type Channel struct {
	PublicKey []byte // of the TLS certificate: SubjectPublicKeyInfo, DER
	Binding   bastionlabv1.Binding
	Exporter  [ExporterBytes]byte // zeros with BINDING_KEY
}

// ExporterOf is what a connection has in common with nobody else (RFC 9266).
func ExporterOf(state tls.ConnectionState) (exporter [ExporterBytes]byte, err error) {
	material, err := state.ExportKeyingMaterial(exporterLabel, nil, ExporterBytes)
	if err != nil {
		return exporter, fmt.Errorf("export keying material: %w", err)
	}
	return [ExporterBytes]byte(material), nil
}

// Report is what the hardware signed, and the certificates that came with it.
type Report struct {
	Bytes        []byte   // never re-encoded
	Endorsements [][]byte // see Evidence in attestation.proto
}

// Provider asks the platform for a report over 64 bytes. It need not be safe for concurrent use: the batcher asks for one at a time.
type Provider interface {
	Format() string
	Attest(ctx context.Context, reportData [64]byte) (Report, error)
}

// ReportData is what a report commits to: the server's key, its claims, and the callers under root.
func ReportData(publicKey, claims []byte, root [32]byte) [64]byte {
	key, said := sha512.Sum384(publicKey), sha512.Sum384(claims)
	hash := sha512.New()
	// SECURITY: every part has a fixed length, so that no two lists of parts read the same.
	hash.Write([]byte(reportLabel))
	hash.Write(key[:])
	hash.Write(said[:])
	hash.Write(root[:])
	return [64]byte(hash.Sum(nil))
}

// Leaf commits to one caller.
func Leaf(binding bastionlabv1.Binding, nonce, exporter [32]byte) [32]byte {
	hash := sha256.New()
	hash.Write([]byte{leafPrefix, byte(binding)})
	hash.Write(nonce[:])
	hash.Write(exporter[:])
	return [32]byte(hash.Sum(nil))
}
