package server

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// meter is how much a connection brings at once, and then in a second.
type meter struct{ burst, perSecond int }

var (
	// strangers have not signed in on this connection: a sign-in takes about a KiB, and a health probe less.
	strangers = meter{64 << 10, 16 << 10}
	// known callers send requests, which are small, and say how much of an answer they have read.
	known = meter{2 << 20, 512 << 10}
)

// strangerTime is how long a connection may stay a stranger's. Probes of an orchestrator that keep theirs for longer open another.
const strangerTime = 2 * time.Minute

// meteredConn is a connection that is read no faster than its caller has reason to send. Uploads have no meter, only a pace to keep.
// SECURITY: gRPC holds the whole of a message before anybody sees it, up to the size of the largest of all kinds. What others can fill is
// bounded by their connections, this meter and the time that a request has to arrive.
type meteredConn struct {
	net.Conn
	place   *crowdedConn
	known   atomic.Bool
	uploads atomic.Int32
	asking  atomic.Bool // for evidence
	expiry  *time.Timer

	allowed meter
	left    int // how much may come without a wait
	since   time.Time
}

func newMeteredConn(conn net.Conn, place *crowdedConn, patience time.Duration) *meteredConn {
	c := &meteredConn{Conn: conn, place: place, allowed: strangers, left: strangers.burst, since: time.Now()}
	// SECURITY: strangers must not hold all the connections that the server takes.
	c.expiry = time.AfterFunc(patience, func() {
		if !c.known.Load() {
			conn.Close()
		}
	})
	return c
}

func (c *meteredConn) Close() error {
	c.expiry.Stop()
	return c.Conn.Close()
}

func (c *meteredConn) Read(into []byte) (int, error) {
	if c.uploads.Load() > 0 {
		return c.Conn.Read(into)
	}
	if c.allowed == strangers && c.known.Load() {
		c.allowed = known
		c.left += known.burst - strangers.burst
	}
	allowed := c.allowed
	// A quarter of a second's worth at once: no wait for the next is longer than that.
	n, err := c.Conn.Read(into[:min(len(into), allowed.perSecond/4)])
	now := time.Now()
	earned := now.Sub(c.since).Seconds() * float64(allowed.perSecond)
	c.left, c.since = int(min(float64(allowed.burst), float64(c.left)+earned))-n, now
	if c.left < 0 && c.uploads.Load() == 0 {
		time.Sleep(time.Duration(-c.left) * time.Second / time.Duration(allowed.perSecond))
	}
	return n, err
}

// meteredTLS makes metered connections, and lets a call find the one that it came on.
type meteredTLS struct {
	credentials.TransportCredentials
}

type meteredInfo struct {
	credentials.AuthInfo
	conn *meteredConn
}

func (m meteredTLS) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := m.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	place, _ := raw.(*crowdedConn)
	if place == nil {
		conn.Close()
		return nil, nil, fmt.Errorf("a connection without a place: %T", raw)
	}
	place.agreed()
	metered := newMeteredConn(conn, place, strangerTime)
	return metered, meteredInfo{info, metered}, nil
}

func (m meteredTLS) Clone() credentials.TransportCredentials {
	return meteredTLS{m.TransportCredentials.Clone()}
}

// connOf is the connection that a call came on; nil on the operator's socket, which has no meter.
func connOf(ctx context.Context) *meteredConn {
	if from, ok := peer.FromContext(ctx); ok {
		if info, ok := from.AuthInfo.(meteredInfo); ok {
			return info.conn
		}
	}
	return nil
}

// know says who has signed in on this connection.
func know(ctx context.Context, user string) error {
	conn := connOf(ctx)
	if conn == nil {
		return nil
	}
	if !conn.place.know(user) {
		return refusal.New(refusal.Unavailable, "close connections that you do not use, or try again later",
			"the server has as many connections as it takes, of you or of all")
	}
	conn.known.Store(true)
	return nil
}

// unmetered lets an upload that has its place come as fast as it can, until it has ended.
func unmetered(ctx context.Context) (ended func()) {
	conn := connOf(ctx)
	if conn == nil {
		return func() {}
	}
	conn.uploads.Add(1)
	return func() { conn.uploads.Add(-1) }
}

// askOnce lets a connection ask for evidence, one time after the other.
func askOnce(ctx context.Context) (release func(), free bool) {
	conn := connOf(ctx)
	if conn == nil {
		return func() {}, true
	}
	return func() { conn.asking.Store(false) }, conn.asking.CompareAndSwap(false, true)
}
