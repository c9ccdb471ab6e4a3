package audit

import "hash/maphash"

// index says which parts of the log may hold what somebody looks for, in a few bytes a line.
type index struct {
	blocks []*block
	seed   maphash.Seed
}

const (
	blockLines = 1024
	filterBits = 8192
	probes     = 3
)

// block is a run of lines in one file.
type block struct {
	number    int // of the file
	from, to  int64
	first     int64 // number of the first line
	lines     int
	mentioned [filterBits / 64]uint64 // a Bloom filter of users and datasets
}

func (x *index) add(f found) {
	if x.seed == (maphash.Seed{}) {
		x.seed = maphash.MakeSeed()
	}
	var b *block
	if n := len(x.blocks); n > 0 {
		b = x.blocks[n-1]
	}
	if b == nil || b.lines == blockLines || b.number != f.number {
		b = &block{number: f.number, from: f.offset, first: f.Seq}
		x.blocks = append(x.blocks, b)
	}
	b.lines, b.to = b.lines+1, f.end
	for _, key := range [...]string{f.User, f.Dataset} {
		x.each(key, func(bit uint64) { b.mentioned[bit/64] |= 1 << (bit % 64) })
	}
}

func (x *index) each(key string, do func(bit uint64)) {
	if key == "" {
		return
	}
	sum := maphash.String(x.seed, key)
	for range probes {
		do(sum % filterBits)
		sum >>= 20
	}
}

// may says whether a block can hold a line that names one of the keys.
func (x *index) may(b *block, keys []string) bool {
	for _, key := range keys {
		all := true
		x.each(key, func(bit uint64) { all = all && b.mentioned[bit/64]&(1<<(bit%64)) != 0 })
		if all {
			return true
		}
	}
	return false
}
