package program

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

const (
	f64 = bastionlabv1.DType_DTYPE_F64
	f32 = bastionlabv1.DType_DTYPE_F32
	i64 = bastionlabv1.DType_DTYPE_I64
	i16 = bastionlabv1.DType_DTYPE_I16
	u8  = bastionlabv1.DType_DTYPE_U8
)

func testSchema() *bastionlabv1.Schema {
	return &bastionlabv1.Schema{
		Inputs: []*bastionlabv1.TensorSpec{{Name: "x", Dtype: f32, Shape: []int64{3}}, {Name: "unused", Dtype: i64, Shape: []int64{2}}},
		Label:  &bastionlabv1.TensorSpec{Name: "label", Dtype: i64},
	}
}

// Operands, short.
func value(number int64) *trainerv1.Operand {
	return &trainerv1.Operand{Kind: &trainerv1.Operand_Value{Value: number}}
}
func tensor(number int64) *trainerv1.Operand {
	return &trainerv1.Operand{Kind: &trainerv1.Operand_Tensor{Tensor: number}}
}
func integer(number int64) *trainerv1.Operand {
	return &trainerv1.Operand{Kind: &trainerv1.Operand_Integer{Integer: number}}
}
func text(content string) *trainerv1.Operand {
	return &trainerv1.Operand{Kind: &trainerv1.Operand_Text{Text: content}}
}
func none() *trainerv1.Operand {
	return &trainerv1.Operand{Kind: &trainerv1.Operand_None{None: true}}
}
func list(elements ...*trainerv1.Operand) *trainerv1.Operand {
	return &trainerv1.Operand{Kind: &trainerv1.Operand_List_{List: &trainerv1.Operand_List{Elements: elements}}}
}

// model has something of everything: values 0 and 1 are inputs, 2 and 3 parameters, 4 and 5 what the first step gives, 6 the output.
func model() Canonical {
	return Canonical{
		Graph: &trainerv1.Graph{
			Schema: testSchema(), Loss: "cross_entropy", Output: 6, OutputName: "logits",
			Parameters: []*trainerv1.Parameter{
				{Name: "head.weight", Tensor: 2, Trainable: true},
				{Name: "head.scale", Tensor: 0, Trainable: true},
				{Name: "head.frozen", Tensor: 4},
			},
			Steps: []*trainerv1.Step{
				{Operator: "aten::relu", Layer: "first.0", Results: 2, Operands: []*trainerv1.Operand{
					value(0), tensor(1), tensor(3), text("ab,bc->ac"), list(), list(integer(1), none(), list(value(1), integer(-7))),
					{Kind: &trainerv1.Operand_Boolean{Boolean: false}}, {Kind: &trainerv1.Operand_Real{Real: -0.5}},
					{Kind: &trainerv1.Operand_Device{Device: true}},
				}},
				{Operator: "aten::linear", Overload: "Tensor_Scalar", Layer: "head", Results: 1, Operands: []*trainerv1.Operand{value(5), value(2), none()}},
			},
		},
		Tensors: []safetensors.Tensor{
			{DType: f64, Shape: []int64{}, Data: bytes.Repeat([]byte{1}, 8)},
			{DType: i64, Shape: []int64{2, 1}, Data: bytes.Repeat([]byte{2}, 16)},
			{DType: f32, Shape: []int64{2, 3}, Data: bytes.Repeat([]byte{3}, 24)},
			{DType: i16, Shape: []int64{1}, Data: []byte{4, 4}},
			{DType: u8, Shape: []int64{3, 0}, Data: []byte{}},
		},
	}
}

func write(t testing.TB, c Canonical) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := Write(&file, c.Graph, c.Tensors); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// sameForms says whether what was scanned is what was decoded, but for the data.
func sameForms(scanned, decoded Canonical) bool {
	return proto.Equal(scanned.Graph, decoded.Graph) && slices.EqualFunc(scanned.Tensors, decoded.Tensors, func(a, b safetensors.Tensor) bool {
		return a.Name == b.Name && a.DType == b.DType && slices.Equal(a.Shape, b.Shape) && a.Data == nil
	})
}

func TestWhatIsWrittenIsReadBackToTheByte(t *testing.T) {
	c := model()
	file := write(t, c)
	if size, err := Size(c.Graph, c.Tensors); err != nil || size != int64(len(file)) {
		t.Errorf("Size says %d, %v; %d bytes were written", size, err, len(file))
	}
	decoded, err := Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(decoded.Graph, c.Graph) || !reflect.DeepEqual(decoded.Tensors, numbered(c.Tensors)) {
		t.Errorf("got  %v\nwant %v", decoded, c)
	}
	if again := write(t, decoded); !bytes.Equal(again, file) {
		t.Error("written again it is another file")
	}
	scanned, err := Scan(bytes.NewReader(file), int64(len(file)))
	if err != nil || !sameForms(scanned, decoded) {
		t.Errorf("scanned %v, %v", scanned, err)
	}
	if c.Tensors[0].Name != "" {
		t.Error("Write has changed what it was given")
	}
}

// The engine uses the tensors where they are mapped. A graph of every length must leave them aligned.
func TestEveryTensorLiesAlignedToItsElements(t *testing.T) {
	for extra := range 80 {
		c := model()
		c.Graph.Loss = string(bytes.Repeat([]byte{'l'}, extra))
		file := write(t, c)
		decoded, err := Decode(file)
		if err != nil {
			t.Fatal(err)
		}
		at := len(file)
		for i := len(decoded.Tensors) - 1; i >= 0; i-- {
			at -= len(decoded.Tensors[i].Data) // they lie one after the other to the end
			if item := int(safetensors.ItemBytes(decoded.Tensors[i].DType)); at%item != 0 {
				t.Errorf("a graph of %d more bytes: tensor %d lies at %d, its elements take %d", extra, i, at, item)
			}
		}
	}
}

// lay puts a file together from its parts, however they are.
func lay(graph, padding, tensors []byte) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(graph)))
	return slices.Concat(file, graph, padding, tensors)
}

func tensorsFile(t testing.TB, tensors []safetensors.Tensor) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := safetensors.Write(&file, tensors); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func rawTensors(header string, data ...byte) []byte {
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), []byte(header), data)
}

// spoilt are files that have no reading, or more than one.
func spoilt(t testing.TB) map[string][]byte {
	t.Helper()
	c := model()
	graph, err := canonicalBytes(c.Graph)
	if err != nil {
		t.Fatal(err)
	}
	zeros := func(graph []byte) []byte {
		return make([]byte, aligned(int64(lengthBytes+len(graph)))-int64(lengthBytes+len(graph)))
	}
	tensors := tensorsFile(t, numbered(c.Tensors))
	ofGraph := func(graph []byte) []byte { return lay(graph, zeros(graph), tensors) }
	ofTensors := func(tensors []byte) []byte { return lay(graph, zeros(graph), tensors) }
	marshal := func(graph *trainerv1.Graph) []byte {
		encoded, err := canonicalBytes(graph)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	// In the midst of a message: a field that is unknown there.
	unknownIn := func(spoil func(*trainerv1.Graph, []byte)) []byte {
		altered := proto.CloneOf(c.Graph)
		spoil(altered, protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
		return ofGraph(marshal(altered))
	}
	deep := proto.CloneOf(c.Graph)
	deep.Steps[0].Operands[0] = list(list(list()))
	swapped := slices.Clone(c.Tensors)
	swapped[0], swapped[2] = swapped[2], swapped[0]
	renamed := numbered(c.Tensors)
	renamed[1].Name = "one"
	exchanged := numbered(c.Tensors)
	exchanged[0].Name, exchanged[1].Name = "1", "0"
	otherPadding := zeros(graph)
	otherPadding[len(otherPadding)-1] = 1
	ofU8 := func(header string) []byte { return ofTensors(rawTensors(header, 7)) }
	return map[string][]byte{
		"nothing":                         {},
		"half a length":                   {1, 0, 0},
		"a graph of one byte too many":    append(binary.LittleEndian.AppendUint64(nil, 9), make([]byte, 8)...),
		"a graph of 2^64-1 bytes":         append(bytes.Repeat([]byte{255}, 8), graph...),
		"a graph of 2^63 bytes":           append(binary.LittleEndian.AppendUint64(nil, 1<<63), graph...),
		"a graph alone":                   lay(graph, nil, nil),
		"a graph and its padding":         lay(graph, zeros(graph), nil),
		"padding that is not zero":        lay(graph, otherPadding, tensors),
		"no padding":                      lay(graph, nil, tensors),
		"a page of padding":               lay(graph, append(zeros(graph), make([]byte, 64)...), tensors),
		"a graph that is none":            ofGraph([]byte("no message at all")),
		"a graph that is cut":             ofGraph(graph[:len(graph)-1]),
		"an unknown field":                ofGraph(protowire.AppendVarint(protowire.AppendTag(slices.Clone(graph), 99, protowire.VarintType), 1)),
		"an unknown field of a schema":    unknownIn(func(g *trainerv1.Graph, raw []byte) { g.GetSchema().ProtoReflect().SetUnknown(raw) }),
		"an unknown field of a step":      unknownIn(func(g *trainerv1.Graph, raw []byte) { g.GetSteps()[0].ProtoReflect().SetUnknown(raw) }),
		"an unknown field of a parameter": unknownIn(func(g *trainerv1.Graph, raw []byte) { g.GetParameters()[0].ProtoReflect().SetUnknown(raw) }),
		"an unknown field of an operand":  unknownIn(func(g *trainerv1.Graph, raw []byte) { g.GetSteps()[0].GetOperands()[0].ProtoReflect().SetUnknown(raw) }),
		"an unknown field of a list": unknownIn(func(g *trainerv1.Graph, raw []byte) {
			g.GetSteps()[0].GetOperands()[4].GetList().ProtoReflect().SetUnknown(raw)
		}),
		"a field of another wire type":   ofGraph(protowire.AppendVarint(protowire.AppendTag(slices.Clone(graph), 2, protowire.VarintType), 1)),
		"a group":                        ofGraph(protowire.AppendTag(protowire.AppendTag(slices.Clone(graph), 4, protowire.StartGroupType), 4, protowire.EndGroupType)),
		"a field twice":                  ofGraph(protowire.AppendString(protowire.AppendTag(slices.Clone(graph), 2, protowire.BytesType), "cross_entropy")),
		"a default that is spelt out":    ofGraph(protowire.AppendVarint(protowire.AppendTag(marshal(&trainerv1.Graph{}), 5, protowire.VarintType), 0)),
		"a number with empty digits":     ofGraph(append(protowire.AppendTag(nil, 5, protowire.VarintType), 0x86, 0x80, 0x00)),
		"fields in another order":        ofGraph(protowire.AppendString(protowire.AppendTag(protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 6), 2, protowire.BytesType), "l1")),
		"bad utf-8":                      ofGraph(protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "\xff")),
		"lists three deep":               ofGraph(marshal(deep)),
		"no tensors":                     ofTensors([]byte("no safetensors")),
		"a byte behind the tensors":      ofTensors(append(slices.Clone(tensors), 0)),
		"a byte of the tensors missing":  ofTensors(tensors[:len(tensors)-1]),
		"tensors that are not aligned":   ofTensors(tensorsFile(t, numbered(swapped))),
		"tensors of other names":         ofTensors(tensorsFile(t, renamed)),
		"tensors with names exchanged":   ofTensors(tensorsFile(t, exchanged)),
		"a header with a space":          ofU8(`{ "0":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}  `),
		"a header with metadata":         ofU8(`{"__metadata__":{"smuggled":"goods"},"0":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`),
		"a header with keys in disorder": ofU8(`{"0":{"shape":[1],"dtype":"U8","data_offsets":[0,1]}}`),
		"a header that is not padded":    ofU8(`{"0":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`),
		"a header with an escape":        ofU8(`{"\u0030":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`),
	}
}

func TestAFileWithoutExactlyOneReadingIsRefused(t *testing.T) {
	for name, file := range spoilt(t) {
		decoded, err := Decode(file)
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: decoded as %v, %v", name, decoded, err)
		}
		if _, scanned := Scan(bytes.NewReader(file), int64(len(file))); scanned == nil || scanned.Error() != err.Error() {
			t.Errorf("%s: scanned with %v, decoded with %v", name, scanned, err)
		}
	}
	file := write(t, model())
	for size := range len(file) {
		if _, err := Decode(file[:size]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut to %d bytes: %v", size, err)
		}
	}
}

func TestScanTellsAReadErrorFromAMalformedFile(t *testing.T) {
	file := write(t, model())
	for _, size := range []int{4, 20, len(file) / 2} {
		if _, err := Scan(bytes.NewReader(file[:size]), int64(len(file))); err == nil || errors.Is(err, ErrMalformed) || errors.Is(err, ErrTooLarge) {
			t.Errorf("a file of %d bytes that should have %d: %v", size, len(file), err)
		}
	}
}

// A graph's bytes do not bound what it takes in memory: an operand of two bytes takes fifty times as much.
func TestAGraphIsWeighedBeforeItIsRead(t *testing.T) {
	step := bytes.Repeat([]byte{4<<3 | 2, 0}, maxParts) // field 4 of Step: an operand of nothing
	flat := protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), step)
	spec := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), make([]byte, maxParts)) // a shape
	schema := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), spec)
	wide := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), schema)
	for name, graph := range map[string][]byte{"operands": flat, "dimensions": wide} {
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := decodeGraph(graph); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s: %v", name, err)
			}
		})
		if allocated > 100 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
}

func TestWriteRefusesWhatCannotBeReadBack(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*Canonical)
		want  error
	}{
		"tensors out of order": {func(c *Canonical) { slices.Reverse(c.Tensors) }, ErrMalformed},
		"too many steps":       {func(c *Canonical) { c.Graph.Steps = make([]*trainerv1.Step, maxSteps+1) }, ErrTooLarge},
		"too many tensors":     {func(c *Canonical) { c.Tensors = make([]safetensors.Tensor, safetensors.MaxTensors+1) }, ErrTooLarge},
		"too many parts": {func(c *Canonical) {
			c.Graph.Steps[0].Operands = slices.Repeat([]*trainerv1.Operand{none()}, maxParts)
		}, ErrTooLarge},
		"too many bytes":       {func(c *Canonical) { c.Graph.OutputName = string(make([]byte, maxGraphBytes)) }, ErrTooLarge},
		"lists three deep":     {func(c *Canonical) { c.Graph.Steps[0].Operands[0] = list(list(list())) }, ErrMalformed},
		"a name of no letters": {func(c *Canonical) { c.Graph.OutputName = "\xff" }, nil},
		"data that are short":  {func(c *Canonical) { c.Tensors[0].Data = nil }, nil},
		"no dtype":             {func(c *Canonical) { c.Tensors[4].DType = 0 }, nil},
	} {
		c := model()
		test.spoil(&c)
		if err := Write(io.Discard, c.Graph, c.Tensors); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzCanonical feeds arbitrary files to both readers and to the judge: no panic, both say the same, and what is taken is what would be
// written.
func FuzzCanonical(f *testing.F) {
	parsed, err := ParseTable(table)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(write(f, model()))
	for _, file := range spoilt(f) {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		scanned, scanErr := Scan(bytes.NewReader(file), int64(len(file)))
		decoded, err := Decode(file)
		if fmt.Sprint(scanErr) != fmt.Sprint(err) {
			t.Fatalf("scanned with %v, decoded with %v", scanErr, err)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if !sameForms(scanned, decoded) {
			t.Fatalf("scanned %v, decoded %v", scanned, decoded)
		}
		if again := write(t, decoded); !bytes.Equal(again, file) {
			t.Fatal("written again it is another file")
		}
		judged := scanned.Judge(parsed, testSchema(), "cross_entropy")
		if fmt.Sprint(judged) != fmt.Sprint(decoded.Judge(parsed, testSchema(), "cross_entropy")) {
			t.Fatal("the judgement depends on the data")
		}
		if judged == nil {
			if _, err := scanned.Report(stated(scanned)); err != nil {
				t.Fatalf("judged, but not reported: %v", err)
			}
		}
	})
}
