package audit

import "testing"

// BenchmarkScan is what a start costs, a byte of the log.
func BenchmarkScan(b *testing.B) {
	disk := newDisk()
	l, err := openOn(disk, &memoryMark{}, fileBytes)
	must(b, err)
	for range 2000 {
		l.queue = append(l.queue, &waiting{entry: deleted(alice, dataset)})
	}
	must(b, l.Close())
	b.SetBytes(int64(len(disk.content(1))))
	for b.Loop() {
		if _, err := check(disk, "data"); err != nil {
			b.Fatal(err)
		}
	}
}
