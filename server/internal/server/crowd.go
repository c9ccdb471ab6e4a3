package server

import (
	"container/list"
	"net"
	"sync"
)

// crowd is all connections of the network: those that have not agreed on keys yet, those of strangers, and of callers who signed in.
// SECURITY: strangers must not keep others out. However many come, the newest is taken and the oldest of its kind is closed: an honest
// caller agrees on keys and signs in within a few round trips, while who opens connections only to hold them loses them to themselves, and
// cannot crowd out who has come further. Callers who signed in keep theirs, each so many.
type crowd struct {
	maxStrangers, maxKnown, maxOfUser int
	observe                           Observer

	mu        sync.Mutex
	arriving  list.List // of *crowdedConn, oldest first: no keys yet
	strangers list.List // likewise: nobody has signed in
	known     int
	ofUser    map[string]int
}

// newCrowd takes so many strangers, and as many that arrive.
func newCrowd(strangers, known, ofUser int) *crowd {
	return &crowd{maxStrangers: strangers, maxKnown: known, maxOfUser: ofUser, observe: nobody{}, ofUser: map[string]int{}}
}

// crowdedConn is a connection with its place in the crowd.
type crowdedConn struct {
	net.Conn
	crowd *crowd

	// Guarded by the crowd's lock.
	among  *list.List // those who wait; nil once known
	place  *list.Element
	user   string // once known
	closed bool
}

// admit gives a connection its place, at the expense of the oldest that arrives where there is none left.
func (c *crowd) admit(conn net.Conn) *crowdedConn {
	admitted := &crowdedConn{Conn: conn, crowd: c}
	c.put(admitted, &c.arriving)
	return admitted
}

// agreed says that the connection has keys: it is a stranger's from now on.
func (conn *crowdedConn) agreed() { conn.crowd.put(conn, &conn.crowd.strangers) }

// put moves a connection to the end of a list, and closes the first of it where that is one too many.
func (c *crowd) put(conn *crowdedConn, among *list.List) {
	c.mu.Lock()
	if conn.closed {
		c.mu.Unlock()
		return
	}
	if conn.among != nil {
		conn.among.Remove(conn.place)
	}
	conn.among, conn.place = among, among.PushBack(conn)
	var oldest *crowdedConn
	if among.Len() > c.maxStrangers {
		oldest = among.Front().Value.(*crowdedConn)
	}
	c.mu.Unlock()
	if oldest != nil {
		c.observe.Limited(limitConnections)
		oldest.Close()
	}
}

// know says whose the connection is; false where there is no place for another one of that user.
func (conn *crowdedConn) know(user string) bool {
	c := conn.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case conn.closed:
		return false
	case conn.among == nil:
		return true // whoever was first; another user on the same connection is one more call on it
	case c.known >= c.maxKnown || c.ofUser[user] >= c.maxOfUser:
		c.observe.Limited(limitConnections)
		return false
	}
	conn.among.Remove(conn.place)
	conn.among, conn.place, conn.user = nil, nil, user
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
	case conn.among != nil:
		conn.among.Remove(conn.place)
	default:
		c.known--
		if c.ofUser[conn.user]--; c.ofUser[conn.user] == 0 {
			delete(c.ofUser, conn.user)
		}
	}
	conn.closed = true
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
