package main

import (
	"bytes"
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// seen is everything that a person was sent: messages, status texts, trailers.
type seen struct {
	mu      sync.Mutex
	content bytes.Buffer
	count   int
}

func (s *seen) note(message any, trailer metadata.MD, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if message, ok := message.(proto.Message); ok {
		encoded, _ := proto.Marshal(message)
		s.content.Write(encoded)
	}
	for key, values := range trailer {
		for _, value := range values {
			s.content.WriteString(key + "=" + value)
		}
	}
	if err != nil {
		s.content.WriteString(err.Error())
	}
}

func (s *seen) contains(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Contains(s.content.Bytes(), []byte(text))
}

func (s *seen) unary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	var trailer metadata.MD
	err := invoke(ctx, method, request, reply, conn, append(options, grpc.Trailer(&trailer))...)
	s.note(reply, trailer, err)
	return err
}

func (s *seen) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, options...)
	return seenStream{stream, s}, err
}

type seenStream struct {
	grpc.ClientStream
	seen *seen
}

func (s seenStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	s.seen.note(message, s.ClientStream.Trailer(), err)
	return err
}
