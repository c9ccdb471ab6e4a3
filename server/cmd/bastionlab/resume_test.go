package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// cutting passes bytes on to a server, and drops the connection after so many from the client.
type cutting struct {
	net.Listener
	server string
	left   atomic.Int64
}

func cutBefore(t *testing.T, server string) *cutting {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutting{Listener: listener, server: server}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go c.pass(client)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return c
}

func (c *cutting) pass(client net.Conn) {
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		client.Close()
		return
	}
	go func() { _, _ = io.Copy(client, server); client.Close() }()
	buffer := make([]byte, 512)
	for {
		n, err := client.Read(buffer)
		if err != nil || c.left.Add(-int64(n)) < 0 {
			client.Close()
			server.Close()
			return
		}
		_, _ = server.Write(buffer[:n])
	}
}

// batches are 64 records in eight batches, and their trailer.
func batches(t *testing.T) (all []*bastionlabv1.UploadDatasetRequest, trailer *bastionlabv1.UploadDatasetRequest) {
	t.Helper()
	digests := sha256.New()
	for i := range 8 {
		inputs, labels := make([]byte, 8*16), make([]byte, 8*8)
		for j := range inputs {
			inputs[j] = byte(i*31+j) &^ 0x80
		}
		var file bytes.Buffer
		err := safetensors.Write(&file, []safetensors.Tensor{
			{Name: "input.x", DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{8, 4}, Data: inputs},
			{Name: "label", DType: bastionlabv1.DType_DTYPE_I64, Shape: []int64{8}, Data: labels},
		})
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256(file.Bytes())
		digests.Write(digest[:])
		all = append(all, &bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Batch{Batch: &bastionlabv1.RecordBatch{Count: 8, Safetensors: file.Bytes(), Sha256: digest[:]}}})
	}
	return all, &bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Trailer{Trailer: &bastionlabv1.UploadDatasetTrailer{Records: 64, Sha256: digests.Sum(nil)}}}
}

// send brings an upload from a batch on, and returns what became of it.
func (p *person) send(ctx context.Context, id string, after int, all []*bastionlabv1.UploadDatasetRequest, trailer *bastionlabv1.UploadDatasetRequest) (*bastionlabv1.UploadDatasetResponse, error) {
	limit := 6.0
	header := &bastionlabv1.UploadDatasetHeader{Name: "d", Schema: schema, Records: 64, PrivacyLimit: &limit, UploadId: id, AfterBatches: int64(after)}
	stream, err := p.data().UploadDataset(ctx)
	if err != nil {
		return nil, err
	}
	parts := append([]*bastionlabv1.UploadDatasetRequest{{Part: &bastionlabv1.UploadDatasetRequest_Header{Header: header}}}, all[after:]...)
	for _, part := range append(parts, trailer) {
		if err := stream.Send(part); err != nil {
			break // the answer says why
		}
		time.Sleep(time.Millisecond) // each goes in a TLS record of its own
	}
	return stream.CloseAndRecv()
}

// An upload whose connection is dropped, at whatever byte, goes on over another, and becomes a dataset: its trailer holds for
// all batches in order. Nothing is uploaded twice: there is one dataset and one account.
func TestAnUploadGoesOnAfterItsConnectionDied(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	all, trailer := batches(t)
	cuts, whole := 0, 0
	for i := range 24 {
		proxy := cutBefore(t, n.address)
		proxy.left.Store(1 << 40)
		owner := connect(t, proxy.Addr().String(), newKey(t))
		id := fmt.Sprintf("%032x", i+1)
		if i == 0 {
			id = "" // the measure of the others
		} else {
			proxy.left.Store(int64(150 + 170*i))
		}
		answer, err := owner.send(owner.ctx(), id, 0, all, trailer)
		for err != nil {
			cuts++
			proxy.left.Store(1 << 40)
			again := connect(t, n.address, owner.key)
			var held *bastionlabv1.UploadStanding
			for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) { // the server may not have noticed yet
				if held, err = again.data().GetUpload(again.ctx(), &bastionlabv1.GetUploadRequest{UploadId: id}); err != nil {
					t.Fatal(err)
				}
				if held.GetRecords() != 8*held.GetBatches() {
					t.Fatalf("it holds %v", held)
				}
				if answer, err = again.send(again.ctx(), id, int(held.GetBatches()), all, trailer); err == nil {
					whole += int(held.GetBatches())
					break
				}
			}
			if err != nil {
				t.Fatalf("cut %d: %v, holding %v", i, err, held)
			}
			owner = again
		}
		owner = connect(t, n.address, owner.key) // its connection may have died after the answer
		listed, err := owner.data().ListDatasets(owner.ctx(), &bastionlabv1.ListDatasetsRequest{})
		mine := 0
		for _, d := range listed.GetDatasets() {
			if d.GetMine() {
				mine++
			}
		}
		if err != nil || mine != 1 || len(answer.GetLineage().GetJoined()) != 0 {
			t.Errorf("cut %d: %d datasets, %v, %v", i, mine, answer.GetLineage(), err)
		}
		opened, err := receipt.Decode(answer.GetReceipts()[0].GetBody())
		if err != nil || opened.Type != receipt.Open {
			t.Errorf("cut %d: %+v, %v", i, opened, err)
		}
	}
	if cuts < 10 || whole < 20 {
		t.Errorf("%d uploads were cut, %d batches were not sent again", cuts, whole)
	}
}
