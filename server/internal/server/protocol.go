package server

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// Protocol is the number that client and server must share: the major of their versions, which a test holds. It alone decides whether they
// are refused. Minor versions that are far apart are named, by the client to its user and by the server in its log.
const Protocol = 1

// What every call carries besides its token.
const (
	ProtocolKey      = "bastionlab-protocol"
	ClientVersionKey = "bastionlab-client"
)

// checkProtocol refuses a client that speaks another protocol, or does not say which, before any of its messages is understood.
func checkProtocol(md metadata.MD) error {
	values := md.Get(ProtocolKey)
	if len(values) == 0 {
		return versionMismatch("the client does not say which protocol it speaks")
	}
	if number, err := strconv.Atoi(values[0]); err != nil || len(values) > 1 || number != Protocol {
		return versionMismatch(fmt.Sprintf("the client speaks protocol %s", printable(strings.Join(values, ", "), 32)))
	}
	return nil
}

// refuseUnknownMethod answers every method that this server does not have, those of the first product included.
func refuseUnknownMethod(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return versionMismatch(fmt.Sprintf("there is no method %s", printable(method, maxNameBytes)))
}

func versionMismatch(what string) error {
	next := fmt.Sprintf("install the Python client of BastionLab %s, from the release that this server came from", version.Number)
	return refusal.New(refusal.VersionMismatch, next, "%s; this server is BastionLab %s and speaks protocol %d", what, version.Number, Protocol)
}

// clientVersion is what a client says of itself, for the log.
func clientVersion(md metadata.MD) string {
	values := md.Get(ClientVersionKey)
	if len(values) == 0 {
		return ""
	}
	return printable(values[0], maxClientVersionText)
}
