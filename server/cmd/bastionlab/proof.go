package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/attestation/verification"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// maxEndorsementBytes bounds the operator's file: a certificate has one or two KiB, Intel's collateral some tens.
const maxEndorsementBytes = 1 << 20

// openProof takes the hardware that there is to prove what this server is.
func openProof(ctx context.Context, s settings, d *domain, publicKey []byte, log *slog.Logger) (*attestation.Batcher, error) {
	endorsement, err := readEndorsement(s.endorsement)
	if err != nil {
		return nil, err
	}
	provider, err := attestation.Open(attestation.Files{Present: fileExists, Now: time.Now}, endorsement)
	if err != nil {
		return nil, withFix(err, "see `bastionlab doctor`")
	}
	configuration, err := s.digest(d.store.Level())
	if err != nil {
		return nil, err
	}
	say := func() attestation.Statement {
		return attestation.Statement{PublicKey: publicKey, Claims: claims(d, configuration)}
	}
	log.InfoContext(ctx, "evidence", "format", provider.Format(), "configuration_sha384", fmt.Sprintf("%x", configuration))
	return attestation.NewBatcher(timed{provider, d.station.reported}, say), nil
}

// timed is a device of which somebody hears how long its reports take.
type timed struct {
	attestation.Provider
	reported func(took time.Duration, err error)
}

func (t timed) Attest(ctx context.Context, reportData [64]byte) (attestation.Report, error) {
	began := time.Now()
	report, err := t.Provider.Attest(ctx, reportData)
	t.reported(time.Since(began), err)
	return report, err
}

// checkProof has the server judge its own evidence as a client would that pins exactly it: what cannot be proved to anybody is better noticed
// here than by everybody.
// SECURITY: a guest that the host may read, or move, does not serve.
func checkProof(ctx context.Context, proof *attestation.Batcher, publicKey []byte) error {
	nonce := make([]byte, attestation.NonceBytes)
	rand.Read(nonce) // never fails
	channel := attestation.Channel{PublicKey: publicKey, Binding: bastionlabv1.Binding_BINDING_KEY}
	evidence, err := proof.Evidence(ctx, [attestation.NonceBytes]byte(nonce), channel)
	if err != nil {
		return withFix(err, "see `bastionlab doctor`")
	}
	document, err := verification.Propose(evidence)
	if err != nil {
		return fmt.Errorf("look at the server's own evidence: %w", err)
	}
	policy, err := verification.ParsePolicy(document)
	if err == nil {
		_, err = verification.Verify(evidence, nonce, channel, policy, time.Now(), verification.AMDRoots())
	}
	if err != nil {
		return fmt.Errorf("no client would take this server's evidence: %w", err)
	}
	return nil
}

// claims are what the server says of itself at this moment, in one encoding.
func claims(d *domain, configuration [48]byte) []byte {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(&bastionlabv1.Claims{
		Version: version.Number, LedgerKey: d.ledger.Key(), ConfigDigest: configuration[:], BootId: d.boot,
		StorageLevel: string(d.store.Level()), Development: d.registry.Development(),
	})
	if err != nil {
		panic(fmt.Errorf("encode claims: %w", err)) // of fields that this program made
	}
	return encoded
}

func readEndorsement(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, withFix(err, "give --endorsement the certificate of this chip's key, or Intel's collateral for this machine")
	}
	if len(content) > maxEndorsementBytes {
		return nil, refusal.New(refusal.InvalidArgument, "give one certificate in DER, or one collateral in JSON", "%s has %d bytes", path, len(content))
	}
	return content, nil
}
