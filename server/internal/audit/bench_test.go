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

// BenchmarkChange is one change of many at once, on this disk.
func BenchmarkChange(b *testing.B) {
	config := configOf(&memoryMark{})
	config.Dir = b.TempDir()
	l, err := Open(config)
	must(b, err)
	defer l.Close()
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := change(l, deleted(alice, dataset)); err != nil {
				b.Error(err)
			}
		}
	})
}
