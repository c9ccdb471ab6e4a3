package storage

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

const (
	temporaryPrefix = ".unfinished-"
	// earlierPrefix is how an earlier release named a certificate, with its key, that was not finished.
	earlierPrefix = ".new-"
)

func temporaryName(path string) string {
	var suffix [8]byte
	rand.Read(suffix[:]) // never fails
	return filepath.Join(filepath.Dir(path), temporaryPrefix+hex.EncodeToString(suffix[:]))
}

// removeLeftovers removes what a server that was killed had not finished.
func (s *Store) removeLeftovers() error {
	return filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && entry.Name() == lostAndFound {
			return fs.SkipDir // it may be read by root only
		}
		if err != nil {
			return fmt.Errorf("look for leftovers: %w", err)
		}
		if !entry.Type().IsRegular() || !unfinished(entry.Name()) {
			return nil
		}
		if err := s.files.remove(path); err != nil {
			return fmt.Errorf("remove leftover: %w", err)
		}
		return nil
	})
}

func unfinished(name string) bool {
	return strings.HasPrefix(name, temporaryPrefix) || strings.HasPrefix(name, earlierPrefix)
}
