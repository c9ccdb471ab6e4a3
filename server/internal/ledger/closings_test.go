package ledger

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// asideFile is the ledger of a boot that had so many accounts of an owner, and closed them.
func asideFile(t testing.TB, name, owner string, accounts int) []byte {
	t.Helper()
	disk, mark := newFolderDisk(), &folderMark{}
	l, err := boot(disk, mark, name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range accounts {
		must(t, opened(l, fmt.Sprintf("%s%d", name, i), owner, 6e9, testDelta, testDeclared))
	}
	must(t, l.CloseAccounts())
	return disk.names["dir/"+FileName].content
}

func asideFolder(t testing.TB, files ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, AsideFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, content := range files {
		if err := os.WriteFile(filepath.Join(dir, AsideFolder, fmt.Sprintf("%015d-x.log", i)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAnOwnerGetsTheClosesOfEarlierBootsNewestFirstAsTheyWereSigned(t *testing.T) {
	dir := asideFolder(t, asideFile(t, "one", "owner", 2), asideFile(t, "other", "stranger", 1), asideFile(t, "two", "owner", 1))
	found, err := ReadClosings(dir)
	if err != nil || found.LeftOut {
		t.Fatal(found, err)
	}
	var accounts []string
	for _, each := range found.Of("owner") {
		body, err := receipt.Decode(each.Body)
		if err != nil || !each.SignedBy(bootWriter(body.Boot).Key.Public().(ed25519.PublicKey)) {
			t.Errorf("%s, %v", each.Body, err)
		}
		accounts = append(accounts, body.Account)
	}
	if !slices.Equal(accounts, []string{"two0", "one0", "one1"}) {
		t.Errorf("closes of %v", accounts)
	}
	if len(found.Of("stranger")) != 1 || len(found.Of("nobody")) != 0 {
		t.Error("another owner's are others")
	}
	if none, err := ReadClosings(t.TempDir()); err != nil || len(none.Of("owner")) != 0 {
		t.Errorf("without any: %v", err)
	}
}

// Whoever has the disk can put anything there. What does not fit ends the reading of its file, and nothing else.
func TestWhatDoesNotFitInAFileOfBeforeIsLeftOut(t *testing.T) {
	good := asideFile(t, "one", "owner", 2)
	lines := bytes.SplitAfter(good, []byte("\n"))
	closeAt := len(lines) - 3 // the closes are the last two
	forged := func(change func(body []byte) []byte) []byte {
		l, c, _ := decode(lines[0], chain{})
		content, _, _ := l.encode(chain{})
		for i, encoded := range lines[1 : len(lines)-1] {
			read, after, err := decode(encoded, chainBefore(lines, i+1))
			_ = after
			if err != nil {
				t.Fatal(err)
			}
			if i+1 >= closeAt {
				read.body = change(read.body)
			}
			var written []byte
			written, c, _ = read.encode(c)
			content = append(content, written...)
		}
		return content
	}
	cases := map[string]struct {
		content []byte
		want    int
	}{
		"whole":                  {good, 2},
		"torn":                   {good[:len(good)-5], 1},
		"empty":                  {nil, 0},
		"rubbish":                {bytes.Repeat([]byte("x"), 3<<20), 0},
		"without its first line": {bytes.Join(lines[1:], nil), 0},
		"a line taken out":       {slices.Concat(bytes.Join(lines[:2], nil), bytes.Join(lines[3:], nil)), 0},
		"less spent, chained anew, signed by nobody": {forged(func(body []byte) []byte {
			return bytes.Replace(body, []byte(`"limit":6000000000`), []byte(`"limit":9000000000`), 1)
		}), 0},
	}
	for name, c := range cases {
		found, err := ReadClosings(asideFolder(t, c.content))
		if err != nil || len(found.Of("owner")) != c.want {
			t.Errorf("%s: %d closes, %v", name, len(found.Of("owner")), err)
		}
	}
	dir := asideFolder(t, good)
	if err := os.Symlink("/dev/zero", filepath.Join(dir, AsideFolder, "999-x.log")); err != nil {
		t.Fatal(err)
	}
	if found, err := ReadClosings(dir); err != nil || len(found.Of("owner")) != 2 {
		t.Errorf("beside a link: %v", err)
	}
}

// chainBefore is the chain's value before a line.
func chainBefore(lines [][]byte, n int) (c chain) {
	for _, encoded := range lines[:n] {
		_, c, _ = decode(encoded, c)
	}
	return c
}

func TestAnOwnersClosesAreBounded(t *testing.T) {
	found, err := ReadClosings(asideFolder(t, asideFile(t, "one", "owner", maxClosingsOfOwner+1)))
	if err != nil || len(found.Of("owner")) != maxClosingsOfOwner || !found.LeftOut {
		t.Errorf("%d, left out %t, %v", len(found.Of("owner")), found.LeftOut, err)
	}
}

func FuzzReadClosings(f *testing.F) {
	good := asideFile(f, "one", "owner", 2)
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		c := &Closings{of: map[string][]receipt.Receipt{}}
		c.read(bytes.NewReader(content))
		for owner, closes := range c.of {
			for _, each := range closes {
				if body, err := receipt.Decode(each.Body); err != nil || body.Owner != owner || body.Type != receipt.Close || !each.SignedBy(each.Key) {
					t.Errorf("took %s, %v", each.Body, err)
				}
			}
		}
	})
}
