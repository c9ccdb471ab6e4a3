package server

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// Observer hears what happened, in words of fixed sets: nothing of a request, and nobody's name.
type Observer interface {
	// Called hears of every call when it has ended. outcome is "ok" or what the audit log gives as the reason.
	Called(action, outcome string, began time.Time)
	// Limited hears that one of Limits kept somebody out.
	Limited(limit string)
}

// The limits that an Observer hears of.
const (
	limitCallsOfUser   = "calls_of_user"
	limitUploads       = "uploads"
	limitUploadsOfUser = "uploads_of_user"
	limitConnections   = "connections"
)

// Limits are all of them.
func Limits() []string {
	return []string{limitCallsOfUser, limitUploads, limitUploadsOfUser, limitConnections}
}

// Actions are all methods as an Observer hears of them.
func Actions() []string {
	actions := []string{unknownAction}
	for method := range weights {
		actions = append(actions, actionOf(method))
	}
	return actions
}

// Outcomes are all that a call can end with.
func Outcomes() []string {
	outcomes := []string{outcomeOK}
	for kind := range codeOf {
		outcomes = append(outcomes, kindWord(bastionlabv1.ErrorDetail_Kind(kind)))
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ { // where the caller had gone, or gRPC answered
		if word := snake(code.String()); !slices.Contains(outcomes, word) {
			outcomes = append(outcomes, word)
		}
	}
	return outcomes
}

type nobody struct{}

func (nobody) Called(string, string, time.Time) {}
func (nobody) Limited(string)                   {}

const outcomeOK = "ok"

func outcomeOf(ctx context.Context, err error) string {
	if err == nil {
		return outcomeOK
	}
	return reasonOf(ctx, err)
}

// Figures is what goes on at a moment.
type Figures struct {
	Ready       bool
	Calls       int            // under way
	Connections map[string]int // of the network, by how far they have come
	Uploads     int            // under way
	Resting     int            // of those, without a stream
}

// Figures counts.
func (s *Server) Figures() Figures {
	f := Figures{Calls: s.drain.underWay(), Connections: s.crowd.count(), Ready: s.ready.Load()}
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	f.Uploads, f.Resting = s.uploads.taken, len(s.uploads.waiting)
	return f
}

func (c *crowd) count() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return map[string]int{"arriving": c.arriving.Len(), "stranger": c.strangers.Len(), "known": c.known}
}
