package server

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// codec decodes what clients send. It encodes as gRPC does.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(protocodec.Name)} }

// envelope is what the codec decodes into. A message that is refused is no error of the codec's: gRPC would answer by itself then, and
// its words are none of ours.
type envelope struct {
	message any
	refused error
}

func (c codec) Unmarshal(data mem.BufferSlice, into any) error {
	e, ok := into.(*envelope)
	if !ok {
		return c.CodecV2.Unmarshal(data, into)
	}
	message, ok := e.message.(proto.Message)
	if !ok {
		return fmt.Errorf("a request is decoded into %T, which is no message", e.message)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	e.refused = decode(buffer.ReadOnlyData(), message)
	return nil
}

// decode reads a request.
// SECURITY: fields that this release does not know are dropped here, for every request: some requests are kept and sent on to others, and what
// nobody looks at must not travel along. What is too large is refused before it is decoded, since a decoded message can take many
// times its size.
func decode(encoded []byte, into proto.Message) error {
	size := len(encoded)
	if _, upload := into.(*bastionlabv1.UploadDatasetRequest); upload {
		size -= batchBytes(encoded)
	}
	if size > maxRequestBytes {
		return refusal.New(refusal.InvalidArgument, "use the client of this server's release", "the message is larger than the %d bytes that one of its kind may have", maxRequestBytes)
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(encoded, into); err != nil {
		return refusal.New(refusal.InvalidArgument, "use the client of this server's release", "the message cannot be read: it is none of this protocol")
	}
	return nil
}

// batchBytes is how much of a part of a dataset upload is records. They are plain bytes, and the only large ones that a client sends.
func batchBytes(encoded []byte) int {
	const batchField = 2
	total := 0
	for len(encoded) > 0 {
		number, _, size := protowire.ConsumeField(encoded)
		if size < 0 {
			break // the rest cannot be read, as the decoder will find
		}
		if number == batchField {
			total += size
		}
		encoded = encoded[size:]
	}
	return total
}
