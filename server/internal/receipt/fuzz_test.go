package receipt

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"strings"
	"testing"
)

// seeds are a receipt as a file and its body.
func seeds(f *testing.F) (file, body []byte) {
	f.Helper()
	hash := strings.Repeat("ab", 32)
	b := Body{
		Form: Form, Type: Reserve, UnixMS: 1_700_000_000_000, Account: "d", Seq: 2, Prev: hash,
		Origin:  Origin{Boot: "boot", Level: "file", Release: "1.0.0"},
		Dataset: "d", Owner: hash, Scientist: hash, Run: "r", Epsilon: 1e9, RunDelta: 1e12, Charge: []byte{1, 2, 3}, After: After{Spent: 1e9, SpentDelta: 1e12},
	}
	body, err := b.Encode()
	if err != nil {
		f.Fatal(err)
	}
	if file, err = Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), body).File(); err != nil {
		f.Fatal(err)
	}
	return file, body
}

// What is read has one way of being written, and is what was written.
func FuzzDecode(f *testing.F) {
	_, body := seeds(f)
	f.Add(body)
	f.Add([]byte(`{"v":1,"type":"open","at":0,"account":"","seq":1,"boot":"","level":"","development":false,"release":"","dataset":"","owner":"","after":{"delta":0,"spent":0,"spent_delta":0}}`))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		b, err := Decode(encoded)
		if err != nil {
			return
		}
		again, err := b.Encode()
		if err != nil || !bytes.Equal(again, encoded) {
			t.Fatalf("%s is written again as %s, %v", encoded, again, err)
		}
		_ = b.check()
	})
}

// A file that is read is a receipt that can be written as a file again, and reads the same.
func FuzzParseFile(f *testing.F) {
	file, _ := seeds(f)
	f.Add(file)
	f.Add([]byte(`{"bastionlab_receipt":1,"body":"","signature":"","key":""}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := ParseFile(content)
		if err != nil {
			return
		}
		again, err := r.File()
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParseFile(again)
		if err != nil || !bytes.Equal(second.Signature, r.Signature) || !bytes.Equal(second.Key, r.Key) || !bytes.Equal(second.Body, r.Body) {
			t.Fatalf("reads %+v, and written again %+v, %v", r, second, err)
		}
		_ = r.SignedBy(r.Key)
	})
}

// A check ends with all bodies of the file, each signed by one key and in its form, or with the check that failed.
func FuzzVerify(f *testing.F) {
	file, _ := seeds(f)
	f.Add(file)
	f.Add(append(append(bytes.Clone(file), '\n'), file...))
	if vectors, err := os.ReadFile("../../../vectors/receipts/vectors.json"); err == nil {
		f.Add(vectors)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		bodies, err := Verify(content, nil, func(Body) error { return nil })
		if err != nil {
			var failed *Failure
			if !errors.As(err, &failed) || failed.Check == "" || failed.What == "" {
				t.Fatalf("an error that names no check: %v", err)
			}
			return
		}
		files, err := Files(content)
		if err != nil || len(files) != len(bodies) || len(bodies) == 0 {
			t.Fatalf("%d bodies of %d receipts, %v", len(bodies), len(files), err)
		}
		for _, b := range bodies {
			if b.check() != nil || !b.sumsHold() {
				t.Fatalf("it takes %+v", b)
			}
		}
	})
}
