package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// exporting is TLS that tells what the client's end of the connection exports.
type exporting struct {
	credentials.TransportCredentials
	exporter *[]byte
}

func (e exporting) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := e.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	exporter, err := attestation.ExporterOf(info.(credentials.TLSInfo).State)
	*e.exporter = exporter[:]
	return conn, info, err
}

func (e exporting) Clone() credentials.TransportCredentials {
	return exporting{e.TransportCredentials.Clone(), e.exporter}
}

func TestEvidenceIsBoundToTheServersKeyAndTheConnection(t *testing.T) {
	r := start(t, &fakes{})
	var exporter []byte
	conn := dial(t, r.address, exporting{credentials.NewTLS(trusting(r.leaf)), &exporter})
	client := bastionlabv1.NewAttestationServiceClient(conn)
	nonce := bytes.Repeat([]byte{7}, attestation.NonceBytes)
	for binding, want := range map[bastionlabv1.Binding]func() []byte{
		bastionlabv1.Binding_BINDING_KEY:      func() []byte { return make([]byte, attestation.ExporterBytes) },
		bastionlabv1.Binding_BINDING_EXPORTER: func() []byte { return exporter },
	} {
		evidence, err := client.GetEvidence(as(t.Context(), ""), &bastionlabv1.GetEvidenceRequest{Nonce: nonce, Binding: binding})
		if err != nil {
			t.Fatal(err)
		}
		key, seen := evidence.GetEndorsements()[0], evidence.GetEndorsements()[1]
		if !bytes.Equal(key, r.leaf.RawSubjectPublicKeyInfo) || !bytes.Equal(seen, want()) || !bytes.Equal(evidence.GetReport(), nonce) {
			t.Errorf("%s: bound to key %x, exporter %x, nonce %x", binding, key, seen, evidence.GetReport())
		}
	}
}

func TestEvidenceIsRefusedWithoutANonceOrABinding(t *testing.T) {
	r := start(t, &fakes{})
	client := bastionlabv1.NewAttestationServiceClient(r.conn)
	for name, request := range map[string]*bastionlabv1.GetEvidenceRequest{
		"no nonce":         {Binding: bastionlabv1.Binding_BINDING_KEY},
		"a short nonce":    {Nonce: make([]byte, 31), Binding: bastionlabv1.Binding_BINDING_KEY},
		"no binding":       {Nonce: make([]byte, 32)},
		"an unknown one":   {Nonce: make([]byte, 32), Binding: 9},
		"a negative one":   {Nonce: make([]byte, 32), Binding: -1},
		"nothing whatever": {},
	} {
		if _, err := client.GetEvidence(as(t.Context(), ""), request); err == nil {
			t.Errorf("%s: was answered", name)
		}
	}
}

// One report serves so many: who asks over and over on one connection takes nobody's place.
func TestAConnectionAsksForEvidenceOnceAtATime(t *testing.T) {
	r := start(t, &fakes{})
	client := bastionlabv1.NewAttestationServiceClient(r.conn)
	ask := func(ctx context.Context, nonce []byte) error {
		_, err := client.GetEvidence(as(ctx, ""), &bastionlabv1.GetEvidenceRequest{Nonce: nonce, Binding: bastionlabv1.Binding_BINDING_KEY})
		return err
	}
	waiting, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- ask(waiting, slowNonce[:]) }()
	nonce := make([]byte, attestation.NonceBytes)
	eventually(t, func() bool { return status.Code(ask(t.Context(), nonce)) == codes.Unavailable })
	leave()
	<-left
	eventually(t, func() bool { return ask(t.Context(), nonce) == nil })
}

// The exporters of older versions can be made to agree on two connections.
func TestNoOlderTLSIsSpoken(t *testing.T) {
	r := start(t, &fakes{})
	config := trusting(r.leaf)
	config.NextProtos = []string{"h2"}
	config.MaxVersion = tls.VersionTLS12
	if conn, err := tls.Dial("tcp", r.address, config); err == nil {
		conn.Close()
		t.Error("TLS 1.2 was spoken")
	}
}

// A resumed session would have keys that depend on an earlier connection's.
func TestNoSessionIsResumed(t *testing.T) {
	r := start(t, &fakes{})
	config := trusting(r.leaf)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	config.NextProtos = []string{"h2"}
	for range 2 {
		conn, err := tls.Dial("tcp", r.address, config)
		if err != nil {
			t.Fatal(err)
		}
		// Tickets come after the handshake, before the first answer.
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if conn.ConnectionState().DidResume {
			t.Error("the second connection resumed the first")
		}
		conn.Close()
	}
}
