package trainer

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/sandbox"
	"github.com/bastionlab/bastionlab/server/internal/seam"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// repetition is one record of a pass that failed.
type repetition struct {
	slot int64
	seed uint64
}

// fakeEngine takes every archive and every graph for one parameter of four bytes, and writes down what it is asked.
type fakeEngine struct {
	readErr, graphErr, tensorsErr, buildErr, rehearseErr, rehearsedPassErr, rehearsedStepErr, trainErr, evaluateErr, passErr, stepErr error

	device     string             // that programs compute on; empty: the CPU
	unrolled   *program.Canonical // what archives are read as; nil: testProgram
	trainers   int                // made so far: the first is for the rehearsal
	read       []byte
	built      *program.Canonical
	readings   int // open
	allowed    []string
	rehearsed  []int64
	training   Training
	evaluation Evaluation
	passFails  bool

	rehearsedPassFails bool
	failsOn            int64
	probed             []repetition
	again              [][]int64
	againSeeds         [][]uint64
	passes             [][]int64
	seeds              [][]uint64
	steps              int
	noise              [][]byte
	parameter          []byte
	moment             []byte // what the optimizer remembers once a step was made
}

func (e *fakeEngine) ABI() int32           { return 4 }
func (e *fakeEngine) TorchVersion() string { return "fake" }
func (e *fakeEngine) Device() string       { return cmp.Or(e.device, program.CPU) }

func (e *fakeEngine) Read(archive []byte, schema *bastionlabv1.Schema, allowed []string) (Reading, error) {
	e.read, e.allowed = slices.Clone(archive), allowed
	if e.readErr != nil || !proto.Equal(schema, testSchema()) {
		return nil, cmp.Or(e.readErr, errors.New("another schema"))
	}
	e.readings++
	return fakeReading{e}, nil
}

// fakeReading has, like a real one, a graph without schema and loss, and tensors without names.
type fakeReading struct{ engine *fakeEngine }

func (r fakeReading) Graph() (*trainerv1.Graph, error) {
	graph := proto.CloneOf(r.engine.canonical().Graph)
	graph.Schema, graph.Loss = nil, ""
	return graph, r.engine.graphErr
}

func (r fakeReading) Tensors() ([]safetensors.Tensor, error) {
	return r.engine.canonical().Tensors, r.engine.tensorsErr
}

func (r fakeReading) Close() { r.engine.readings-- }

func (e *fakeEngine) canonical() program.Canonical {
	if e.unrolled != nil {
		return *e.unrolled
	}
	return testProgram()
}

func (e *fakeEngine) Build(graph *trainerv1.Graph, tensors []safetensors.Tensor, allowed []string) (Program, error) {
	built := program.Canonical{Graph: proto.CloneOf(graph)}
	for _, tensor := range tensors {
		tensor.Data = slices.Clone(tensor.Data)
		built.Tensors = append(built.Tensors, tensor)
	}
	e.built, e.allowed, e.parameter = &built, allowed, slices.Clone(tensors[0].Data)
	if e.buildErr != nil {
		return nil, e.buildErr
	}
	return e, nil
}

func (e *fakeEngine) Rehearse(passSize int64) error {
	e.rehearsed = append(e.rehearsed, passSize)
	return e.rehearseErr
}

func (e *fakeEngine) Report() (*bastionlabv1.CapabilityReport, error) {
	return &bastionlabv1.CapabilityReport{Operators: []*bastionlabv1.OperatorUse{{Name: "aten::linear", Count: 1}}}, nil
}

func (e *fakeEngine) Train(training Training) (Trainer, error) {
	e.training = training
	e.trainers++
	e.passes, e.seeds, e.steps, e.noise, e.moment = nil, nil, 0, nil, nil // the last trainer's
	return e, e.trainErr
}

func (e *fakeEngine) Pass(records []byte, count int64, slots []int64, seeds []uint64) (bool, error) {
	if len(seeds) != len(slots) {
		return false, errors.New("a slot without a seed")
	}
	for _, slot := range slots {
		if slot < emptySlot || slot >= count || int64(len(records)) != count*testRecordBytes {
			return false, errors.New("slot out of range")
		}
	}
	e.passes, e.seeds = append(e.passes, slices.Clone(slots)), append(e.seeds, slices.Clone(seeds))
	if e.trainers == 1 {
		return e.rehearsedPassFails, e.rehearsedPassErr
	}
	return e.passFails, e.passErr
}

func (e *fakeEngine) Probe(_ []byte, _, slot int64, seed uint64) (bool, error) {
	e.probed = append(e.probed, repetition{slot, seed})
	return slot == e.failsOn, nil
}

func (e *fakeEngine) Again(_ []byte, _ int64, slots []int64, seeds []uint64) error {
	e.again, e.againSeeds = append(e.again, slices.Clone(slots)), append(e.againSeeds, slices.Clone(seeds))
	return nil
}

func (e *fakeEngine) Step(random io.Reader) error {
	noise := make([]byte, 16)
	if _, err := io.ReadFull(random, noise); err != nil {
		return err
	}
	e.noise = append(e.noise, noise)
	e.steps++
	e.moment = append([]byte{'m'}, noise[:3]...)
	if e.trainers == 1 {
		return e.rehearsedStepErr
	}
	return e.stepErr
}

// Loss of the n-th step is n.
func (e *fakeEngine) Loss() float64 { return float64(e.steps) }

func (e *fakeEngine) Evaluate(evaluation Evaluation) (Evaluator, error) {
	e.evaluation = evaluation
	return fakeEvaluator{e}, e.evaluateErr
}

// fakeEvaluator writes down which slots it is given. Their sum is 1000, and its noise the first byte of what is random.
type fakeEvaluator struct{ engine *fakeEngine }

func (e fakeEvaluator) ParameterCount() int { return 1 }
func (e fakeEvaluator) SetParameter(tensor safetensors.Tensor) error {
	return e.engine.SetParameter(tensor)
}
func (e fakeEvaluator) Close() {}

func (e fakeEvaluator) Add(records []byte, count, slot int64, seed uint64) error {
	if slot < emptySlot || slot >= count || int64(len(records)) != count*testRecordBytes {
		return errors.New("slot out of range")
	}
	e.engine.passes, e.engine.seeds = append(e.engine.passes, []int64{slot}), append(e.engine.seeds, []uint64{seed})
	return e.engine.passErr
}

func (e fakeEvaluator) Release(random io.Reader) (int64, error) {
	noise := make([]byte, 16)
	if _, err := io.ReadFull(random, noise); err != nil {
		return 0, err
	}
	e.engine.noise = append(e.engine.noise, noise)
	return 1000, e.engine.stepErr
}

func (e *fakeEngine) Parameters() ([]safetensors.Tensor, error) {
	return []safetensors.Tensor{{Name: "w", DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1}, Data: e.parameter}}, nil
}

func (e *fakeEngine) SetParameter(tensor safetensors.Tensor) error {
	if tensor.Name != "w" {
		return &Failure{Status: InvalidArgument, Reason: "no such parameter"}
	}
	e.parameter = slices.Clone(tensor.Data)
	return nil
}

func (e *fakeEngine) State() ([]safetensors.Tensor, error) {
	if e.moment == nil {
		return nil, nil
	}
	return []safetensors.Tensor{{Name: "exp_avg.w", DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1}, Data: e.moment}}, nil
}

func (e *fakeEngine) SetState(tensor safetensors.Tensor) error {
	if tensor.Name != "exp_avg.w" {
		return &Failure{Status: InvalidArgument, Reason: "the optimizer keeps no such tensor"}
	}
	e.moment = slices.Clone(tensor.Data)
	return nil
}

func (e *fakeEngine) Close() {}

// testRecordBytes is a record of testSchema: four 32-bit numbers and a 64-bit label.
const testRecordBytes = 24

func testSchema() *bastionlabv1.Schema {
	return &bastionlabv1.Schema{
		Inputs: []*bastionlabv1.TensorSpec{{Name: "x", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{4}}},
		Label:  &bastionlabv1.TensorSpec{Name: "label", Dtype: bastionlabv1.DType_DTYPE_I64},
	}
}

func memoryFile(t testing.TB, content []byte, seals int) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "test")
	t.Cleanup(func() { file.Close() })
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		t.Fatal(err)
	}
	return file
}

func sealed(t testing.TB, content []byte) *os.File {
	return memoryFile(t, content, requiredSeals|unix.F_SEAL_GROW)
}

// testProgram is one parameter that a record is multiplied with.
func testProgram() program.Canonical {
	value := func(number int64) *trainerv1.Operand {
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Value{Value: number}}
	}
	return program.Canonical{
		Graph: &trainerv1.Graph{
			Schema: testSchema(), Loss: "cross_entropy", Output: 2, OutputName: "output",
			Parameters: []*trainerv1.Parameter{{Name: "w", Trainable: true}},
			Steps:      []*trainerv1.Step{{Operator: "aten::linear", Layer: "head", Operands: []*trainerv1.Operand{value(0), value(1)}, Results: 1}},
		},
		Tensors: []safetensors.Tensor{{DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1}, Data: []byte{1, 2, 3, 4}}},
	}
}

// payloadOf is testProgram as a file, after a change.
func payloadOf(t testing.TB, change func(*program.Canonical)) []byte {
	t.Helper()
	canonical := testProgram()
	if change != nil {
		change(&canonical)
	}
	var file bytes.Buffer
	if err := program.Write(&file, canonical.Graph, canonical.Tensors); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func programOf(payload []byte) *trainerv1.Program {
	digest := sha256.Sum256(payload)
	return &trainerv1.Program{PayloadSha256: digest[:], PayloadBytes: int64(len(payload)), Schema: testSchema(), Loss: "cross_entropy"}
}

func intakeOf(archive []byte) *trainerv1.Intake {
	digest := sha256.Sum256(archive)
	return &trainerv1.Intake{ArchiveSha256: digest[:], ArchiveBytes: int64(len(archive)), Schema: testSchema(), Loss: "cross_entropy"}
}

func weightsFile(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	var file bytes.Buffer
	tensor := safetensors.Tensor{Name: name, DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1}, Data: data}
	if err := safetensors.Write(&file, []safetensors.Tensor{tensor}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// server is the other side of a Process that plays its role in a goroutine.
type server struct {
	t     *testing.T
	conn  *seam.Conn
	ended chan error

	keeper keeper
}

func init() { breakOut = func(int) []sandbox.Attempt { return nil } }

const testOutputLimit = 1 << 20

func play(t *testing.T, role Role, engine *fakeEngine) *server {
	t.Helper()
	operators, err := program.ParseTable("aten::linear parameters it is one product\naten::steal forbidden it reads across records\naten::mode pure it counts within a record")
	if err != nil {
		t.Fatal(err)
	}
	conn, far, err := seam.Pair()
	if err != nil {
		t.Fatal(err)
	}
	other, err := seam.NewConn(far)
	if err != nil {
		t.Fatal(err)
	}
	process := &Process{Seam: other, Engine: engine, Operators: operators, OutputLimitBytes: testOutputLimit}
	s := &server{t: t, conn: conn, ended: make(chan error, 1)}
	go func() {
		s.ended <- process.Run(role)
		other.Close()
	}()
	t.Cleanup(func() { conn.Close() })
	if hello := s.receive().GetHello(); hello.GetAbi() != 4 || hello.GetTorchVersion() != "fake" || hello.GetDevice() != engine.Device() {
		t.Fatalf("hello: %v", hello)
	}
	return s
}

// receive returns the next frame that is not about a state; states are kept, as a server keeps them.
func (s *server) receive() *trainerv1.FromTrainer {
	s.t.Helper()
	for {
		frame := s.receiveAny()
		if frame.GetState() == nil {
			return frame
		}
		s.keep(frame.GetState())
	}
}

func (s *server) receiveAny() *trainerv1.FromTrainer {
	s.t.Helper()
	var frame trainerv1.FromTrainer
	if _, err := s.conn.Receive(&frame); err != nil {
		s.t.Fatal(err)
	}
	return &frame
}

func (s *server) send(frame *trainerv1.ToTrainer, files ...*os.File) {
	s.t.Helper()
	frame.Fds = uint32(len(files))
	if err := s.conn.Send(frame, files...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) sendIntake(intake *trainerv1.Intake, files ...*os.File) {
	s.t.Helper()
	s.send(&trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Intake{Intake: intake}}, files...)
}

func (s *server) sendTrain(train *trainerv1.Train, files ...*os.File) {
	s.t.Helper()
	s.send(&trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Train{Train: train}}, files...)
}

func (s *server) sendTest(test *trainerv1.Test, files ...*os.File) {
	s.t.Helper()
	s.send(&trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Test{Test: test}}, files...)
}

// sendRecords gives the process what a test gets: its records and no more.
func (s *server) sendRecords(data *trainerv1.Data, files ...*os.File) {
	s.t.Helper()
	s.send(&trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Data{Data: data}}, files...)
}

// sendData gives the process its records and an output, and a file for the first state.
func (s *server) sendData(data *trainerv1.Data, records, output *os.File, resumed ...*os.File) {
	s.t.Helper()
	data.Run = testRun
	s.keeper.file = memoryFile(s.t, nil, 0)
	s.send(&trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Data{Data: data}}, append([]*os.File{records, output, s.keeper.file}, resumed...)...)
}
