package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

func file(header string, data ...byte) []byte {
	f := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(f, header...), data...)
}

// The file was written by the Python library: the reading must be the one that its author meant.
func TestDecodeReadsWhatTheReferenceImplementationWrites(t *testing.T) {
	raw, err := os.ReadFile("testdata/by_python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Tensor{}
	for _, tensor := range tensors {
		got[tensor.Name] = tensor
	}
	ids := []byte{}
	for i := range uint64(6) {
		ids = binary.LittleEndian.AppendUint64(ids, i)
	}
	want := map[string]Tensor{
		"input.ids": {"input.ids", bastionlabv1.DType_DTYPE_I64, []int64{2, 3}, ids},
		"label":     {"label", bastionlabv1.DType_DTYPE_U8, []int64{2}, []byte{1, 0}},
		"h":         {"h", bastionlabv1.DType_DTYPE_F16, []int64{2}, []byte{0x00, 0x3e, 0x00, 0xc0}},
		"b":         {"b", bastionlabv1.DType_DTYPE_BOOL, []int64{2, 1}, []byte{1, 0}},
		"s":         {"s", bastionlabv1.DType_DTYPE_F64, []int64{}, binary.LittleEndian.AppendUint64(nil, math.Float64bits(2.5))},
		`é"\`:       {`é"\`, bastionlabv1.DType_DTYPE_F32, []int64{0, 4}, []byte{}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	scanned, offset, err := Scan(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for i, tensor := range scanned {
		if tensor.Data != nil || tensor.Name != tensors[i].Name {
			t.Errorf("scan differs from decode at tensor %d", i)
		}
		size, _ := tensor.Bytes()
		if !bytes.Equal(raw[offset:offset+size], tensors[i].Data) {
			t.Errorf("tensor %d does not lie where Scan says", i)
		}
		offset += size
	}
}

func TestWriteThenDecodeIsTheSame(t *testing.T) {
	tensors := []Tensor{
		{"w", bastionlabv1.DType_DTYPE_F32, []int64{2, 2}, bytes.Repeat([]byte{7}, 16)},
		{"empty", bastionlabv1.DType_DTYPE_I16, []int64{3, 0}, []byte{}},
		{"scalar", bastionlabv1.DType_DTYPE_BOOL, []int64{}, []byte{1}},
		{"<&>\"", bastionlabv1.DType_DTYPE_BF16, []int64{1}, []byte{1, 2}},
	}
	var out bytes.Buffer
	if err := Write(&out, tensors); err != nil {
		t.Fatal(err)
	}
	back, err := Decode(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, tensors) {
		t.Errorf("got  %v\nwant %v", back, tensors)
	}
	header, err := Header(tensors)
	if err != nil || !bytes.HasPrefix(out.Bytes(), header) || len(header)%8 != 0 {
		t.Errorf("Header is not the beginning of the file, or not a multiple of 8 (%v)", err)
	}
}

func TestWriteRefusesWhatItCouldNotReadBack(t *testing.T) {
	f32 := bastionlabv1.DType_DTYPE_F32
	cases := map[string][]Tensor{
		"no name":         {{"", f32, nil, make([]byte, 4)}},
		"reserved name":   {{"__metadata__", f32, nil, make([]byte, 4)}},
		"bad utf-8":       {{"\xff", f32, nil, make([]byte, 4)}},
		"long name":       {{strings.Repeat("n", MaxNameBytes+1), f32, nil, make([]byte, 4)}},
		"same name twice": {{"a", f32, nil, make([]byte, 4)}, {"a", f32, nil, make([]byte, 4)}},
		"short data":      {{"a", f32, []int64{2}, make([]byte, 7)}},
		"unknown dtype":   {{"a", bastionlabv1.DType_DTYPE_UNSPECIFIED, nil, nil}},
		"overflow":        {{"a", f32, []int64{math.MaxInt64, 2}, nil}},
		"sum overflows":   {{"a", f32, []int64{1 << 60}, nil}, {"b", f32, []int64{1 << 60}, nil}},
	}
	for name, tensors := range cases {
		if err := Write(&bytes.Buffer{}, tensors); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if _, err := Header(cases["sum overflows"]); err == nil {
		t.Error("Header: data beyond an int64 accepted")
	}
}

func TestDecodeRefusesEveryFileWithoutExactlyOneReading(t *testing.T) {
	a := `"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`
	deep := `{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`
	cases := map[string][]byte{
		"empty":                     {},
		"half a length":             {1, 0, 0},
		"header beyond the file":    {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'},
		"header length of 2^64-1":   bytes.Repeat([]byte{255}, 16),
		"header length of 2^63":     {0, 0, 0, 0, 0, 0, 0, 128, '{', '}'},
		"no header":                 file(``),
		"not an object":             file(`[]`),
		"leading space":             file(` {}`),
		"null":                      file(`{"a":null}`),
		"two objects":               file(`{}{}`),
		"trailing rubbish":          file(`{}x`),
		"NUL padding":               file("{}\x00"),
		"bad utf-8":                 file("{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1),
		"trailing comma":            file(`{`+a+`,}`, 1),
		"name twice":                file(`{`+a+`,`+a+`}`, 1),
		"name twice, escaped":       file(`{`+a+`,"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 1, 2),
		"no name":                   file(`{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"unknown key":               file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}`, 1),
		"key in another case":       file(`{"a":{"DType":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"dtype twice":               file(`{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"shape missing":             file(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1),
		"dtype missing":             file(`{"a":{"shape":[1],"data_offsets":[0,1]}}`, 1),
		"offsets missing":           file(`{"a":{"dtype":"U8","shape":[0]}}`),
		"unknown dtype":             file(`{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}`, 1),
		"dtype a number":            file(`{"a":{"dtype":3,"shape":[1],"data_offsets":[0,1]}}`, 1),
		"negative dimension":        file(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, 1),
		"minus zero":                file(`{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}`),
		"dimension with a fraction": file(`{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`, 1),
		"dimension with exponent":   file(`{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}`, 1),
		"dimension of 2^63":         file(`{"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}}`, 1),
		"size overflows to fit":     file(`{"a":{"dtype":"U8","shape":[4294967296,4294967296,1],"data_offsets":[0,0]}}`),
		"overflow hidden by a zero": file(`{"a":{"dtype":"U8","shape":[9223372036854775807,9223372036854775807,0],"data_offsets":[0,0]}}`),
		"overflow behind a zero":    file(`{"a":{"dtype":"U8","shape":[0,9223372036854775807,9223372036854775807],"data_offsets":[0,0]}}`),
		"rank too high":             file(`{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}`, 1),
		"one offset":                file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}`, 1),
		"three offsets":             file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}`, 1),
		"offsets backwards":         file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1),
		"offsets too wide":          file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,2]}}`, 1, 2),
		"data too short":            file(`{` + a + `}`),
		"data too long":             file(`{`+a+`}`, 1, 2),
		"data without a tensor":     file(`{}`, 1),
		"gap":                       file(`{`+a+`,"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 1, 2, 3),
		"overlap":                   file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 1, 2, 3),
		"same place twice":          file(`{`+a+`,"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"metadata not texts":        file(`{"__metadata__":{"a":1},` + a + `}`),
		"metadata twice":            file(`{"__metadata__":{},"__metadata__":{},`+a+`}`, 1),
		"deep nesting":              file(deep),
		"cut":                       file(`{` + a)[:20],
	}
	for name, raw := range cases {
		if tensors, err := Decode(raw); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, %v", name, tensors, err)
		}
		if _, _, err := Scan(bytes.NewReader(raw), int64(len(raw))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: scanned: %v", name, err)
		}
	}
}

func TestSizes(t *testing.T) {
	f64 := bastionlabv1.DType_DTYPE_F64
	cases := []struct {
		dtype bastionlabv1.DType
		shape []int64
		want  int64 // -1: refused
	}{
		{f64, nil, 8}, {f64, []int64{2, 3}, 48}, {f64, []int64{2, 0}, 0}, {bastionlabv1.DType_DTYPE_BF16, []int64{5}, 10},
		{bastionlabv1.DType_DTYPE_U8, []int64{math.MaxInt64}, math.MaxInt64},
		{f64, []int64{math.MaxInt64}, -1}, {f64, []int64{1 << 31, 1 << 31}, -1}, {f64, []int64{0, math.MaxInt64}, -1},
		{f64, []int64{-1}, -1}, {f64, []int64{-1, -8}, -1}, {f64, []int64{0, -1}, -1}, {f64, make([]int64, MaxRank+1), -1},
		{bastionlabv1.DType_DTYPE_UNSPECIFIED, nil, -1}, {99, nil, -1},
	}
	for _, c := range cases {
		got, err := SizeBytes(c.dtype, c.shape)
		if (err != nil) != (c.want < 0) || (err == nil && got != c.want) {
			t.Errorf("%s %v: %d, %v, want %d", DTypeName(c.dtype), c.shape, got, err, c.want)
		}
	}
}

func TestNoErrorQuotesTheFile(t *testing.T) {
	const planted = "PLANTED"
	for _, raw := range [][]byte{
		file(`{"PLANTED":{"dtype":"PLANTED","shape":[1],"data_offsets":[0,1]}}`, 1),
		file(`{"PLANTED":{"PLANTED":1}}`),
		file(`{"PLANTED":{"dtype":"U8","shape":["PLANTED"],"data_offsets":[0,1]}}`, 1),
		file(`{PLANTED}`),
	} {
		if _, err := Decode(raw); err == nil || strings.Contains(err.Error(), planted) {
			t.Errorf("got %v", err)
		}
	}
}

func TestScanTellsAReadErrorFromAMalformedFile(t *testing.T) {
	raw := file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)
	if _, _, err := Scan(bytes.NewReader(raw[:12]), int64(len(raw))); err == nil || errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// What Decode accepts, Write reproduces in meaning: same names, types, shapes and bytes.
func FuzzDecode(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1))
	f.Add(file(`{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}  `))
	if raw, err := os.ReadFile("testdata/by_python.safetensors"); err == nil {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		tensors, err := Decode(raw)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		total := 0
		for _, tensor := range tensors {
			total += len(tensor.Data)
		}
		if total > len(raw) {
			t.Fatalf("%d bytes of data out of %d", total, len(raw))
		}
		var out bytes.Buffer
		if err := Write(&out, tensors); err != nil {
			t.Fatalf("accepted, but cannot be written: %v", err)
		}
		back, err := Decode(out.Bytes())
		if err != nil || !reflect.DeepEqual(back, tensors) {
			t.Fatalf("reads back as %v, %v, not %v", back, err, tensors)
		}
	})
}
