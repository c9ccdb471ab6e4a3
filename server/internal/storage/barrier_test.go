package storage

import (
	"os"
	"path/filepath"
	"testing"
)

// PRIVACY: a release that knows of no barrier must not start either, and it is the database's form that it is stopped by.
func TestABarrierStopsEarlierReleasesToo(t *testing.T) {
	for version := 1; version <= len(migrations); version++ {
		dir, into := t.TempDir(), t.TempDir()
		anEarlier(t, filepath.Join(dir, DatabaseFile), version)
		if err := CopyDatabase(t.Context(), dir, into); err != nil {
			t.Fatal(err)
		}
		if found := versionOf(t, filepath.Join(dir, DatabaseFile)); found != version {
			t.Errorf("a copy brought the directory it was made of from %d to %d", version, found)
		}
		if found := versionOf(t, filepath.Join(into, DatabaseFile)); found != len(migrations) {
			t.Errorf("the copy of %d has the form %d", version, found)
		}
		held, err := Hold(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := held.HandOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := held.Release(); err != nil {
			t.Fatal(err)
		}
		if found := versionOf(t, filepath.Join(dir, DatabaseFile)); found != len(migrations) {
			t.Errorf("handed over, %d has the form %d", version, found)
		}
		if entries, err := os.ReadDir(into); err != nil || len(entries) != 1 {
			t.Errorf("the copy is %v, %v", entries, err)
		}
	}
}
