package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/backup"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// aBackup takes one of a server with a dataset.
func aBackup(t *testing.T) string {
	t.Helper()
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	n.connect().upload("red", 6)
	file := filepath.Join(t.TempDir(), "backup")
	done(t, "backup", file, "--data-dir", n.dir)
	return file
}

func TestNoServerStartsOnWhatWasUnpackedByHandOrNotToTheEnd(t *testing.T) {
	file, by := aBackup(t), filepath.Join(t.TempDir(), "by-hand")
	for _, m := range members(t, file) {
		path := filepath.Join(by, m.header.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, m.content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	wantNoStart(t, by, "is no data directory")
	if err := os.WriteFile(filepath.Join(by, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantNoStart(t, by, "bastionlab restore", "not finished")
	// PRIVACY: nor is it a source of another backup: as a handover the accounts of a snapshot would go on.
	for _, arguments := range [][]string{{"--handover"}, nil} {
		again := filepath.Join(t.TempDir(), "again")
		arguments = append([]string{"backup", again, "--data-dir", by}, arguments...)
		if _, stderr, status := command(arguments...); status != 8 || !strings.Contains(stderr, "bastionlab restore") {
			t.Errorf("%v: status %d: %s", arguments, status, stderr)
		}
		if entries, err := os.ReadDir(filepath.Dir(again)); err != nil || len(entries) > 0 {
			t.Errorf("%v: it left %v, %v", arguments, entries, err)
		}
	}
	wantNoStart(t, by, "bastionlab restore", "not finished")
	// A check of the ledger that fails, or that is interrupted, leaves nothing behind.
	into := filepath.Join(t.TempDir(), "into")
	target := backup.Target{Dir: into, Release: version.Number, Key: ledgerKey, Check: func(_ context.Context, dir string) error {
		wantNoStart(t, dir, "in use by another server")
		// A second restore is refused before it looks at anything: what it removed at its failure would be this one's.
		other := backup.Target{Dir: dir, Release: version.Number, Key: ledgerKey}
		if _, err := backup.Restore(t.Context(), file, other); err == nil || !strings.Contains(err.Error(), "another restore to "+dir+" is under way") {
			t.Errorf("beside another restore: %v", err)
		}
		return context.Canceled
	}}
	if _, err := backup.Restore(t.Context(), file, target); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(into); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left %v", err)
	}
}

type memberOf struct {
	header  tar.Header
	content []byte
}

func members(t *testing.T, file string) (all []memberOf) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, memberOf{*header, content})
	}
}

func archiveOf(t *testing.T, all []memberOf) []byte {
	t.Helper()
	var written bytes.Buffer
	archive := tar.NewWriter(&written)
	for _, m := range all {
		m.header.Size = int64(len(m.content))
		if err := archive.WriteHeader(&m.header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return written.Bytes()
}

func TestADamagedBackupRestoresNothing(t *testing.T) {
	file := aBackup(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := members(t, file)
	bad := map[string][]byte{"empty": nil, "longer": append(bytes.Clone(whole), 'x')}
	for i := range 40 {
		at := i * len(whole) / 40
		bad[fmt.Sprint("cut at ", at)] = whole[:at]
	}
	offset := 0
	for _, m := range all { // one byte of each member
		if at := bytes.Index(whole[offset:], m.content); len(m.content) > 0 && at >= 0 {
			offset += at
			changed := bytes.Clone(whole)
			changed[offset+len(m.content)/2] ^= 1
			bad["changed "+m.header.Name] = changed
		}
	}
	last := len(all) - 1
	bad["a member less"] = archiveOf(t, all[1:])
	bad["a member twice"] = archiveOf(t, slices.Insert(slices.Clone(all), 1, all[1]))
	bad["no manifest"] = archiveOf(t, all[:last])
	bad["something behind the manifest"] = archiveOf(t, append(slices.Clone(all), all[1]))
	for _, name := range []string{"../out", "/out", "a/../../out", "./bastionlab.db"} {
		out := memberOf{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600}, []byte("x")}
		bad["a member "+name] = archiveOf(t, slices.Insert(slices.Clone(all), 0, out))
	}
	link := memberOf{tar.Header{Typeflag: tar.TypeSymlink, Name: "keys/link", Linkname: "/etc", Mode: 0o600}, nil}
	bad["a link"] = archiveOf(t, slices.Insert(slices.Clone(all), 0, link))
	if len(bad) < 50 {
		t.Fatalf("only %d", len(bad))
	}
	folder := t.TempDir()
	path, into := filepath.Join(folder, "bad"), filepath.Join(folder, "into")
	for name, content := range bad {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, arguments := range [][]string{{"backup", "--verify", path}, {"restore", path, "--data-dir", into}} {
			if _, stderr, status := command(arguments...); status != 6 || !strings.Contains(stderr, "the backup is damaged") {
				t.Errorf("%s, %s: status %d: %s", name, arguments[0], status, stderr)
			}
		}
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
			t.Fatalf("%s left %v, %v", name, entries, err)
		}
	}
}

// PRIVACY: the kind is a word in a file that anybody can pack again; the seal is not.
func TestAManifestThatWasWrittenAnewRestoresNothing(t *testing.T) {
	all := members(t, aBackup(t))
	last := &all[len(all)-1]
	whole := last.content
	var keyless map[string]any
	if err := json.Unmarshal(whole, &keyless); err != nil {
		t.Fatal(err)
	}
	delete(keyless, "seal")
	unsealed, err := json.Marshal(keyless)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"a handover by name": bytes.Replace(whole, []byte(`"kind": "snapshot"`), []byte(`"kind": "handover"`), 1),
		"of another time":    bytes.Replace(whole, []byte(`"at": 1`), []byte(`"at": 2`), 1),
		"without a seal":     unsealed,
	} {
		if bytes.Equal(content, whole) {
			t.Fatalf("%s: nothing was changed", name)
		}
		last.content = content
		folder := t.TempDir()
		path, into := filepath.Join(folder, "bad"), filepath.Join(folder, "into")
		if err := os.WriteFile(path, archiveOf(t, all), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, stderr, status := command("restore", path, "--data-dir", into); status != 6 || !strings.Contains(stderr, "manifest was changed") {
			t.Errorf("%s: status %d: %s", name, status, stderr)
		}
		if _, err := os.Stat(into); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it left %v", name, err)
		}
	}
}

func TestWhereABackupMayGo(t *testing.T) {
	file := aBackup(t)
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	for name, test := range map[string]struct {
		arguments []string
		status    int
		word      string
	}{
		"into the data directory":  {[]string{"backup", filepath.Join(n.dir, "b"), "--data-dir", n.dir}, 2, "inside the data directory"},
		"over a file":              {[]string{"backup", file, "--data-dir", n.dir}, 2, "is there already"},
		"into no folder":           {[]string{"backup", filepath.Join(n.dir, "none", "b"), "--data-dir", n.dir}, 2, "no folder"},
		"of no directory":          {[]string{"backup", file + "2", "--data-dir", filepath.Join(n.dir, "none")}, 7, "no data directory"},
		"for no key":               {[]string{"backup", file + "2", "--recipient", "age1nonsense", "--data-dir", n.dir}, 2, "--recipient"},
		"over a data directory":    {[]string{"restore", file, "--data-dir", n.dir}, 2, "not empty"},
		"from nothing":             {[]string{"restore", file + "2", "--data-dir", filepath.Join(t.TempDir(), "new")}, 7, "no file"},
		"with two wishes":          {[]string{"backup", file, "--verify", "--handover"}, 2, "--verify"},
		"with a key that is none":  {[]string{"backup", file, "--verify", "--identity", file}, 2, "no key"},
		"with a key in the making": {[]string{"backup", file + "2", "--identity", file, "--data-dir", n.dir}, 2, "--recipient"},
	} {
		if _, stderr, status := command(test.arguments...); status != test.status || !strings.Contains(stderr, test.word) {
			t.Errorf("%s: status %d: %s", name, status, stderr)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}
