package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serverID is the user and group that the server runs as.
const serverID = 50056

const (
	program       = "/usr/lib/bastionlab/bastionlab"
	configuration = "/etc/bastionlab/bastionlab.conf"
	usersDir      = "/etc/bastionlab/users"
	dataDir       = "/var/lib/bastionlab"
	socket        = dataDir + "/operator.sock"
	device        = "/dev/sev-guest"
	// whileRegistering is where the server listens before its users are registered: nobody outside reaches it.
	whileRegistering = "127.0.0.1:50056"
	readyWait        = 10 * time.Minute
	// The chip's certificate, where the host hands out none with a report. It is no secret, and who verifies a report verifies it too.
	hostsEndorsement    = "/sys/firmware/qemu_fw_cfg/by_name/opt/org.bastionlab/endorsement/raw"
	endorsement         = "/run/endorsement"
	maxEndorsementBytes = 1 << 20
)

// runServer shows what the machine offers, registers who may sign in, and serves until the server ends.
func runServer() error {
	if err := os.Chown(device, serverID, serverID); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("give the server the attestation device: %w", err)
	}
	options := []string{"--config", configuration}
	switch given, err := copyEndorsement(); {
	case err != nil:
		return err
	case given:
		options = append(options, "--endorsement", endorsement)
	}
	// What it lacks is said on the console; whether to serve without is the server's decision.
	if doctor, err := start(append([]string{"doctor"}, options...)); err != nil {
		return err
	} else if err := doctor.wait(); err != nil {
		fmt.Println("bastionlab-init: bastionlab doctor:", err)
	}
	if err := register(options); err != nil {
		return fmt.Errorf("register the image's users: %w", err)
	}
	server, err := start(append([]string{"serve"}, options...))
	if err != nil {
		return err
	}
	return server.wait()
}

// register adds the image's users to a server that only this machine reaches, and ends it. Afterwards it is no server in development mode.
func register(options []string) error {
	keys, err := filepath.Glob(usersDir + "/*/*.pub")
	if err != nil || len(keys) == 0 {
		return errors.Join(errors.New("the image has none"), err)
	}
	server, err := start(append(append([]string{"serve"}, options...), "--listen", whileRegistering))
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(readyWait); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if server.ended() || time.Now().After(deadline) {
			return errors.New("the server does not start")
		}
	}
	for _, key := range keys {
		// A folder's name is the roles of the keys in it.
		add, err := start([]string{"user", "add", key, "--role", filepath.Base(filepath.Dir(key)), "--name", strings.TrimSuffix(filepath.Base(key), ".pub"), "--data-dir", dataDir})
		if err != nil {
			return err
		}
		if err := add.wait(); err != nil {
			return err
		}
	}
	return server.stop()
}

func copyEndorsement() (given bool, err error) {
	from, err := os.Open(hostsEndorsement)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the chip's certificate: %w", err)
	}
	defer from.Close()
	content, err := io.ReadAll(io.LimitReader(from, maxEndorsementBytes))
	if err != nil {
		return false, fmt.Errorf("read the chip's certificate: %w", err)
	}
	return true, os.WriteFile(endorsement, content, 0o444)
}
