package server

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// asStreams registers every method as a stream, also those of one request and one answer: as a stream of answers that has one. On the
// wire the two are the same.
// SECURITY: gRPC reads and decodes a unary call's request before any interceptor sees the call, so that a caller without a token could
// fill the memory. Of a stream nothing is read before the gate let it pass and the handler asks.
type asStreams struct{ *grpc.Server }

func (s asStreams) RegisterService(service *grpc.ServiceDesc, implementation any) {
	described := *service
	described.Methods = nil
	described.Streams = append([]grpc.StreamDesc(nil), service.Streams...)
	for _, method := range service.Methods {
		described.Streams = append(described.Streams, grpc.StreamDesc{StreamName: method.MethodName, Handler: oneAnswer(method), ServerStreams: true})
	}
	s.Server.RegisterService(&described, implementation)
}

func oneAnswer(method grpc.MethodDesc) grpc.StreamHandler {
	return func(implementation any, stream grpc.ServerStream) error {
		answer, err := method.Handler(implementation, stream.Context(), stream.RecvMsg, nil)
		if err != nil {
			return err
		}
		if err := stream.SendMsg(answer); err != nil {
			return transportError{err}
		}
		return nil
	}
}

// gatedStream is a stream whose context knows the caller, and whose messages are read with this server's codec.
type gatedStream struct {
	grpc.ServerStream
	ctx  context.Context
	wait time.Duration // for the one request of the call; 0: an upload, which has its own clock
	note *note         // for the audit log
}

func (s gatedStream) Context() context.Context { return s.ctx }

func (s gatedStream) RecvMsg(into any) error {
	if s.wait == 0 {
		return s.receive(into)
	}
	// SECURITY: a request that trickles in holds memory.
	_, err := within(s.ctx, s.wait, func() (struct{}, error) { return struct{}{}, s.receive(into) })
	return err
}

// SendMsg lets nothing leave before it is noted that it does.
func (s gatedStream) SendMsg(message any) error {
	if err := s.note.answer(message); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(message)
}

func (s gatedStream) receive(into any) error {
	e := &envelope{message: into}
	if err := s.ServerStream.RecvMsg(e); err != nil {
		return transportErrorOf(err)
	}
	if e.refused == nil {
		s.note.request(into)
	}
	return e.refused
}
