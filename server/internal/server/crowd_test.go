package server

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// inCrowd is a connection in a crowd, and the other end of it.
func inCrowd(t *testing.T, c *crowd) (*crowdedConn, net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	conn := c.admit(here)
	t.Cleanup(func() { conn.Close(); there.Close() })
	return conn, there
}

func isOpen(t *testing.T, far net.Conn) bool {
	t.Helper()
	_ = far.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := far.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestTheOldestStrangerGivesWay(t *testing.T) {
	c := newCrowd(2, 2, 2)
	_, first := inCrowd(t, c)
	_, second := inCrowd(t, c)
	_, third := inCrowd(t, c)
	if isOpen(t, first) || !isOpen(t, second) || !isOpen(t, third) {
		t.Errorf("open: first %t, second %t, third %t", isOpen(t, first), isOpen(t, second), isOpen(t, third))
	}
}

func TestWhoArrivesCannotCrowdOutWhoHasComeFurther(t *testing.T) {
	c := newCrowd(2, 2, 2)
	conn, far := inCrowd(t, c)
	conn.agreed()
	for range 5 {
		inCrowd(t, c)
	}
	if !isOpen(t, far) || c.arriving.Len() != 2 || c.strangers.Len() != 1 {
		t.Errorf("open %t; %d arrive, %d are strangers", isOpen(t, far), c.arriving.Len(), c.strangers.Len())
	}
	for range 2 {
		other, _ := inCrowd(t, c)
		other.agreed()
	}
	if isOpen(t, far) || c.strangers.Len() != 2 {
		t.Errorf("open %t; %d are strangers", isOpen(t, far), c.strangers.Len())
	}
}

func TestWhoSignedInStays(t *testing.T) {
	c := newCrowd(1, 2, 2)
	conn, far := inCrowd(t, c)
	for range 2 { // each call on it says so
		if !conn.know("alice") {
			t.Fatal("alice has no place")
		}
	}
	for range 5 {
		inCrowd(t, c)
	}
	if !isOpen(t, far) {
		t.Error("alice gave way to strangers")
	}
}

func TestNobodyTakesAllThePlaces(t *testing.T) {
	c := newCrowd(10, 3, 2)
	var alices []*crowdedConn
	for range 3 {
		conn, _ := inCrowd(t, c)
		alices = append(alices, conn)
	}
	if !alices[0].know("alice") || !alices[1].know("alice") || alices[2].know("alice") {
		t.Error("alice has more than two places, or fewer")
	}
	bob, _ := inCrowd(t, c)
	carol, _ := inCrowd(t, c)
	if !bob.know("bob") || carol.know("carol") {
		t.Error("there are more than three places in all, or fewer")
	}
	alices[0].Close()
	alices[0].Close()
	if !carol.know("carol") {
		t.Error("a place that was given back is not there")
	}
	if alices[0].know("alice") {
		t.Error("a closed connection took a place")
	}
}
