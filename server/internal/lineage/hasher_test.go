package lineage

import (
	"bytes"
	"math"
	"slices"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// tensor is one field of a record and where a test's records are made of.
type tensor struct {
	dtype  bastionlabv1.DType
	shape  []int64
	values any
}

func sum(t testing.TB, key Key, label tensor, inputs ...tensor) Digest {
	t.Helper()
	schema := &bastionlabv1.Schema{}
	var record []byte
	for i, in := range append(slices.Clone(inputs), label) {
		spec := &bastionlabv1.TensorSpec{Name: string(rune('a' + i)), Dtype: in.dtype, Shape: in.shape}
		if i == len(inputs) {
			schema.Label = spec
		} else {
			schema.Inputs = append(schema.Inputs, spec)
		}
		record = append(record, raw(in.values)...)
	}
	h, err := NewHasher(key, schema)
	if err != nil {
		t.Fatal(err)
	}
	var digests [2]Digest
	for i := range digests { // the second time in what the first has left behind
		if digests[i], err = h.Sum(record); err != nil {
			t.Fatal(err)
		}
	}
	if digests[0] != digests[1] {
		t.Fatal("one record has two digests")
	}
	return digests[0]
}

func TestWhatIsTheSameRecord(t *testing.T) {
	key := Key{1}
	ids, mask := tensor{i32, []int64{4}, []int32{5, 6, 7, 0}}, tensor{boolean, []int64{1, 4}, []byte{1, 1, 1, 0}}
	label := tensor{u8, nil, uint8(1)}
	want := sum(t, key, label, ids, mask)
	for name, test := range map[string]struct {
		same bool
		got  Digest
	}{
		"ids as int64":            {true, sum(t, key, label, tensor{i64, []int64{4}, []int64{5, 6, 7, 0}}, mask)},
		"ids as uint8":            {true, sum(t, key, label, tensor{u8, []int64{4}, []uint8{5, 6, 7, 0}}, mask)},
		"ids as float64":          {true, sum(t, key, label, tensor{f64, []int64{4}, []float64{5, 6, 7, 0}}, mask)},
		"mask as float32":         {true, sum(t, key, label, ids, tensor{f32, []int64{4}, []float32{1, 1, 1, 0}})},
		"label as int64":          {true, sum(t, key, tensor{i64, nil, int64(1)}, ids, mask)},
		"label of another rank":   {true, sum(t, key, tensor{u8, []int64{1}, []uint8{1}}, ids, mask)},
		"another shape":           {true, sum(t, key, label, tensor{i32, []int64{2, 2}, []int32{5, 6, 7, 0}}, mask)},
		"inputs in another order": {true, sum(t, key, label, mask, ids)}, // and so under each other's names
		"a value":                 {false, sum(t, key, label, tensor{i32, []int64{4}, []int32{5, 6, 7, 1}}, mask)},
		"values in another order": {false, sum(t, key, label, tensor{i32, []int64{4}, []int32{6, 5, 7, 0}}, mask)},
		"a longer padding":        {false, sum(t, key, label, tensor{i32, []int64{5}, []int32{5, 6, 7, 0, 0}}, mask)},
		"another label":           {false, sum(t, key, tensor{u8, nil, uint8(0)}, ids, mask)},
		"an input less":           {false, sum(t, key, label, ids)},
		"an input more":           {false, sum(t, key, label, ids, mask, tensor{u8, nil, uint8(0)})},
		"an input twice":          {false, sum(t, key, label, ids, mask, mask)},
		"two inputs joined":       {false, sum(t, key, label, tensor{i32, []int64{8}, []int32{5, 6, 7, 0, 1, 1, 1, 0}})},
		"label and input changed": {false, sum(t, key, mask, ids, label)},
		"another owner":           {false, sum(t, Key{2}, label, ids, mask)},
	} {
		if (test.got == want) != test.same {
			t.Errorf("%s: the same record is %v, want %v", name, test.got == want, test.same)
		}
	}
}

// Tensors larger than what is brought into canonical form at once, in dtypes of every size: as many elements, whole ones.
func TestLargeTensors(t *testing.T) {
	const n = 3*formsAtOnce + 5
	small, wide, float := make([]uint8, n), make([]int64, n), make([]float32, n)
	for i := range n {
		small[i] = uint8(i * 7)
		wide[i], float[i] = int64(small[i]), float32(small[i])
	}
	label := tensor{u8, nil, uint8(0)}
	want := sum(t, Key{}, label, tensor{u8, []int64{n}, small})
	if sum(t, Key{}, label, tensor{i64, []int64{n}, wide}) != want || sum(t, Key{}, label, tensor{f32, []int64{n}, float}) != want {
		t.Error("a wider dtype is another record")
	}
	for _, i := range []int{0, formsAtOnce/8 - 1, formsAtOnce / 8, formsAtOnce - 1, formsAtOnce, n - 1} {
		wide[i]++
		if sum(t, Key{}, label, tensor{i64, []int64{n}, wide}) == want {
			t.Errorf("element %d does not count", i)
		}
		wide[i]--
	}
	wide[n-1] = math.MaxInt64 // of a longer form
	if sum(t, Key{}, label, tensor{i64, []int64{n}, wide}) == want {
		t.Error("an integer beyond the float64s does not count")
	}
}

func TestWhatIsNoRecordIsNotDigested(t *testing.T) {
	u8s := func(shape ...int64) *bastionlabv1.TensorSpec {
		return &bastionlabv1.TensorSpec{Dtype: u8, Shape: shape}
	}
	h, err := NewHasher(Key{}, &bastionlabv1.Schema{Inputs: []*bastionlabv1.TensorSpec{u8s(3)}, Label: u8s()})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 3, 5, 8} {
		if _, err := h.Sum(bytes.Repeat([]byte{1}, size)); err == nil {
			t.Errorf("a record of %d bytes has a digest", size)
		}
	}
	for name, schema := range map[string]*bastionlabv1.Schema{
		"no schema":        nil,
		"no label":         {Inputs: []*bastionlabv1.TensorSpec{u8s(3)}},
		"an unknown dtype": {Inputs: []*bastionlabv1.TensorSpec{{Dtype: 99}}, Label: u8s()},
		"too large":        {Inputs: []*bastionlabv1.TensorSpec{u8s(math.MaxInt64), u8s(math.MaxInt64)}, Label: u8s()},
	} {
		if _, err := NewHasher(Key{}, schema); err == nil {
			t.Errorf("%s: a hasher", name)
		}
	}
}
