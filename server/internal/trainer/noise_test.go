package trainer

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func stream(t *testing.T, source io.Reader) *keystream {
	t.Helper()
	made, err := newKeystream(source)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func read(t *testing.T, from *keystream, n int) []byte {
	t.Helper()
	p := bytes.Repeat([]byte{0xa5}, n) // what was there before must not show
	if _, err := io.ReadFull(from, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestKeystreamGoesOnAndNeverRepeats(t *testing.T) {
	key := bytes.Repeat([]byte{7}, keyBytes)
	whole := read(t, stream(t, bytes.NewReader(key)), 4096)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 4096)
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(want, want)
	if !bytes.Equal(whole, want) {
		t.Error("this is not AES-256 in counter mode from zero, or what lay in the buffer shows through")
	}
	parts := stream(t, bytes.NewReader(key))
	var joined []byte
	for _, n := range []int{1, 15, 16, 17, 1000, 3047} {
		joined = append(joined, read(t, parts, n)...)
	}
	if !bytes.Equal(whole, joined) {
		t.Error("the stream depends on how it is read")
	}
	if bytes.Equal(whole[:2048], whole[2048:]) {
		t.Error("the stream repeats")
	}
}

// PRIVACY: noise that occurs twice can be subtracted.
func TestEveryAttemptHasItsOwnNoise(t *testing.T) {
	seen := map[string]bool{}
	for range 64 {
		beginning := string(read(t, stream(t, rand.Reader), 32))
		if seen[beginning] {
			t.Fatal("two attempts share their noise")
		}
		seen[beginning] = true
	}
}

func TestWithoutAKeyThereIsNoNoiseAndNoRun(t *testing.T) {
	broken := errors.New("broken")
	if _, err := newKeystream(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if _, err := newKeystream(bytes.NewReader(make([]byte, keyBytes-1))); err == nil {
		t.Fatal("a short key was taken")
	}
}
