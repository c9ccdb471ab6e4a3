package server

import (
	"context"
	"fmt"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// channelOf is the connection that a call came on, as evidence is bound to it. key is the server's.
func channelOf(ctx context.Context, binding bastionlabv1.Binding, key []byte) (attestation.Channel, error) {
	channel := attestation.Channel{PublicKey: key, Binding: binding}
	switch binding {
	case bastionlabv1.Binding_BINDING_KEY:
		return channel, nil
	case bastionlabv1.Binding_BINDING_EXPORTER:
		var err error
		channel.Exporter, err = exporterOf(ctx)
		return channel, err
	}
	return channel, refusal.New(refusal.InvalidArgument, "use the client of this server's release", "there is no binding %d", binding)
}

// exporterOf is what this very connection has in common with nobody else (RFC 9266).
func exporterOf(ctx context.Context) (exporter [attestation.ExporterBytes]byte, err error) {
	from, _ := peer.FromContext(ctx)
	metered, ok := from.AuthInfo.(meteredInfo)
	if !ok {
		return exporter, fmt.Errorf("the call came on no connection of the network: %T", from.AuthInfo)
	}
	secure, ok := metered.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return exporter, fmt.Errorf("the connection is no TLS connection: %T", metered.AuthInfo)
	}
	// SECURITY: TLS 1.3 only, as the server speaks it: the exporters of older versions can be made to agree on two connections.
	return attestation.ExporterOf(secure.State)
}
