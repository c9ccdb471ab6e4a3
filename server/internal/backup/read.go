package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const encryptedBeginning = "age-encryption.org/"

// Verify reads a backup to its end and holds every member to the manifest.
func Verify(path string, identities ...age.Identity) (Manifest, error) {
	return read(path, identities, func(string, io.Reader) error { return nil })
}

// read hands every member on before its digest is known: what comes of it is not to be used where read fails.
func read(path string, identities []age.Identity, take func(name string, content io.Reader) error) (m Manifest, err error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return m, refusal.New(refusal.NotFound, "name the file that `bastionlab backup` wrote", "there is no file %s", path)
	}
	if err != nil {
		return m, fmt.Errorf("open backup: %w", err)
	}
	defer file.Close()
	opened, err := opened(bufio.NewReader(file), identities)
	if err != nil {
		return m, err
	}
	var found []File
	names := map[string]bool{}
	for archive := tar.NewReader(opened); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return m, damaged("it was cut")
		}
		if err != nil {
			return m, damaged("%s", err)
		}
		if header.Name == manifestName {
			return manifestOf(archive, opened, found)
		}
		if err := checkName(header); err != nil {
			return m, err
		}
		if names[header.Name] {
			return m, damaged("%s is in it twice", header.Name)
		}
		names[header.Name] = true
		digest := sha256.New()
		content := io.TeeReader(member{archive}, digest)
		if err := take(header.Name, content); err != nil {
			return m, err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return m, err
		}
		found = append(found, File{Path: header.Name, Bytes: header.Size, SHA256: hex.EncodeToString(digest.Sum(nil))})
	}
}

// member says of what cannot be read that the backup is damaged, and not the disk that it is unpacked to.
type member struct{ io.Reader }

func (m member) Read(into []byte) (int, error) {
	n, err := m.Reader.Read(into)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, damaged("%s", err)
	}
	return n, err
}

func opened(file *bufio.Reader, identities []age.Identity) (io.Reader, error) {
	beginning, err := file.Peek(len(encryptedBeginning))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	if string(beginning) != encryptedBeginning {
		return file, nil
	}
	if len(identities) == 0 {
		return nil, refusal.New(refusal.InvalidArgument, "name the file with the key that it was encrypted for, with --identity", "the backup is encrypted")
	}
	content, err := age.Decrypt(file, identities...)
	if err != nil {
		return nil, refusal.New(refusal.Attestation, "name the file with the key that it was encrypted for, with --identity", "the backup cannot be decrypted: %s", err)
	}
	return content, nil
}

// checkName refuses what no backup has. SECURITY: names become files; one that leads out of the directory is written nowhere.
func checkName(header *tar.Header) error {
	if header.Typeflag != tar.TypeReg || !filepath.IsLocal(filepath.FromSlash(header.Name)) || filepath.ToSlash(filepath.Clean(header.Name)) != header.Name {
		return damaged("it has a member that no backup has")
	}
	return nil
}

// manifestOf reads the last member, which must be the last, and compares.
func manifestOf(member, rest io.Reader, found []File) (m Manifest, err error) {
	encoded, err := io.ReadAll(io.LimitReader(member, maxManifestBytes+1))
	if err != nil {
		return m, damaged("%s", err)
	}
	if err := json.Unmarshal(encoded, &m); err != nil || len(encoded) > maxManifestBytes {
		return m, damaged("its manifest cannot be read")
	}
	if err := m.check(); err != nil {
		return m, err
	}
	if len(m.Files) != len(found) {
		return m, damaged("it has %d files, and the manifest %d", len(found), len(m.Files))
	}
	for i, file := range found {
		if m.Files[i] != file {
			return m, damaged("%s is not as the manifest says", file.Path)
		}
	}
	// What is behind the manifest is the end of the archive, and where it is encrypted, proof that it was not cut.
	behind, err := io.ReadAll(io.LimitReader(rest, 1<<20))
	if err != nil || len(bytes.Trim(behind, "\x00")) > 0 {
		return m, damaged("something follows the manifest, or it was cut")
	}
	return m, nil
}
