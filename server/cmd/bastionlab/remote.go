package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/server"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// remote is a command that somebody gives as the holder of a key. The operator's socket names no owner, and running the machine is no
// right to decide for one.
type remote struct {
	local
	connect, identity string
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
	addresses, err := loopbackAddresses(r.connect)
	if err != nil {
		return err
	}
	seen := &shown{}
	conn, err := grpc.NewClient("passthrough:"+r.connect, grpc.WithTransportCredentials(credentials.NewTLS(seen.config())), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dialAny(ctx, addresses) }))
	if err != nil {
		return fmt.Errorf("make a connection: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(command.Context(), callTime)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, server.ProtocolKey, fmt.Sprint(server.Protocol), server.ClientVersionKey, version.Number)
	var trailer metadata.MD
	token, err := signIn(ctx, conn, key, seen, grpc.Trailer(&trailer))
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

func signIn(ctx context.Context, conn *grpc.ClientConn, key crypto.Signer, seen *shown, trailer grpc.CallOption) (string, error) {
	sessions := bastionlabv1.NewSessionServiceClient(conn)
	hello, err := sessions.Hello(ctx, &bastionlabv1.HelloRequest{ClientVersion: version.Number}, trailer)
	if err != nil {
		return "", err
	}
	// SECURITY: the signature binds the server's key that was seen here, so that a relay that shows another one cannot pass it on.
	publicKey, signature, err := identity.Sign(key, hello.GetChallenge(), bastionlabv1.Binding_BINDING_KEY, seen.sha256(), [32]byte{})
	if err != nil {
		return "", err
	}
	answer, err := sessions.SignIn(ctx, &bastionlabv1.SignInRequest{
		PublicKey: publicKey, Signature: signature, Challenge: hello.GetChallenge(), Binding: bastionlabv1.Binding_BINDING_KEY,
	}, trailer)
	return answer.GetToken(), err
}

// shown is the key that the server showed first, and the only one that is taken then.
type shown struct {
	mu        sync.Mutex
	publicKey []byte // SubjectPublicKeyInfo, DER
}

func (s *shown) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: "localhost",
		// SECURITY: a server cannot prove yet what code it runs. Only the loopback interface is trusted to have delivered its certificate.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			publicKey := state.PeerCertificates[0].RawSubjectPublicKeyInfo
			if s.publicKey != nil && string(s.publicKey) != string(publicKey) {
				return errors.New("the server shows another key than before")
			}
			s.publicKey = publicKey
			return nil
		},
	}
}

func (s *shown) sha256() [sha256.Size]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sha256.Sum256(s.publicKey)
}

// loopbackAddresses refuses every host but this machine, as the Python client does.
func loopbackAddresses(connect string) ([]string, error) {
	host, port, err := net.SplitHostPort(connect)
	if err != nil {
		host, port = connect, defaultPort
	}
	switch host {
	case "localhost":
		return []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}, nil
	case "127.0.0.1", "::1":
		return []string{net.JoinHostPort(host, port)}, nil
	}
	return nil, refusal.New(refusal.InvalidArgument, "forward the port, for example with ssh -L, if you trust the way there, and connect to localhost",
		"a server cannot prove yet what code it runs, so this release speaks to localhost, 127.0.0.1 and ::1 only, not to %q", host)
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
