package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/attestation/verification"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// link is a connection of a command to a server. SECURITY: prove comes before anything else is said on it, and it is one connection: where it
// breaks, nothing takes its place unseen.
type link struct {
	addresses []string

	mu      sync.Mutex
	dialled bool
	channel attestation.Channel
}

// dial opens the connection, the first time.
func (l *link) dial(ctx context.Context, _ string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dialled {
		return nil, errors.New("the connection was lost")
	}
	conn, err := dialAny(ctx, l.addresses)
	l.dialled = err == nil
	return conn, err
}

// tls makes TLS on it, whatever certificate comes: the evidence decides.
func (l *link) tls() credentials.TransportCredentials {
	return observed{credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, ServerName: "localhost", InsecureSkipVerify: true}), l}
}

// observed notes what the connection is that was agreed on.
type observed struct {
	credentials.TransportCredentials
	link *link
}

func (o observed) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := o.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	if err := o.link.note(info); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, info, nil
}

func (o observed) Clone() credentials.TransportCredentials {
	return observed{o.TransportCredentials.Clone(), o.link}
}

func (l *link) note(info credentials.AuthInfo) error {
	agreed, ok := info.(credentials.TLSInfo)
	if !ok || len(agreed.State.PeerCertificates) == 0 {
		return fmt.Errorf("the connection is no TLS connection with a certificate: %T", info)
	}
	exporter, err := attestation.ExporterOf(agreed.State)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.channel = attestation.Channel{PublicKey: agreed.State.PeerCertificates[0].RawSubjectPublicKeyInfo,
		Binding: bastionlabv1.Binding_BINDING_EXPORTER, Exporter: exporter}
	return nil
}

// seen is the connection as evidence and sign-in are bound to it.
func (l *link) seen() attestation.Channel {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.channel
}

// prove asks the server for evidence, and refuses what the policy does not take.
func (l *link) prove(ctx context.Context, conn *grpc.ClientConn, policy verification.Policy, trailer grpc.CallOption) error {
	nonce := make([]byte, attestation.NonceBytes)
	rand.Read(nonce) // never fails
	request := &bastionlabv1.GetEvidenceRequest{Nonce: nonce, Binding: bastionlabv1.Binding_BINDING_EXPORTER}
	evidence, err := bastionlabv1.NewAttestationServiceClient(conn).GetEvidence(ctx, request, trailer)
	if err != nil {
		return err
	}
	_, err = verification.Verify(evidence, nonce, l.seen(), policy, time.Now(), verification.AMDRoots())
	return err
}

// signIn proves possession of a key, bound to the connection.
func (l *link) signIn(ctx context.Context, conn *grpc.ClientConn, key crypto.Signer, trailer grpc.CallOption) (token string, err error) {
	sessions := bastionlabv1.NewSessionServiceClient(conn)
	hello, err := sessions.Hello(ctx, &bastionlabv1.HelloRequest{ClientVersion: version.Number}, trailer)
	if err != nil {
		return "", err
	}
	// SECURITY: the signature is worth nothing on another connection, so that a relay cannot pass it on.
	channel := l.seen()
	publicKey, signature, err := identity.Sign(key, hello.GetChallenge(), channel.Binding, sha256.Sum256(channel.PublicKey), channel.Exporter)
	if err != nil {
		return "", err
	}
	answer, err := sessions.SignIn(ctx, &bastionlabv1.SignInRequest{PublicKey: publicKey, Signature: signature, Challenge: hello.GetChallenge(),
		Binding: channel.Binding}, trailer)
	return answer.GetToken(), err
}

const (
	// policyOfSimulated takes any simulated evidence: it proves that the answer is fresh and meant for this connection, and nothing else.
	policyOfSimulated = `{"platforms": ["simulated"], "measurements": null, "chip_ids": null, "config_digests": null,
		"storage_levels": ["file", "memory"], "development": true}`
	simulated = "simulated"
)

// policyFor is the policy that --policy names. Without one, simulated evidence is taken from this machine only.
func policyFor(named string, loopback bool) (verification.Policy, error) {
	switch {
	case named == simulated || named == "" && loopback:
		return verification.ParsePolicy([]byte(policyOfSimulated))
	case named == "":
		return verification.Policy{}, &refusal.Error{Kind: refusal.Attestation, What: "no policy says what this server may be",
			Next:  "name a policy with --policy FILE; --policy simulated takes a server that only simulates its evidence",
			Check: &refusal.Check{Name: "policy", Expected: "a policy", Seen: "none"}}
	}
	document, err := os.ReadFile(named)
	if err != nil {
		return verification.Policy{}, withFix(err, "name a policy with --policy FILE")
	}
	return verification.ParsePolicy(document)
}
