package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// lostAndFound is the file system's own folder, where a data directory is a disk of its own.
const lostAndFound = "lost+found"

// Content lists the files of a data directory that a backup copies as they are, by their paths in it: all but the database, which CopyDatabase
// copies, the lock, and what is not finished. Those that a running server replaces soonest come first.
func Content(dir string) (paths []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it was removed meanwhile
		case err != nil:
			return fmt.Errorf("look through data directory: %w", err)
		case entry.IsDir() && entry.Name() == lostAndFound:
			return fs.SkipDir
		case !entry.Type().IsRegular() || unfinished(entry.Name()):
			return nil
		}
		inside, err := filepath.Rel(dir, path)
		if err != nil {
			return fmt.Errorf("look through data directory: %w", err)
		}
		if inside != lockFile && !strings.HasPrefix(inside, DatabaseFile) {
			paths = append(paths, inside)
		}
		return nil
	})
	first := filepath.Join(blobFolder, "state") + string(os.PathSeparator)
	slices.SortStableFunc(paths, func(a, b string) int { return rank(a, first) - rank(b, first) })
	return paths, err
}

func rank(path, first string) int {
	switch {
	case strings.HasPrefix(path, first):
		return 0
	case strings.HasPrefix(path, blobFolder):
		return 1
	}
	return 2
}

// IsBlob says whether a path of Content is an encrypted file, which a running server may remove at any time.
func IsBlob(path string) bool { return strings.HasPrefix(path, blobFolder+string(os.PathSeparator)) }
