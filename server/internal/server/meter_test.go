package server

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// flooded is a connection on which the other side sends whatever is taken, and a context of a call on it.
func flooded(t *testing.T) (*meteredConn, context.Context) {
	t.Helper()
	here, there := net.Pipe()
	place := newCrowd(1, 1, 1).admit(here)
	conn := newMeteredConn(place, place, time.Hour)
	t.Cleanup(func() { conn.Close() })
	go func() {
		for chunk := make([]byte, 64<<10); ; {
			if _, err := there.Write(chunk); err != nil {
				return
			}
		}
	}()
	return conn, peer.NewContext(context.Background(), &peer.Peer{AuthInfo: meteredInfo{conn: conn}})
}

func take(t *testing.T, conn net.Conn, bytes int) time.Duration {
	t.Helper()
	started := time.Now()
	if _, err := io.CopyN(io.Discard, conn, int64(bytes)); err != nil {
		t.Fatal(err)
	}
	return time.Since(started)
}

func TestAConnectionIsReadNoFasterThanItsCallerHasReasonToSend(t *testing.T) {
	conn, ctx := flooded(t)
	if took := take(t, conn, strangers.burst+strangers.perSecond/2); took < 300*time.Millisecond {
		t.Errorf("half a second's worth of a stranger took %s", took)
	}
	if err := know(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if took := take(t, conn, known.burst/2); took > 30*time.Second {
		t.Errorf("a minute's worth of a stranger took somebody known %s", took)
	}
	if took := take(t, conn, known.burst/2+known.perSecond/2); took < 300*time.Millisecond {
		t.Errorf("half a second's worth took %s", took)
	}
	first, second := unmetered(ctx), unmetered(ctx)
	first()
	if took := take(t, conn, 64<<20); took > time.Minute { // two minutes' worth
		t.Errorf("64 MiB of an upload took %s", took)
	}
	second()
	if took := take(t, conn, known.perSecond*2); took < 300*time.Millisecond {
		t.Errorf("after the upload, two seconds' worth took %s", took)
	}
}

func TestAStrangersConnectionIsClosedInTime(t *testing.T) {
	for name, signsIn := range map[string]bool{"a stranger": false, "somebody who signs in": true} {
		here, there := net.Pipe()
		place := newCrowd(1, 1, 1).admit(here)
		conn := newMeteredConn(place, place, 50*time.Millisecond)
		if signsIn {
			if err := know(peer.NewContext(context.Background(), &peer.Peer{AuthInfo: meteredInfo{conn: conn}}), "alice"); err != nil {
				t.Fatal(err)
			}
		}
		_ = there.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := there.Read(make([]byte, 1))
		if closed := err == io.EOF; closed == signsIn {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
		there.Close()
	}
}

// The server's own connections are metered, and which meter they have is decided by its calls.
func TestStrangersAreMetered(t *testing.T) {
	s := start(t, &fakes{upload: &fakeUpload{}})
	client := bastionlabv1.NewSessionServiceClient(s.conn)
	hello := func(bytes int) time.Duration {
		t.Helper()
		request := &bastionlabv1.HelloRequest{}
		request.ProtoReflect().SetUnknown(unknown(bytes))
		started := time.Now()
		if _, err := client.Hello(as(context.Background(), ""), request); err != nil {
			t.Fatal(err)
		}
		return time.Since(started)
	}
	if _, err := grpc_health_v1.NewHealthClient(s.conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	if took := hello(strangers.burst + strangers.perSecond/2); took < 300*time.Millisecond {
		t.Errorf("a stranger's took %s", took)
	}
	if _, err := client.SignIn(as(context.Background(), ""), &bastionlabv1.SignInRequest{Signature: make([]byte, 32)}); err == nil {
		t.Fatal("it is signed in")
	}
	if took := hello(strangers.perSecond / 2); took < 300*time.Millisecond {
		t.Errorf("after a sign-in that was refused it took %s", took)
	}
	if _, err := bastionlabv1.NewTrainingServiceClient(s.conn).CancelRun(as(context.Background(), goodToken), &bastionlabv1.CancelRunRequest{}); err != nil {
		t.Fatal(err)
	}
	if took := hello(maxRequestBytes - 100); took > time.Minute { // two minutes' worth of a stranger
		t.Errorf("after a call with a token it took %s", took)
	}
	if took := hello(known.perSecond); took < 300*time.Millisecond { // the burst is used up
		t.Errorf("a second's worth took %s", took)
	}
	stream, err := bastionlabv1.NewDatasetServiceClient(s.conn).UploadDataset(as(context.Background(), goodToken))
	if err != nil {
		t.Fatal(err)
	}
	batch := &bastionlabv1.UploadDatasetRequest{Part: &bastionlabv1.UploadDatasetRequest_Batch{Batch: &bastionlabv1.RecordBatch{Safetensors: make([]byte, 16<<20)}}}
	started := time.Now()
	for _, part := range []*bastionlabv1.UploadDatasetRequest{datasetHeader, batch, batch, batch, batch, datasetTrailer} {
		if err := stream.Send(part); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil || time.Since(started) > time.Minute { // two minutes' worth
		t.Errorf("an upload: %v after %s", err, time.Since(started))
	}
}

func TestASignInMakesAConnectionKnown(t *testing.T) {
	s := start(t, &fakes{})
	client := bastionlabv1.NewSessionServiceClient(s.conn)
	if _, err := client.SignIn(as(context.Background(), ""), &bastionlabv1.SignInRequest{Signature: signatureOn(s.leaf)}); err != nil {
		t.Fatal(err)
	}
	request := &bastionlabv1.HelloRequest{}
	request.ProtoReflect().SetUnknown(unknown(maxRequestBytes - 100))
	started := time.Now()
	if _, err := client.Hello(as(context.Background(), ""), request); err != nil || time.Since(started) > time.Minute {
		t.Errorf("%v after %s", err, time.Since(started))
	}
}
