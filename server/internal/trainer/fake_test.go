package trainer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/seam"
	"golang.org/x/sys/unix"
)

// fakeEngine takes every archive for one parameter of four bytes, and writes down what it is asked.
type fakeEngine struct {
	loadErr, rehearseErr, rehearsedPassErr, trainErr, passErr, stepErr error

	trainers  int // made so far: the first is for the rehearsal
	loaded    []byte
	allowed   []string
	rehearsed []int64
	training  Training
	passes    [][]int64
	steps     int
	noise     [][]byte
	parameter []byte
}

func (e *fakeEngine) ABI() int32           { return 1 }
func (e *fakeEngine) TorchVersion() string { return "fake" }

func (e *fakeEngine) Load(archive []byte, _ *bastionlabv1.Schema, _ string, allowed []string) (Program, error) {
	e.loaded, e.allowed, e.parameter = slices.Clone(archive), allowed, []byte{1, 2, 3, 4}
	return e, e.loadErr
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
	e.passes, e.steps, e.noise = nil, 0, nil // the last trainer's
	return e, e.trainErr
}

func (e *fakeEngine) Pass(records []byte, count int64, slots []int64) error {
	for _, slot := range slots {
		if slot < emptySlot || slot >= count || int64(len(records)) != count*testRecordBytes {
			return errors.New("slot out of range")
		}
	}
	e.passes = append(e.passes, slices.Clone(slots))
	if e.trainers == 1 {
		return e.rehearsedPassErr
	}
	return e.passErr
}

func (e *fakeEngine) Step(random io.Reader) error {
	noise := make([]byte, 16)
	if _, err := io.ReadFull(random, noise); err != nil {
		return err
	}
	e.noise = append(e.noise, noise)
	e.steps++
	if e.trainers == 1 {
		return nil
	}
	return e.stepErr
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

func (e *fakeEngine) Close() {}

// testRecordBytes is a record of testSchema: four 32-bit numbers and a 64-bit label.
const testRecordBytes = 24

func testSchema() *bastionlabv1.Schema {
	return &bastionlabv1.Schema{
		Inputs: []*bastionlabv1.TensorSpec{{Name: "x", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{4}}},
		Label:  &bastionlabv1.TensorSpec{Name: "label", Dtype: bastionlabv1.DType_DTYPE_I64},
	}
}

func memoryFile(t *testing.T, content []byte, seals int) *os.File {
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

func sealed(t *testing.T, content []byte) *os.File {
	return memoryFile(t, content, requiredSeals|unix.F_SEAL_GROW)
}

func programOf(archive []byte) *trainerv1.Program {
	digest := sha256.Sum256(archive)
	return &trainerv1.Program{
		Form: trainerv1.Program_FORM_TORCHSCRIPT_ARCHIVE, PayloadSha256: digest[:], PayloadBytes: int64(len(archive)),
		Schema: testSchema(), Loss: "cross_entropy",
	}
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
}

func play(t *testing.T, role Role, engine *fakeEngine) *server {
	t.Helper()
	conn, far, err := seam.Pair()
	if err != nil {
		t.Fatal(err)
	}
	other, err := seam.NewConn(far)
	if err != nil {
		t.Fatal(err)
	}
	process := &Process{Seam: other, Engine: engine, Allowed: []string{"aten::linear"}, OutputLimitBytes: 1 << 20}
	s := &server{t: t, conn: conn, ended: make(chan error, 1)}
	go func() {
		s.ended <- process.Run(role)
		other.Close()
	}()
	t.Cleanup(func() { conn.Close() })
	if hello := s.receive().GetHello(); hello.GetAbi() != 1 || hello.GetTorchVersion() != "fake" {
		t.Fatalf("hello: %v", hello)
	}
	return s
}

func (s *server) receive() *trainerv1.FromTrainer {
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

func (s *server) sendTrain(train *trainerv1.Train, files ...*os.File) {
	s.t.Helper()
	s.send(&trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Train{Train: train}}, files...)
}

func (s *server) sendData(data *trainerv1.Data, files ...*os.File) {
	s.t.Helper()
	s.send(&trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Data{Data: data}}, files...)
}
