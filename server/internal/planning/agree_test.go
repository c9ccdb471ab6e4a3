package planning_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// The vectors are those of the Python client: both verifiers say the same of every receipt.
func TestReceiptsAreVerifiedAsTheVectorsSay(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "vectors", "receipts", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name  string
		File  json.RawMessage
		Fill  fill
		Key   *string
		OK    bool
		Check receipt.Check
	}
	if err := json.Unmarshal(content, &vectors); err != nil || len(vectors) < 100 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			var key ed25519.PublicKey
			if v.Key != nil {
				key, _ = hex.DecodeString(*v.Key)
			}
			_, err := receipt.Verify(fileOf(t, v.File, v.Fill), key, planning.Agrees)
			var failed *receipt.Failure
			switch {
			case v.OK && err != nil:
				t.Errorf("refused: %v", err)
			case !v.OK && (!errors.As(err, &failed) || failed.Check != v.Check):
				t.Errorf("got %v, want the check %q to fail", err, v.Check)
			}
		})
	}
}

// fill is what stands in the place of @@ in a file that is a text.
type fill struct {
	With  string
	Times int
}

// fileOf is the file of a vector: as it is, but for what fills it, where it is a text, a book where it is a list, one receipt otherwise.
func fileOf(t *testing.T, raw json.RawMessage, f fill) []byte {
	t.Helper()
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []byte(strings.Replace(text, "@@", strings.Repeat(f.With, f.Times), 1))
	}
	var book []json.RawMessage
	if json.Unmarshal(raw, &book) != nil {
		return raw
	}
	return bytes.Join(func() (lines [][]byte) {
		for _, line := range book {
			lines = append(lines, line)
		}
		return lines
	}(), []byte("\n"))
}
