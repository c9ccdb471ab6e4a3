package server

import (
	"container/list"
	"net"
	"sync"
)

// crowd is all connections of the network: those of callers who signed in, and of strangers.
// SECURITY: strangers must not keep others out. However many come, the newest is taken and the oldest stranger's is closed: an honest
// caller signs in within a round trip or two, while who opens connections only to hold them loses them to themselves. Callers who signed in keep theirs,
// each so many.
type crowd struct {
	maxStrangers, maxKnown, maxOfUser int

	mu        sync.Mutex
	strangers list.List // of *crowdedConn, oldest first
	known     int
	ofUser    map[string]int
}

func newCrowd(strangers, known, ofUser int) *crowd {
	return &crowd{maxStrangers: strangers, maxKnown: known, maxOfUser: ofUser, ofUser: map[string]int{}}
}

// crowdedConn is a connection with its place in the crowd.
type crowdedConn struct {
	net.Conn
	crowd *crowd

	// Guarded by the crowd's lock.
	place  *list.Element // while a stranger's
	user   string        // once known
	closed bool
}

// admit gives a connection its place, at the expense of the oldest stranger where there is none left.
func (c *crowd) admit(conn net.Conn) *crowdedConn {
	admitted := &crowdedConn{Conn: conn, crowd: c}
	c.mu.Lock()
	admitted.place = c.strangers.PushBack(admitted)
	var oldest *crowdedConn
	if c.strangers.Len() > c.maxStrangers {
		oldest = c.strangers.Front().Value.(*crowdedConn)
	}
	c.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	return admitted
}

// know says whose the connection is; false where there is no place for another one of that user.
func (conn *crowdedConn) know(user string) bool {
	c := conn.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case conn.closed:
		return false
	case conn.place == nil:
		return true // whoever was first; another user on the same connection is one more call on it
	case c.known >= c.maxKnown || c.ofUser[user] >= c.maxOfUser:
		return false
	}
	c.strangers.Remove(conn.place)
	conn.place, conn.user = nil, user
	c.known++
	c.ofUser[user]++
	return true
}

// Close gives the place back.
func (conn *crowdedConn) Close() error {
	conn.crowd.leave(conn)
	return conn.Conn.Close()
}

func (c *crowd) leave(conn *crowdedConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case conn.closed:
		return
	case conn.place != nil:
		c.strangers.Remove(conn.place)
	default:
		c.known--
		if c.ofUser[conn.user]--; c.ofUser[conn.user] == 0 {
			delete(c.ofUser, conn.user)
		}
	}
	conn.closed, conn.place = true, nil
}

// crowdedListener gives every connection its place.
type crowdedListener struct {
	net.Listener
	crowd *crowd
}

func (l crowdedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.crowd.admit(conn), nil
}
