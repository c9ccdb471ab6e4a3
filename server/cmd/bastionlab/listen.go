package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const (
	defaultPort = "50056"
	socketFile  = "operator.sock"
)

// addresses is where a server listens.
func addresses(listen string) (list []string, beyondLoopback bool, err error) {
	if listen == "" {
		return []string{net.JoinHostPort("127.0.0.1", defaultPort), net.JoinHostPort("::1", defaultPort)}, false, nil
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, false, refusal.New(refusal.InvalidArgument, "give --listen HOST:PORT, such as 127.0.0.1:50056", "%q is no address to listen on", listen)
	}
	ip := net.ParseIP(host)
	// SECURITY: a name other than localhost may resolve to anything, and no host means every address of the machine.
	beyondLoopback = host != "localhost" && (ip == nil || !ip.IsLoopback())
	return []string{listen}, beyondLoopback, nil
}

// listen opens the network's listeners. Of the two default addresses, a machine without IPv6 has only the first.
func listen(ctx context.Context, list []string) ([]net.Listener, error) {
	var listeners []net.Listener
	for i, address := range list {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil && i > 0 && !errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			closeAll(listeners)
			return nil, cannotListen(address, err, "--listen")
		}
		listeners = append(listeners, listener)
	}
	return listeners, nil
}

func cannotListen(address string, err error, setting string) error {
	next := "choose another address with " + setting
	if errors.Is(err, syscall.EADDRINUSE) {
		next = "stop the program that listens there, or choose another address with " + setting
	}
	return refusal.New(refusal.Unavailable, next, "cannot listen on %s: %s", address, err)
}

// localSocket is the operator's socket in the data directory. It is reached through the directory's descriptor: the path of a socket may
// have 107 bytes only, and data directories may lie deeper.
type localSocket struct{ directory *os.File }

func openLocalSocket(dataDir string) (localSocket, error) {
	directory, err := os.Open(dataDir)
	return localSocket{directory}, err
}

func (l localSocket) path() string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", l.directory.Fd(), socketFile)
}

func (l localSocket) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", l.path())
}

// listen opens the socket. The caller holds the directory's lock, so a socket that is there was left behind.
// SECURITY: the directory is its owner's alone, so the socket is too.
func (l localSocket) listen(ctx context.Context) (net.Listener, error) {
	where := filepath.Join(l.directory.Name(), socketFile)
	if err := os.Remove(where); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, cannotListen(where, err, "--data-dir")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", l.path())
	if err != nil {
		return nil, cannotListen(where, err, "--data-dir")
	}
	// It is removed above; by the time the listener closes, the descriptor may be another file's.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	return listener, nil
}

func closeAll(listeners []net.Listener) {
	for _, listener := range listeners {
		listener.Close()
	}
}
