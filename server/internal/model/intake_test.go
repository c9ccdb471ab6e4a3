package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// intake stands for the sandboxed process.
type intake func(request *trainerv1.Intake, archive, output *os.File) (*trainerv1.IntakeDone, error)

func (i intake) Intake(_ context.Context, request *trainerv1.Intake, archive, output *os.File) (*trainerv1.IntakeDone, error) {
	return i(request, archive, output)
}

// unrolled is what the intake makes of the archive of these tests, and what it says about it.
type unrolled struct {
	program.Canonical
	payload []byte // instead of the canonical one
	done    *trainerv1.IntakeDone
}

func (u *unrolled) file() []byte {
	if u.payload != nil {
		return u.payload
	}
	var file bytes.Buffer
	if err := program.Write(&file, u.Graph, u.Tensors); err != nil {
		panic(err)
	}
	return file.Bytes()
}

func unroll(schema *bastionlabv1.Schema, loss string) *unrolled {
	value := func(number int64) *trainerv1.Operand {
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Value{Value: number}}
	}
	return &unrolled{
		Canonical: program.Canonical{
			Graph: &trainerv1.Graph{
				Schema: schema, Loss: loss, Output: 2, OutputName: "logits",
				Parameters: []*trainerv1.Parameter{{Name: "head.weight", Trainable: true}},
				Steps:      []*trainerv1.Step{{Operator: "aten::linear", Layer: "head", Operands: []*trainerv1.Operand{value(0), value(1)}, Results: 1}},
			},
			Tensors: []safetensors.Tensor{{DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{3, 4}, Data: make([]byte, 48)}},
		},
		done: &trainerv1.IntakeDone{Report: &bastionlabv1.CapabilityReport{
			Operators:  []*bastionlabv1.OperatorUse{{Name: "aten::linear", Count: 1}},
			Parameters: []*bastionlabv1.ParameterReport{{Name: "head.weight", Measurement: "linear"}},
			Outputs:    []*bastionlabv1.TensorSpec{{Name: "logits", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1, 3}}},
		}},
	}
}

// honest writes what was unrolled, after a change that makes it less honest.
func honest(change func(*unrolled)) intake {
	return func(request *trainerv1.Intake, archive, output *os.File) (*trainerv1.IntakeDone, error) {
		content, err := io.ReadAll(archive)
		if err != nil {
			return nil, err
		}
		if digest := sha256.Sum256(content); int64(len(content)) != request.GetArchiveBytes() || !bytes.Equal(digest[:], request.GetArchiveSha256()) {
			return nil, errors.New("the archive is not the one that was announced")
		}
		made := unroll(request.GetSchema(), request.GetLoss())
		if change != nil {
			change(made)
		}
		made.done.ProgramBytes = int64(len(made.file()))
		_, err = output.WriteAt(made.file(), 0)
		return made.done, err
	}
}

// withUnknownField adds a field to the graph that this release does not know.
func withUnknownField(file []byte) []byte {
	const length, alignment = 8, 64
	end := length + int(binary.LittleEndian.Uint64(file))
	tensors := file[(end+alignment-1)/alignment*alignment:]
	file = append(slices.Clone(file[:end]), 0x98, 0x06, 0x01)
	binary.LittleEndian.PutUint64(file, uint64(len(file)-length))
	for len(file)%alignment != 0 {
		file = append(file, 0)
	}
	return append(file, tensors...)
}

func archiveFile(t *testing.T) []byte {
	t.Helper()
	archive, err := os.ReadFile("../program/testdata/scripted.pt")
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func send(t *testing.T, c *Catalogue, archive []byte) (*bastionlabv1.UploadModelResponse, error) {
	t.Helper()
	upload, err := c.Begin(t.Context(), "alice", &bastionlabv1.UploadModelHeader{Loss: "cross_entropy", ArchiveBytes: int64(len(archive))})
	if err != nil {
		t.Fatal(err)
	}
	defer upload.Abort()
	if err := upload.Add(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(archive)
	return upload.Finish(t.Context(), &bastionlabv1.UploadModelTrailer{Sha256: digest[:]})
}

func TestAnArchiveBecomesAProgramThatTheServerHasRead(t *testing.T) {
	c, store := open(t)
	response, err := send(t, c, archiveFile(t))
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Get(t.Context(), "alice", response.GetModelId())
	if err != nil {
		t.Fatal(err)
	}
	payload := unroll(testSchema, "cross_entropy").file()
	digest := sha256.Sum256(payload)
	want := &trainerv1.Program{PayloadSha256: digest[:], PayloadBytes: int64(len(payload)), Schema: testSchema, Loss: "cross_entropy"}
	if !proto.Equal(m.Program, want) {
		t.Errorf("known as %v, want %v", m.Program, want)
	}
	report := &bastionlabv1.CapabilityReport{
		Operators:     []*bastionlabv1.OperatorUse{{Name: "aten::linear", Count: 1}},
		Parameters:    []*bastionlabv1.ParameterReport{{Name: "head.weight", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{3, 4}, Trainable: true, Measurement: "linear"}},
		Inputs:        testSchema.GetInputs(),
		Outputs:       []*bastionlabv1.TensorSpec{{Name: "logits", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1, 3}}},
		ProgramSha256: digest[:],
	}
	if !proto.Equal(response.GetReport(), report) || !proto.Equal(m.Report, report) {
		t.Errorf("reported %v, kept %v", response.GetReport(), m.Report)
	}
	file, err := c.Open(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if kept, err := io.ReadAll(file); err != nil || !bytes.Equal(kept, payload) {
		t.Errorf("%d bytes are kept, %v", len(kept), err)
	}
	if left := blobs(t, store, archiveKind); len(left) != 0 {
		t.Errorf("archives are left: %v", left)
	}
}

// Whatever is wrong, nothing stays: no archive, no program, no model.
func expectNothing(t *testing.T, c *Catalogue) {
	t.Helper()
	for _, kind := range []string{archiveKind, programKind} {
		if left := blobs(t, c.Store, kind); len(left) != 0 {
			t.Errorf("left of kind %s: %v", kind, left)
		}
	}
	if models, err := c.Store.ModelsOf(t.Context(), "alice"); err != nil || len(models) != 0 {
		t.Errorf("known: %v, %v", models, err)
	}
}

func TestAnArchiveThatIsNotTakenLeavesNothing(t *testing.T) {
	unread := func(*trainerv1.Intake, *os.File, *os.File) (*trainerv1.IntakeDone, error) {
		t.Error("it was read all the same")
		return nil, errors.New("read")
	}
	for name, test := range map[string]struct {
		archive []byte
		spoil   func(*bastionlabv1.UploadModelTrailer)
		intake  intake
		kind    refusal.Kind
	}{
		"no archive":     {[]byte("PK\x03\x04 and nothing behind it"), nil, unread, refusal.InvalidArgument},
		"another digest": {archiveFile(t), func(t *bastionlabv1.UploadModelTrailer) { t.Sha256[0] ^= 1 }, unread, refusal.InvalidArgument},
		"refused": {archiveFile(t), nil, func(*trainerv1.Intake, *os.File, *os.File) (*trainerv1.IntakeDone, error) {
			return nil, refusal.New(refusal.IncompatibleModel, "use a layer norm", "batch norm mixes records")
		}, refusal.IncompatibleModel},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := open(t)
			c.Intake = test.intake
			upload, err := c.Begin(t.Context(), "alice", &bastionlabv1.UploadModelHeader{Loss: "cross_entropy", ArchiveBytes: int64(len(test.archive))})
			if err != nil {
				t.Fatal(err)
			}
			defer upload.Abort()
			if err := upload.Add(t.Context(), test.archive); err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256(test.archive)
			trailer := &bastionlabv1.UploadModelTrailer{Sha256: digest[:]}
			if test.spoil != nil {
				test.spoil(trailer)
			}
			if _, err := upload.Finish(t.Context(), trailer); refusal.KindOf(err) != test.kind {
				t.Errorf("got %v", err)
			}
			expectNothing(t, c)
		})
	}
}

// SECURITY: the intake may be the author's by now. Its report looks fine in each of these cases but where the report itself is spoilt.
func TestAHostileIntakeIsNotBelieved(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*unrolled)
		kind   refusal.Kind
		words  string
	}{
		"a forbidden operator":  {func(u *unrolled) { u.Graph.Steps[0].Operator = "aten::native_batch_norm" }, refusal.IncompatibleModel, "mixes the records of a batch"},
		"an unknown operator":   {func(u *unrolled) { u.Graph.Steps[0].Operator = "aten::steal" }, refusal.IncompatibleModel, "aten::steal in layer head"},
		"a value that dangles":  {func(u *unrolled) { u.Graph.Steps[0].Operands[1].Kind = &trainerv1.Operand_Value{Value: 2} }, refusal.Internal, "a value that is not there yet"},
		"a tensor that dangles": {func(u *unrolled) { u.Graph.Parameters[0].Tensor = 1 }, refusal.Internal, "parameter 0 has no tensor"},
		"a tensor for nobody": {func(u *unrolled) {
			u.Tensors = append(u.Tensors, safetensors.Tensor{DType: bastionlabv1.DType_DTYPE_U8, Shape: []int64{4}, Data: []byte("loot")})
		}, refusal.Internal, "nothing refers to tensor 1"},
		"another schema": {func(u *unrolled) {
			u.Graph.Schema = proto.CloneOf(u.Graph.Schema)
			u.Graph.Schema.Inputs[0].Shape = []int64{5}
		}, refusal.Internal, "its schema or its loss"},
		"another loss":                    {func(u *unrolled) { u.Graph.Loss = "l1" }, refusal.Internal, "its schema or its loss"},
		"an unknown field":                {func(u *unrolled) { u.payload = withUnknownField(u.file()) }, refusal.Internal, "a field that there is not"},
		"nothing":                         {func(u *unrolled) { u.payload = []byte{} }, refusal.Internal, "0 bytes"},
		"the archive":                     {func(u *unrolled) { u.payload = []byte("PK\x03\x04, once more") }, refusal.Internal, "larger than a program may be"},
		"a byte behind the program":       {func(u *unrolled) { u.payload = append(u.file(), 0) }, refusal.Internal, "its tensors"},
		"no report":                       {func(u *unrolled) { u.done.Report = nil }, refusal.Internal, "report is malformed"},
		"no answer":                       {func(u *unrolled) { u.done = &trainerv1.IntakeDone{} }, refusal.Internal, "report is malformed"},
		"a report of another parameter":   {func(u *unrolled) { u.done.Report.Parameters[0].Name = "head.bias" }, refusal.Internal, "report is malformed"},
		"a report of fewer parameters":    {func(u *unrolled) { u.done.Report.Parameters = nil }, refusal.Internal, "report is malformed"},
		"a report that paints the screen": {func(u *unrolled) { u.done.Report.Parameters[0].Measurement = "\x1b[2J" }, refusal.Internal, "report is malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := open(t)
			c.Intake = honest(test.change)
			_, err := send(t, c, archiveFile(t))
			if err == nil || refusal.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %v", err)
			}
			expectNothing(t, c)
		})
	}
}

// What it says beyond the two texts is not even looked at.
func TestWhatTheIntakeClaimsIsReplaced(t *testing.T) {
	c, _ := open(t)
	c.Intake = intake(func(request *trainerv1.Intake, archive, output *os.File) (*trainerv1.IntakeDone, error) {
		done, err := honest(func(u *unrolled) {
			u.done.Report.Operators = []*bastionlabv1.OperatorUse{{Name: "aten::harmless", Count: 7}}
			u.done.Report.ProgramSha256 = []byte("another")
			u.done.Report.Parameters[0].Trainable = false
		})(request, archive, output)
		done.ProgramBytes = 1 << 50
		return done, err
	})
	response, err := send(t, c, archiveFile(t))
	if err != nil {
		t.Fatal(err)
	}
	report, digest := response.GetReport(), sha256.Sum256(unroll(testSchema, "cross_entropy").file())
	if !bytes.Equal(report.GetProgramSha256(), digest[:]) || len(report.GetOperators()) != 1 || report.GetOperators()[0].GetName() != "aten::linear" || !report.GetParameters()[0].GetTrainable() {
		t.Errorf("reported %v", report)
	}
}

// SECURITY: a program that could change after its judgement would be another than the ledger names.
func TestNobodyWritesToAProgramThatIsJudged(t *testing.T) {
	t.Run("a descriptor that was kept", func(t *testing.T) {
		c, _ := open(t)
		var kept *os.File
		c.Intake = intake(func(request *trainerv1.Intake, archive, output *os.File) (*trainerv1.IntakeDone, error) {
			fd, err := unix.FcntlInt(output.Fd(), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			kept = os.NewFile(uintptr(fd), "kept")
			return honest(nil)(request, archive, output)
		})
		if _, err := send(t, c, archiveFile(t)); err != nil {
			t.Fatal(err)
		}
		defer kept.Close()
		if _, err := kept.WriteAt([]byte{1}, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("written: %v", err)
		}
	})
	t.Run("a mapping that was kept", func(t *testing.T) {
		c, _ := open(t)
		var mapped []byte
		c.Intake = intake(func(request *trainerv1.Intake, archive, output *os.File) (*trainerv1.IntakeDone, error) {
			done, err := honest(nil)(request, archive, output)
			if err != nil {
				return nil, err
			}
			mapped, err = unix.Mmap(int(output.Fd()), 0, int(done.GetProgramBytes()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			return done, err
		})
		_, err := send(t, c, archiveFile(t))
		if err == nil || refusal.KindOf(err) != refusal.Internal {
			t.Errorf("got %v", err)
		}
		if err := unix.Munmap(mapped); err != nil {
			t.Error(err)
		}
		expectNothing(t, c)
	})
}
