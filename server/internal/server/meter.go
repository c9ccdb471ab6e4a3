package server

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// A connection on which nobody has signed in yet brings this much at once, and then this much in a second. A sign-in takes about a KiB, and
// a health probe less.
const (
	meterBurst     = 64 << 10
	meterPerSecond = 16 << 10
	meterRead      = 4 << 10 // at once: no wait for the next is longer than a moment
)

// meteredConn is a connection that is read slowly until a call on it has shown a token.
// SECURITY: the calls without a token must be read to be answered, and gRPC holds the whole of a message before anybody sees it. What
// strangers can fill is bounded by the time that a request has to arrive, their connections and this pace.
type meteredConn struct {
	net.Conn
	known atomic.Bool
	left  int // how much may come without a wait
	since time.Time
}

func (c *meteredConn) Read(into []byte) (int, error) {
	if c.known.Load() {
		return c.Conn.Read(into)
	}
	n, err := c.Conn.Read(into[:min(len(into), meterRead)])
	now := time.Now()
	earned := now.Sub(c.since).Seconds() * meterPerSecond
	c.left, c.since = int(min(meterBurst, float64(c.left)+earned))-n, now
	if c.left < 0 && !c.known.Load() {
		time.Sleep(time.Duration(-c.left) * time.Second / meterPerSecond)
	}
	return n, err
}

// meteredTLS makes metered connections, and lets the gate find the one that a call came on.
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
	metered := &meteredConn{Conn: conn, left: meterBurst, since: time.Now()}
	return metered, meteredInfo{info, metered}, nil
}

func (m meteredTLS) Clone() credentials.TransportCredentials {
	return meteredTLS{m.TransportCredentials.Clone()}
}

// know ends the metering of the connection that a call came on: its caller has shown a token.
func know(ctx context.Context) {
	if from, ok := peer.FromContext(ctx); ok {
		if info, ok := from.AuthInfo.(meteredInfo); ok {
			info.conn.known.Store(true)
		}
	}
}
