package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/server"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// person is somebody with a key and a connection, and every byte that the server sent to them.
type person struct {
	t     *testing.T
	conn  *grpc.ClientConn
	key   ed25519.PrivateKey
	token string
	user  string
	seen  *seen
	info  *bastionlabv1.Claims

	certificate *x509.Certificate
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicKeyOf(t *testing.T, key ed25519.PrivateKey) []byte {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// connect signs in, as the Python client does.
func connect(t *testing.T, address string, key ed25519.PrivateKey) *person {
	t.Helper()
	p := &person{t: t, key: key, seen: &seen{}}
	// SECURITY: as the client on loopback: whatever certificate comes is taken, and signed over.
	var leaf []byte
	probe, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	leaf = probe.ConnectionState().PeerCertificates[0].Raw
	probe.Close()
	certificate, err := x509.ParseCertificate(leaf)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	p.conn, err = grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "localhost"})),
		grpc.WithUnaryInterceptor(p.seen.unary), grpc.WithStreamInterceptor(p.seen.stream))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	p.signIn(certificate)
	return p
}

func (p *person) signIn(certificate *x509.Certificate) {
	p.t.Helper()
	sessions := bastionlabv1.NewSessionServiceClient(p.conn)
	hello, err := sessions.Hello(p.ctx(), &bastionlabv1.HelloRequest{ClientVersion: version.Number})
	if err != nil {
		p.t.Fatal(err)
	}
	public := publicKeyOf(p.t, p.key)
	p.certificate = certificate
	signed, err := sessions.SignIn(p.ctx(), &bastionlabv1.SignInRequest{
		PublicKey: public, Challenge: hello.GetChallenge(), Signature: ed25519.Sign(p.key, signInMessage(hello.GetChallenge(), certificate)), Binding: bastionlabv1.Binding_BINDING_KEY,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.token, p.user, p.info = signed.GetToken(), signed.GetUser(), p.claims()
}

// claims are what the server says of itself; its evidence is other tests' affair.
func (p *person) claims() *bastionlabv1.Claims {
	p.t.Helper()
	request := &bastionlabv1.GetEvidenceRequest{Nonce: make([]byte, 32), Binding: bastionlabv1.Binding_BINDING_KEY}
	evidence, err := bastionlabv1.NewAttestationServiceClient(p.conn).GetEvidence(p.ctx(), request)
	if err != nil {
		p.t.Fatal(err)
	}
	claims := &bastionlabv1.Claims{}
	if err := proto.Unmarshal(evidence.GetClaims(), claims); err != nil {
		p.t.Fatal(err)
	}
	return claims
}

// signInMessage is what session.proto says is signed, by the server's key.
func signInMessage(challenge []byte, certificate *x509.Certificate) []byte {
	digest := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return bytes.Join([][]byte{[]byte("bastionlab.v1 sign-in 2\x00"), challenge, {1}, digest[:], make([]byte, 32)}, nil)
}

func (p *person) ctx() context.Context {
	ctx := metadata.AppendToOutgoingContext(context.Background(), server.ProtocolKey, "1", server.ClientVersionKey, version.Number)
	if p.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+p.token)
	}
	return ctx
}

func (p *person) data() bastionlabv1.DatasetServiceClient {
	return bastionlabv1.NewDatasetServiceClient(p.conn)
}

func (p *person) models() bastionlabv1.ModelServiceClient {
	return bastionlabv1.NewModelServiceClient(p.conn)
}

func (p *person) runs() bastionlabv1.TrainingServiceClient {
	return bastionlabv1.NewTrainingServiceClient(p.conn)
}

// refused returns the typed refusal in a call's trailer.
func refused(trailer metadata.MD) *refusal.Error {
	values := trailer.Get(server.ErrorTrailer)
	detail := &bastionlabv1.ErrorDetail{}
	if len(values) != 1 || proto.Unmarshal([]byte(values[0]), detail) != nil {
		return nil
	}
	found := &refusal.Error{Kind: refusal.Kind(detail.GetKind()), What: detail.GetWhat(), Spent: detail.GetSpent(), Next: detail.GetNext()}
	if budget := detail.GetBudget(); budget != nil {
		found.Budget = &refusal.Budget{
			LimitNano: budget.GetLimitNano(), SpentNano: budget.GetSpentNano(), RequestedNano: budget.GetRequestedNano(), RemainingNano: budget.GetRemainingNano(),
		}
	}
	if check := detail.GetCheck(); check != nil {
		found.Check = &refusal.Check{Name: check.GetCheck(), Expected: check.GetExpected(), Seen: check.GetSeen()}
	}
	return found
}

const declared = 64

var schema = &bastionlabv1.Schema{
	Inputs: []*bastionlabv1.TensorSpec{{Name: "x", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{4}}},
	Label:  &bastionlabv1.TensorSpec{Name: "label", Dtype: bastionlabv1.DType_DTYPE_I64},
}

// parts is a dataset upload of 64 records, whose first input holds what is given.
func parts(name string, limit float64, planted string) []*bastionlabv1.UploadDatasetRequest {
	inputs := make([]byte, declared*4*4)
	copy(inputs, planted)
	labels := make([]byte, declared*8)
	for i := range declared {
		binary.LittleEndian.PutUint64(labels[8*i:], uint64(i%3))
	}
	var file bytes.Buffer
	err := safetensors.Write(&file, []safetensors.Tensor{
		{Name: "input.x", DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{declared, 4}, Data: inputs},
		{Name: "label", DType: bastionlabv1.DType_DTYPE_I64, Shape: []int64{declared}, Data: labels},
	})
	if err != nil {
		panic(err)
	}
	header := &bastionlabv1.UploadDatasetHeader{Name: name, Schema: schema, Records: declared}
	if limit != 0 {
		header.PrivacyLimit = &limit
	}
	digest := sha256.Sum256(file.Bytes())
	all := sha256.Sum256(digest[:])
	return []*bastionlabv1.UploadDatasetRequest{
		{Part: &bastionlabv1.UploadDatasetRequest_Header{Header: header}},
		{Part: &bastionlabv1.UploadDatasetRequest_Batch{Batch: &bastionlabv1.RecordBatch{Count: declared, Safetensors: file.Bytes(), Sha256: digest[:]}}},
		{Part: &bastionlabv1.UploadDatasetRequest_Trailer{Trailer: &bastionlabv1.UploadDatasetTrailer{Records: declared, Sha256: all[:]}}},
	}
}

func (p *person) sendDataset(parts []*bastionlabv1.UploadDatasetRequest) (*bastionlabv1.Dataset, metadata.MD, error) {
	p.t.Helper()
	stream, err := p.data().UploadDataset(p.ctx())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, part := range parts {
		if err := stream.Send(part); err != nil && !errors.Is(err, io.EOF) {
			p.t.Fatal(err)
		}
	}
	response, err := stream.CloseAndRecv()
	return response.GetDataset(), stream.Trailer(), err
}

func (p *person) upload(name string, limit float64) *bastionlabv1.Dataset {
	p.t.Helper()
	dataset, _, err := p.sendDataset(parts(name, limit, ""))
	if err != nil {
		p.t.Fatal(err)
	}
	return dataset
}

// archive is the outside of a TorchScript archive; the fake intake looks no further.
func archive(t *testing.T) []byte {
	t.Helper()
	var file bytes.Buffer
	writer := zip.NewWriter(&file)
	for _, member := range []string{"data.pkl", "constants.pkl", "version", "code/__torch__.py"} {
		content := []byte("content of " + member)
		entry, err := writer.CreateRaw(&zip.FileHeader{Name: "m/" + member, Method: zip.Store, CRC32: crc32.ChecksumIEEE(content),
			CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func modelParts(dataset, loss string, content []byte) []*bastionlabv1.UploadModelRequest {
	digest := sha256.Sum256(content)
	return []*bastionlabv1.UploadModelRequest{
		{Part: &bastionlabv1.UploadModelRequest_Header{Header: &bastionlabv1.UploadModelHeader{Name: "m", DatasetId: dataset, Loss: loss, ArchiveBytes: int64(len(content))}}},
		{Part: &bastionlabv1.UploadModelRequest_Chunk{Chunk: content}},
		{Part: &bastionlabv1.UploadModelRequest_Trailer{Trailer: &bastionlabv1.UploadModelTrailer{Sha256: digest[:]}}},
	}
}

func (p *person) sendModel(parts []*bastionlabv1.UploadModelRequest) (*bastionlabv1.UploadModelResponse, metadata.MD, error) {
	p.t.Helper()
	stream, err := p.models().UploadModel(p.ctx())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, part := range parts {
		if err := stream.Send(part); err != nil && !errors.Is(err, io.EOF) {
			p.t.Fatal(err)
		}
	}
	response, err := stream.CloseAndRecv()
	return response, stream.Trailer(), err
}

func (p *person) uploadModel(dataset string) string {
	p.t.Helper()
	response, trailer, err := p.sendModel(modelParts(dataset, "cross_entropy", archive(p.t)))
	if err != nil {
		p.t.Fatalf("%v, %v", err, refused(trailer))
	}
	return response.GetModelId()
}

func request(model, dataset string, eps float64) *bastionlabv1.TrainingRequest {
	r := &bastionlabv1.TrainingRequest{
		ModelId: model, DatasetId: dataset, NbEpochs: 2, BatchSize: proto.Int64(8), MaxBatchSize: 4, MaxGradNorm: 1,
		Optimizer: &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Adam{Adam: &bastionlabv1.Adam{Lr: 5e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}}},
	}
	if eps != 0 {
		r.Epsilon = &eps
	}
	return r
}

func (p *person) start(r *bastionlabv1.TrainingRequest) *bastionlabv1.Run {
	p.t.Helper()
	run, err := p.runs().StartTraining(p.ctx(), &bastionlabv1.StartTrainingRequest{Request: r})
	if err != nil {
		p.t.Fatal(err)
	}
	return run
}

// wait watches a run until it has ended, or waits for the owner of its dataset.
func (p *person) wait(run string) *bastionlabv1.Run {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx(), 30*time.Second)
	defer cancel()
	stream, err := p.runs().WatchRun(ctx, &bastionlabv1.WatchRunRequest{Id: run})
	if err != nil {
		p.t.Fatal(err)
	}
	var last *bastionlabv1.Run
	for {
		state, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if last = state; state.GetStatus() == bastionlabv1.RunStatus_RUN_STATUS_WAITING {
			return last
		}
	}
}

// download returns the weights, checked against their announced size and digest.
func (p *person) download(run string) ([]byte, metadata.MD, error) {
	p.t.Helper()
	stream, err := p.runs().DownloadWeights(p.ctx(), &bastionlabv1.DownloadWeightsRequest{RunId: run})
	if err != nil {
		p.t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, stream.Trailer(), err
	}
	var content []byte
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, stream.Trailer(), err
		}
		content = append(content, message.GetChunk()...)
	}
	digest := sha256.Sum256(content)
	if first.GetHeader().GetSizeBytes() != int64(len(content)) || !bytes.Equal(digest[:], first.GetHeader().GetSha256()) {
		p.t.Error("the weights are not those that were announced")
	}
	return content, nil, nil
}

func (p *person) spent(dataset string) float64 {
	p.t.Helper()
	budget, err := p.data().GetBudget(p.ctx(), &bastionlabv1.GetBudgetRequest{DatasetId: dataset})
	if err != nil {
		p.t.Fatal(err)
	}
	return float64(budget.GetSpentNano()) / 1e9
}

// charged is the sum of what runs are charged; what is spent may be less, by a filter that counts better.
func (p *person) charged(dataset string) float64 {
	p.t.Helper()
	budget, err := p.data().GetBudget(p.ctx(), &bastionlabv1.GetBudgetRequest{DatasetId: dataset})
	if err != nil {
		p.t.Fatal(err)
	}
	sum := int64(0)
	for _, run := range budget.GetRuns() {
		sum += run.GetEpsilonNano()
	}
	return float64(sum) / 1e9
}
