package archivefuzz

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// spoil changes bytes without regard to what they mean.
func spoil(r source, data []byte) []byte {
	data = slices.Clone(data)
	for range 1 + r.few() {
		if len(data) == 0 {
			return []byte{byte(r.Uint32())}
		}
		at := r.IntN(len(data))
		length := min(1+r.few(), len(data)-at)
		switch r.IntN(6) {
		case 0:
			data[at] ^= 1 << r.IntN(8)
		case 1:
			data[at] = byte(r.Uint32())
		case 2:
			data = slices.Delete(data, at, at+length)
		case 3:
			data = slices.Insert(data, at, data[at:at+length]...)
		case 4:
			data = data[:at]
		case 5:
			extreme := among(r, []uint64{0, 1, math.MaxInt32, math.MaxUint32, math.MaxInt64, math.MaxUint64, 1 << 63})
			number := binary.LittleEndian.AppendUint64(nil, extreme)
			copy(data[at:], number[:1<<r.IntN(4)])
		}
	}
	return data
}

// changeTensor changes numbers, or how many there are.
func changeTensor(r source, data []byte) []byte {
	switch r.IntN(5) {
	case 0:
		return data[:r.IntN(len(data)+1)]
	case 1:
		return append(data, make([]byte, r.IntN(300))...)
	case 2:
		return spoil(r, data)
	}
	for range 1 + r.few() {
		if len(data) < 8 {
			break
		}
		at := r.IntN(len(data)/4) * 4
		if r.one(2) {
			floats := []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e-45, 3e38, -3e38, 1e20}
			binary.LittleEndian.PutUint32(data[at:], math.Float32bits(float32(among(r, floats))))
			continue
		}
		integers := []int64{0, 1, -1, 2, 7, 1 << 31, math.MaxInt64, math.MinInt64, 1 << 40}
		binary.LittleEndian.PutUint64(data[r.IntN(len(data)/8)*8:], uint64(among(r, integers)))
	}
	return data
}

// changeEntries drops, doubles, renames, adds, orders or repacks members.
func changeEntries(r source, entries []entry) []entry {
	if len(entries) == 0 {
		return entries
	}
	at := r.IntN(len(entries))
	e := entries[at]
	switch r.IntN(8) {
	case 0:
		return slices.Delete(entries, at, at+1)
	case 1:
		e.name = strings.Replace(e.name, e.inFolder(), strings.ToUpper(e.inFolder()), 1)
		return append(entries, e)
	case 2:
		e.name += among(r, []string{"0", ".py", "/0", " ", ".pkl", "/../x", "\x00", "é", strings.Repeat("a", 300)})
		entries[at] = e
	case 3:
		other := r.IntN(len(entries))
		entries[at].name, entries[other].name = entries[other].name, entries[at].name
	case 4:
		entries[at].deflate = !e.deflate
	case 5:
		other := r.IntN(len(entries))
		entries[at], entries[other] = entries[other], entries[at]
	case 6:
		for i := range entries {
			switch entries[i].inFolder() {
			case "version", ".data/version":
				entries[i].data = []byte(among(r, []string{"", "0", "1\n", "2\n", "3\n", "5\n", "9\n", "10\n", "12\n", "11111", "-1", "x", "99999999999999999999"}))
			case "byteorder":
				entries[i].data = []byte(among(r, []string{"", "big", "little", "x"}))
			}
		}
	case 7:
		root, _, _ := strings.Cut(e.name, "/")
		name := among(r, []string{"extra/a", "attributes.pkl", "model.json", "data/999", "code/x.py", "mobile_debug_handles.pkl", "bytecode.pkl", "constants/0", "tensors/0", ".format_version"})
		return append(entries, entry{root + "/" + name, e.data, r.one(2)})
	}
	return entries
}
