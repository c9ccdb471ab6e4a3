package training

import (
	"bytes"
	"os"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// FuzzOutput reads whatever a trainer that was taken over may leave in its output: nothing but the parameters comes of it, each with all of
// its bytes, and in the report's order.
func FuzzOutput(f *testing.F) {
	const f32, f64 = bastionlabv1.DType_DTYPE_F32, bastionlabv1.DType_DTYPE_F64
	parameters := []*bastionlabv1.ParameterReport{
		{Name: "weight", Dtype: f32, Shape: []int64{2, 3}, Trainable: true},
		{Name: "frozen", Dtype: f64, Shape: []int64{1}},
		{Name: "bias", Dtype: f32, Shape: []int64{3}, Trainable: true},
	}
	weight := safetensors.Tensor{Name: "weight", DType: f32, Shape: []int64{2, 3}, Data: make([]byte, 24)}
	bias := safetensors.Tensor{Name: "bias", DType: f32, Shape: []int64{3}, Data: make([]byte, 12)}
	frozen := safetensors.Tensor{Name: "frozen", DType: f64, Shape: []int64{1}, Data: make([]byte, 8)}
	for _, tensors := range [][]safetensors.Tensor{{weight, bias}, {bias, weight}, {weight}, {weight, bias, frozen}, {}} {
		var file bytes.Buffer
		if err := safetensors.Write(&file, tensors); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes(), int64(file.Len()))
		f.Add(append(file.Bytes(), "a record"...), int64(file.Len()))
	}
	output, err := storage.NewMemfd("output")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { output.Close() })
	f.Fuzz(func(t *testing.T, content []byte, announced int64) {
		write(t, output, content)
		trained, err := readOutput(output, announced, parameters)
		if err != nil {
			return
		}
		if announced != int64(len(content)) || len(trained) != 2 || trained[0].Name != "weight" || trained[1].Name != "bias" {
			t.Fatalf("of %d bytes, announced as %d, came %v", len(content), announced, trained)
		}
		for i, want := range []int64{24, 12} {
			if at := trained[i].offset; trained[i].bytes != want || at < 0 || at+want > int64(len(content)) || trained[i].DType != f32 {
				t.Fatalf("%s lies at %d with %d bytes in a file of %d", trained[i].Name, at, trained[i].bytes, len(content))
			}
		}
	})
}

func write(t *testing.T, file *os.File, content []byte) {
	t.Helper()
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
}
