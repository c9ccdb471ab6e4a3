package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/server"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// remote is a command that somebody gives as the holder of a key. The operator's socket names no owner, and running the machine is no
// right to decide for one.
type remote struct {
	local
	connect, identity, policy string
}

// newRemoteCommand makes a command that asks a server one thing as the holder of a key, and prints the answer.
func newRemoteCommand[A proto.Message](use, about string, wanted cobra.PositionalArgs,
	ask func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (A, error), rows func(A) [][]string,
) *cobra.Command {
	var r remote
	command := &cobra.Command{Use: use, Short: about, Args: wanted}
	command.RunE = func(command *cobra.Command, arguments []string) error {
		return r.call(command, func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
			answer, err := ask(ctx, conn, arguments, trailer)
			if err != nil {
				return err
			}
			return r.print(command, answer, rows(answer))
		})
	}
	flags := command.Flags()
	flags.StringVar(&r.connect, "connect", "localhost", "the server, as HOST or HOST:PORT")
	flags.StringVar(&r.identity, "identity", "", "the file of the key, as the Python client keeps it (default.pem of its identities)")
	flags.StringVar(&r.policy, "policy", "", "the file of what the server must prove (default: simulated evidence is taken of this machine only; \"simulated\": of any)")
	flags.BoolVar(&r.json, "json", false, "print JSON")
	return command
}

// call connects, signs in, makes one call and turns what the server says into what a command returns.
func (r *remote) call(command *cobra.Command, do func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error) error {
	if r.identity == "" {
		return usageError(command, "--identity is missing: the key of the dataset's owner")
	}
	key, err := readIdentity(r.identity)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(command.Context(), callTime)
	defer cancel()
	addresses, loopback, err := addressesOf(ctx, r.connect)
	if err != nil {
		return err
	}
	policy, err := policyFor(r.policy, loopback)
	if err != nil {
		return err
	}
	l := &link{addresses: addresses}
	conn, err := grpc.NewClient("passthrough:"+r.connect, grpc.WithTransportCredentials(l.tls()), takeAnswers, grpc.WithNoProxy(), grpc.WithContextDialer(l.dial))
	if err != nil {
		return fmt.Errorf("make a connection: %w", err)
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, server.ProtocolKey, fmt.Sprint(server.Protocol), server.ClientVersionKey, version.Number)
	var trailer metadata.MD
	var token string
	if err = l.prove(ctx, conn, policy, grpc.Trailer(&trailer)); err == nil {
		token, err = l.signIn(ctx, conn, key, grpc.Trailer(&trailer))
	}
	if err == nil {
		err = do(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), conn, grpc.Trailer(&trailer))
	}
	if err == nil {
		return nil
	}
	var here *refusal.Error
	if errors.As(err, &here) { // the command line itself was wrong
		return err
	}
	if refused := refusedBy(trailer); refused != nil {
		return refused
	}
	return refusal.New(refusal.Unavailable, "is the server running there?", "no answer from %s: %s", r.connect, err)
}

// addressesOf looks a name up, once: what it led to is what is spoken to. loopback says whether that is this machine alone.
func addressesOf(ctx context.Context, connect string) (addresses []string, loopback bool, err error) {
	host, port, err := net.SplitHostPort(connect)
	if err != nil {
		host, port = strings.Trim(connect, "[]"), defaultPort
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		return nil, false, refusal.New(refusal.Unavailable, "name the server with --connect HOST or HOST:PORT", "%q has no address: %v", host, err)
	}
	for _, ip := range found {
		addresses = append(addresses, net.JoinHostPort(ip.Unmap().String(), port))
	}
	return addresses, onlyLoopback(found), nil
}

// onlyLoopback says whether addresses are this machine's, all of them: which one will be spoken to is not known yet.
func onlyLoopback(addresses []netip.Addr) bool {
	return !slices.ContainsFunc(addresses, func(ip netip.Addr) bool { return !ip.Unmap().IsLoopback() })
}

func dialAny(ctx context.Context, addresses []string) (conn net.Conn, err error) {
	for _, address := range addresses {
		if conn, err = new(net.Dialer).DialContext(ctx, "tcp", address); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// readIdentity reads a key file of the Python client: PKCS8 in PEM, Ed25519 or P-256.
func readIdentity(path string) (crypto.Signer, error) {
	content, err := storage.ReadKeyFile(path)
	if err != nil {
		return nil, withFix(err, "name the key file with --identity")
	}
	// SECURITY: no error quotes the file.
	unusable := func(what string) error {
		return refusal.New(refusal.InvalidArgument, "decide in Python: client.torch.run(id).approve() or .deny(reason)", "the key file %s %s", path, what)
	}
	block, _ := pem.Decode(content)
	switch {
	case block == nil:
		return nil, unusable("is no PEM file")
	case block.Type == "ENCRYPTED PRIVATE KEY":
		return nil, unusable("is protected by a password, which this command cannot ask for")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, unusable("holds no private key in PKCS8")
	}
	switch key := parsed.(type) {
	case ed25519.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
	}
	return nil, unusable("holds neither an Ed25519 nor a P-256 key")
}
