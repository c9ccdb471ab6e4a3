package archivefuzz

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/program"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

const someSignatures = `softmax Tensor self:Tensor dim:int dtype:Optional[int]
add Tensor self:Tensor other:Tensor *alpha:number
topk Tensor,Tensor self:Tensor k:int dim:int largest:bool sorted:bool
split List[Tensor] self:Tensor split_size:int dim:int
item number self:Tensor
`

func samples(t testing.TB) []Sample {
	t.Helper()
	var all []Sample
	for _, name := range []string{"linear.pt", "words.pt", "batchnorm.pt"} {
		archive, err := os.ReadFile(filepath.Join("../supervisor/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Sample{Name: name, Archive: archive, Loss: "cross_entropy", Schema: &bastionlabv1.Schema{
			Inputs: []*bastionlabv1.TensorSpec{{Name: "x", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{4}}},
			Label:  &bastionlabv1.TensorSpec{Name: "label", Dtype: bastionlabv1.DType_DTYPE_I64},
		}})
	}
	return all
}

func outside(archive []byte) error {
	_, err := program.CheckArchive(bytes.NewReader(archive), int64(len(archive)), program.DefaultArchiveLimits())
	return err
}

func TestWhatIsPackedAgainHoldsTheSameAndIsTaken(t *testing.T) {
	for _, sample := range samples(t) {
		entries, err := unpack(sample.Archive)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := pack(entries)
		if err != nil {
			t.Fatal(err)
		}
		if err := outside(packed); err != nil {
			t.Errorf("%s: %v", sample.Name, err)
		}
		again, err := unpack(packed)
		if err != nil || !slices.EqualFunc(entries, again, func(a, b entry) bool {
			return a.name == b.name && a.deflate == b.deflate && bytes.Equal(a.data, b.data)
		}) {
			t.Errorf("%s: it holds something else now, %v", sample.Name, err)
		}
	}
}

func TestAMutantIsNamedByItsNumber(t *testing.T) {
	first, second := NewMutator(samples(t), someSignatures), NewMutator(samples(t), someSignatures)
	for number := range uint64(200) {
		a, b := first.Mutant(number), second.Mutant(number)
		if !bytes.Equal(a.Archive, b.Archive) || !proto.Equal(a.Schema, b.Schema) || a.Loss != b.Loss {
			t.Fatalf("mutant %d is two", number)
		}
	}
}

// What the check of the outside refuses never meets the parser: most mutants have to come past it, and nearly all have to be new.
func TestMostMutantsAreTakenOutsideAndAreNew(t *testing.T) {
	const count = 3000
	all := samples(t)
	mutator := NewMutator(all, someSignatures)
	taken, texts := 0, map[string]bool{}
	for number := range uint64(count) {
		mutant := mutator.Mutant(number)
		texts[string(mutant.Archive)+mutant.Schema.String()+mutant.Loss] = true
		if outside(mutant.Archive) != nil {
			continue
		}
		if taken++; taken%10 == 0 {
			mutator.Keep(mutant, taken%20 == 0)
		}
	}
	if taken < count*8/10 || len(texts) < count*8/10 {
		t.Errorf("of %d mutants %d are taken, %d are different", count, taken, len(texts))
	}
}

func TestEveryPickleOfTheSamplesIsUnderstood(t *testing.T) {
	for _, sample := range samples(t) {
		entries, err := unpack(sample.Archive)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range which(entries, entry.isPickle) {
			steps, ok := instructions(entries[i].data)
			if !ok || !bytes.Equal(slices.Concat(toBytes(steps)...), entries[i].data) {
				t.Errorf("%s of %s is not", entries[i].name, sample.Name)
			}
		}
	}
}

func TestASampleIsLoadedAsItWasSaved(t *testing.T) {
	directory := t.TempDir()
	want := samples(t)[0]
	if err := want.Save(directory, "one"); err != nil {
		t.Fatal(err)
	}
	got, err := Load(directory)
	if err != nil || len(got) != 1 || !bytes.Equal(got[0].Archive, want.Archive) || !proto.Equal(got[0].Schema, want.Schema) || got[0].Loss != want.Loss {
		t.Errorf("got %v, %v", got, err)
	}
}
