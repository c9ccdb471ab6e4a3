//go:build linux && cgo && !fuzz

package main

import "github.com/bastionlab/bastionlab/server/internal/trainer"

// play: a process has one role, once.
func play(process *trainer.Process, role trainer.Role) error { return process.Run(role) }
