//go:build linux && cgo && fuzz

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/bastionlab/bastionlab/server/internal/trainer"
)

// play goes through a role for every byte on standard input. Only for fuzzing, which would wait for libtorch to start most of the time; no
// release build has this: whoever parsed an archive must never be given records.
func play(process *trainer.Process, _ trainer.Role) error {
	roles := map[byte]trainer.Role{'i': trainer.Intake, 't': trainer.Train}
	for {
		var next [1]byte
		if _, err := os.Stdin.Read(next[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		role, ok := roles[next[0]]
		if !ok {
			return fmt.Errorf("no role is %q", next[0])
		}
		if err := process.Run(role); err != nil {
			fmt.Fprintln(os.Stderr, "role", role, err) // the server has been told by a fault
		}
	}
}
