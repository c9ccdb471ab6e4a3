package audit

import (
	"bytes"
	"errors"
	"testing"
)

// A line that is read is the one encoding of what was read from it.
func FuzzLine(f *testing.F) {
	first, _ := Line{Seq: 1, UnixMS: 5, Entry: deleted(alice, dataset)}.encode(nil, beginning())
	f.Add(first)
	second, _ := Line{Seq: 900, Entry: Entry{Action: Summary, Reason: "7 more", Subject: malformed}}.encode(nil, head{})
	f.Add(second)
	f.Add([]byte(`{"seq":00`))
	f.Add(bytes.Replace(first, []byte(`:1,`), []byte(`:9999999999999999999,`), 1))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		line, prev, err := decode(encoded)
		if err != nil {
			return
		}
		if again, _ := line.encode(nil, prev); !bytes.Equal(again, encoded) {
			t.Fatalf("read from\n%q\nis written\n%q", encoded, again)
		}
		if tidy(line.Entry) != line.Entry || len(encoded) > maxLineBytes {
			t.Fatalf("%q", encoded)
		}
	})
}

// Whatever lies under the log's names, opening it ends well or says where it does not fit; what opens can be written to and opens again.
func FuzzFiles(f *testing.F) {
	disk := newDisk()
	l, err := openOn(disk, &memoryMark{}, 700)
	must(f, err)
	for range 4 {
		must(f, change(l, deleted(alice, dataset)))
	}
	must(f, l.Close())
	f.Add(disk.content(1), disk.content(2))
	f.Add(disk.content(1), []byte{})
	f.Add(disk.content(1), disk.content(2)[:500])
	f.Add(disk.content(1)[:500], []byte("\n"))
	f.Add([]byte{}, bytes.Repeat([]byte{0}, 700))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		disk, mark := newDisk(), &memoryMark{}
		disk.put(1, one)
		disk.put(2, two)
		l, err := openOn(disk, mark, 700)
		if err != nil {
			var misfit *IntegrityError
			if !errors.As(err, &misfit) {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		must(t, change(l, deleted(bob, dataset)), l.Close())
		if l, err = openOn(disk, mark, 700); err != nil {
			t.Fatal(err)
		}
		must(t, l.Close())
	})
}
