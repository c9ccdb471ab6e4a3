package lineage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

func encoded(t testing.TB, s Set) []byte {
	t.Helper()
	var file bytes.Buffer
	n, err := s.WriteTo(&file)
	if err != nil || n != int64(file.Len()) {
		t.Fatalf("wrote %d of %d bytes, %v", n, file.Len(), err)
	}
	return file.Bytes()
}

func TestASetComesBackAsItWas(t *testing.T) {
	for _, size := range []int{0, 1, 2, rowsAtOnce - 1, rowsAtOnce, rowsAtOnce + 1, 3*rowsAtOnce + 7} {
		set := setOf(span(0, size)...)
		file := encoded(t, set)
		if want := len(setLabel) + 8 + DigestBytes*size; len(file) != want {
			t.Errorf("%d rows take %d bytes, want %d", size, len(file), want)
		}
		got, err := ReadSet(iotest.HalfReader(bytes.NewReader(file)))
		if err != nil || !slices.Equal(got.rows, set.rows) {
			t.Errorf("%d rows: %d, %v", size, got.Len(), err)
		}
		if cap(got.rows) != size {
			t.Errorf("%d rows stay in room for %d", size, cap(got.rows))
		}
	}
}

func TestWhatIsNoSetIsRefused(t *testing.T) {
	good := encoded(t, setOf(1, 2, 3))
	count := len(setLabel)
	for name, change := range map[string]func(file []byte) []byte{
		"nothing":       func([]byte) []byte { return nil },
		"another form":  func(file []byte) []byte { file[count-2] = '2'; return file },
		"a byte less":   func(file []byte) []byte { return file[:len(file)-1] },
		"a row less":    func(file []byte) []byte { return file[:len(file)-DigestBytes] },
		"a byte more":   func(file []byte) []byte { return append(file, 0) },
		"a row more":    func(file []byte) []byte { return append(file, bytes.Repeat([]byte{0xff}, DigestBytes)...) },
		"a count less":  func(file []byte) []byte { file[count] = 2; return file },
		"a large count": func(file []byte) []byte { file[count+7] = 0xff; return file },
		"only a head":   func(file []byte) []byte { return file[:count+8] },
		"a row twice":   func(file []byte) []byte { copy(file[count+8:], file[count+8+DigestBytes:][:DigestBytes]); return file },
		"rows in another order": func(file []byte) []byte {
			rows := file[count+8:]
			return slices.Concat(file[:count+8], rows[DigestBytes:2*DigestBytes], rows[:DigestBytes], rows[2*DigestBytes:])
		},
	} {
		set, err := ReadSet(bytes.NewReader(change(slices.Clone(good))))
		if !errors.Is(err, ErrMalformed) || set.Len() != 0 {
			t.Errorf("%s: %d rows, %v", name, set.Len(), err)
		}
	}
}

// What a disk says is not taken for what a file holds, and half a file is no set.
func TestAReaderThatFailsFailsTheSet(t *testing.T) {
	file, failure := encoded(t, setOf(1, 2, 3)), errors.New("the disk failed")
	for n := range len(file) + 1 {
		set, err := ReadSet(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(failure)))
		if !errors.Is(err, failure) || errors.Is(err, ErrMalformed) || set.Len() != 0 {
			t.Fatalf("after %d bytes: %d rows, %v", n, set.Len(), err)
		}
	}
}

type fullWriter struct{ room int }

func (w *fullWriter) Write(content []byte) (int, error) {
	n := min(len(content), w.room)
	w.room -= n
	if n < len(content) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func TestAWriterThatFailsFailsTheEncoding(t *testing.T) {
	set := setOf(1, 2, 3)
	for room := range len(encoded(t, set)) {
		if n, err := set.WriteTo(&fullWriter{room}); err == nil || n != int64(room) {
			t.Fatalf("room for %d bytes: wrote %d, %v", room, n, err)
		}
	}
}

// Whatever a file holds, it is refused or it is the one encoding of the set that is read, and no count makes a reader take memory.
func FuzzReadSet(f *testing.F) {
	f.Add(encoded(f, Set{}))
	f.Add(encoded(f, setOf(1, 2, 3)))
	f.Add(binary.LittleEndian.AppendUint64([]byte(setLabel), 1<<60))
	f.Fuzz(func(t *testing.T, file []byte) {
		set, err := ReadSet(bytes.NewReader(file))
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(encoded(t, set), file) {
			t.Fatalf("%d rows have a second encoding", set.Len())
		}
	})
}
