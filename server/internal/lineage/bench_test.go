package lineage

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// BenchmarkSum is per record; MB/s are of records as they lie.
func BenchmarkSum(b *testing.B) {
	for _, c := range []struct {
		name  string
		dtype bastionlabv1.DType
		shape []int64
	}{
		{"one number", f32, nil}, {"text, uint8 200", u8, []int64{200}}, {"tokens, int64 64", i64, []int64{64}},
		{"image, uint8 3x224x224", u8, []int64{3, 224, 224}}, {"image, float16 3x224x224", f16, []int64{3, 224, 224}}, {"image, float32 3x224x224", f32, []int64{3, 224, 224}},
	} {
		b.Run(c.name, func(b *testing.B) {
			h, err := NewHasher(Key{}, &bastionlabv1.Schema{
				Inputs: []*bastionlabv1.TensorSpec{{Dtype: c.dtype, Shape: c.shape}}, Label: &bastionlabv1.TensorSpec{Dtype: i64},
			})
			if err != nil {
				b.Fatal(err)
			}
			record := make([]byte, h.recordBytes)
			for i := range record {
				record[i] = byte(i * 11)
			}
			b.SetBytes(int64(len(record)))
			for b.Loop() {
				if _, err := h.Sum(record); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSet is what a dataset of a million rows takes at its upload, against an account of as many of which it has half.
func BenchmarkSet(b *testing.B) {
	const rows = 1_000_000
	digests := func(from int) []Digest {
		list := make([]Digest, rows)
		for i := range list {
			random := rand.New(rand.NewPCG(uint64(from+i), 1))
			for j := range list[i] {
				list[i][j] = byte(random.Uint32())
			}
		}
		return list
	}
	unsorted := digests(0)
	upload, account := NewSet(slices.Clone(unsorted)), NewSet(digests(rows/2))
	var file bytes.Buffer
	if _, err := upload.WriteTo(&file); err != nil {
		b.Fatal(err)
	}
	for name, run := range map[string]func(){
		"make": func() { NewSet(slices.Clone(unsorted)) },
		"compare and decide": func() {
			Decide(Upload{Rows: upload.Len()}, []Known{{Account: "a", Rows: account.Len(), Shared: Common(upload, account)}})
		},
		"unite":  func() { Union(upload, account) },
		"encode": func() { upload.WriteTo(io.Discard) },
		"decode": func() { ReadSet(bytes.NewReader(file.Bytes())) },
	} {
		b.Run(fmt.Sprintf("%s %d", name, rows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
