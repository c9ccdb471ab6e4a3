package trainer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

var archive = []byte("an archive")

func settings(change func(*trainerv1.Settings)) *trainerv1.Settings {
	s := &trainerv1.Settings{
		Private: true, MaxGradNorm: 2, NoiseMultiplier: 3, IncludeAll: true, Slots: 5, Steps: 4, EpochEnds: []int64{2, 4},
		BatchSize: 5, PassSize: 2, Optimizer: &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Sgd{Sgd: &bastionlabv1.SGD{Lr: 1}}},
	}
	if change != nil {
		change(s)
	}
	return s
}

// end waits for the process: what it wrote down may be read only then.
func (s *server) end() error { return <-s.ended }

func TestIntakeReportsWhatTheEngineUnderstood(t *testing.T) {
	engine := &fakeEngine{}
	s := play(t, Intake, engine)
	s.send(&trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Intake{Intake: &trainerv1.Intake{Program: programOf(archive)}}}, sealed(t, archive))
	done := s.receive().GetIntakeDone()
	if !proto.Equal(done.GetProgram(), programOf(archive)) || len(done.GetReport().GetOperators()) != 1 {
		t.Fatalf("got %v", done)
	}
	if !bytes.Equal(done.GetReport().GetProgramSha256(), programOf(archive).GetPayloadSha256()) {
		t.Error("the report does not say what it is about")
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(engine.loaded, archive) || !slices.Equal(engine.allowed, []string{"aten::linear"}) || !slices.Equal(engine.rehearsed, []int64{2}) {
		t.Errorf("engine: %+v", engine)
	}
}

func TestIntakeFaults(t *testing.T) {
	incompatible := &Failure{Status: IncompatibleModel, Operator: "aten::batch_norm", Layer: "bn", Reason: "it mixes records"}
	for _, test := range []struct {
		name    string
		engine  fakeEngine
		program func(*trainerv1.Program)
		seals   int
		want    *trainerv1.Fault
	}{
		{"the engine's reasons are passed on", fakeEngine{loadErr: incompatible}, nil, requiredSeals,
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Operator: "aten::batch_norm", Layer: "bn", Reason: "it mixes records"}},
		{"no archive", fakeEngine{loadErr: &Failure{Status: BadArchive}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_BAD_ARCHIVE}},
		{"it does not run", fakeEngine{rehearseErr: &Failure{Status: ForwardFailed}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_FORWARD_FAILED}},
		{"label and loss", fakeEngine{rehearseErr: &Failure{Status: LossMismatch}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_LOSS_MISMATCH}},
		{"memory", fakeEngine{rehearseErr: &Failure{Status: OutOfMemory}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_OUT_OF_MEMORY}},
		{"an unexpected error says nothing", fakeEngine{loadErr: errors.New("at 0x1234")}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_INTERNAL}},
		{"another digest", fakeEngine{}, func(p *trainerv1.Program) { p.PayloadSha256[0] ^= 1 }, requiredSeals,
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_DIGEST_MISMATCH, Reason: "the program's bytes are not those that were announced"}},
		{"another size", fakeEngine{}, func(p *trainerv1.Program) { p.PayloadBytes++ }, requiredSeals,
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_DIGEST_MISMATCH, Reason: "the program's bytes are not those that were announced"}},
		{"a payload that could be changed after its check", fakeEngine{}, nil, unix.F_SEAL_SHRINK, &trainerv1.Fault{Code: trainerv1.Fault_CODE_BAD_REQUEST, Reason: "a payload is not sealed"}},
		{"a payload that could shrink away", fakeEngine{}, nil, unix.F_SEAL_WRITE, &trainerv1.Fault{Code: trainerv1.Fault_CODE_BAD_REQUEST, Reason: "a payload is not sealed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := play(t, Intake, &test.engine)
			program := programOf(archive)
			if test.program != nil {
				test.program(program)
			}
			s.send(&trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Intake{Intake: &trainerv1.Intake{Program: program}}}, memoryFile(t, archive, test.seals))
			if fault := s.receive().GetFault(); !proto.Equal(fault, test.want) {
				t.Fatalf("got %v, want %v", fault, test.want)
			}
			if err := s.end(); err == nil {
				t.Error("the process takes its fault for a success")
			}
			if test.want.Code == trainerv1.Fault_CODE_DIGEST_MISMATCH && test.engine.loaded != nil {
				t.Error("bytes of another digest were parsed")
			}
		})
	}
}

func TestTrainingRunsAllSteps(t *testing.T) {
	engine := &fakeEngine{}
	s := play(t, Train, engine)
	train := &trainerv1.Train{Program: programOf(archive), Settings: settings(nil), HasInitialWeights: true}
	s.sendTrain(train, sealed(t, archive), sealed(t, weightsFile(t, "w", []byte{9, 8, 7, 6})))
	if s.receive().GetPrepared() == nil {
		t.Fatal("not prepared")
	}
	output := memoryFile(t, nil, 0)
	s.sendData(&trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}, sealed(t, make([]byte, 3*testRecordBytes)), output)
	var told []string
	for {
		frame := s.receive()
		if progress := frame.GetProgress(); progress != nil {
			told = append(told, progress.String())
			continue
		}
		content, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", output.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if size := frame.GetFinished().GetOutputBytes(); size != int64(len(content)) {
			t.Fatalf("%d bytes announced, %d written", size, len(content))
		}
		tensors, err := safetensors.Decode(content)
		if err != nil || len(tensors) != 1 || !bytes.Equal(tensors[0].Data, []byte{9, 8, 7, 6}) {
			t.Fatalf("weights: %v, %v", tensors, err)
		}
		break
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(engine.rehearsed, []int64{2}) || engine.training.NoiseStddev != 6 || engine.training.ClippingNorm != 2 || engine.training.Normalizer != 5 {
		t.Errorf("engine: %+v", engine)
	}
	if len(told) != 4 || engine.steps != 4 {
		t.Errorf("%d steps, told %v", engine.steps, told)
	}
	// Five declared slots, three of them filled, two a pass, four steps.
	want := [][]int64{{0, 1}, {2, -1}, {-1}}
	if len(engine.passes) != 12 || !slices.EqualFunc(engine.passes[:3], want, slices.Equal) {
		t.Errorf("passes: %v", engine.passes)
	}
	for i := range engine.noise {
		for j := range i {
			if bytes.Equal(engine.noise[i], engine.noise[j]) {
				t.Error("two steps share their noise")
			}
		}
	}
}

// An empty sample is still one noised step.
func TestAStepWithoutARecordIsNoisedLikeAnyOther(t *testing.T) {
	engine := &fakeEngine{}
	s := play(t, Train, engine)
	rare := settings(func(s *trainerv1.Settings) { s.IncludeAll, s.InclusionThreshold = false, 1 })
	s.sendTrain(&trainerv1.Train{Program: programOf(archive), Settings: rare}, sealed(t, archive))
	s.receive()
	s.sendData(&trainerv1.Data{Records: 1, RecordBytes: testRecordBytes}, sealed(t, make([]byte, testRecordBytes)), memoryFile(t, nil, 0))
	for s.receive().GetFinished() == nil {
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if engine.steps != 4 || len(engine.passes) != 0 {
		t.Fatalf("%d steps, passes %v", engine.steps, engine.passes)
	}
}

func TestPrepareFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*trainerv1.Train)
		want   trainerv1.Fault_Code
	}{
		{"no settings", func(x *trainerv1.Train) { x.Settings = nil }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"a private run without noise", func(x *trainerv1.Train) { x.Settings.NoiseMultiplier = 0 }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"a private run without a bound", func(x *trainerv1.Train) { x.Settings.MaxGradNorm = 0 }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"no pass", func(x *trainerv1.Train) { x.Settings.PassSize = 0 }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"no slots", func(x *trainerv1.Train) { x.Settings.Slots = 0 }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"never a sample", func(x *trainerv1.Train) { x.Settings.IncludeAll = false }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"no optimizer", func(x *trainerv1.Train) { x.Settings.Optimizer = nil }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"epochs out of order", func(x *trainerv1.Train) { x.Settings.EpochEnds = []int64{3, 2, 4} }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"epochs that end early", func(x *trainerv1.Train) { x.Settings.EpochEnds = []int64{2} }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"weights that are missing", func(x *trainerv1.Train) { x.HasInitialWeights = true }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"a schema without a layout", func(x *trainerv1.Train) { x.Program.Schema.Label = nil }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"another program", func(x *trainerv1.Train) { x.Program.PayloadSha256[3] ^= 1 }, trainerv1.Fault_CODE_DIGEST_MISMATCH},
		{"another form of program", func(x *trainerv1.Train) { x.Program.Form = 0 }, trainerv1.Fault_CODE_BAD_REQUEST},
	} {
		t.Run(test.name, func(t *testing.T) {
			train := &trainerv1.Train{Program: programOf(archive), Settings: settings(nil)}
			test.change(train)
			s := play(t, Train, &fakeEngine{})
			s.sendTrain(train, sealed(t, archive))
			if fault := s.receive().GetFault(); fault.GetCode() != test.want {
				t.Fatalf("got %v, want %v", fault, test.want)
			}
		})
	}
}

// The optimizer's state is allocated in a first step: what does not fit beside it must not be found out when the run was charged.
func TestWhatDoesNotFitIntoAStepIsRefusedBeforeTheCharge(t *testing.T) {
	for _, engine := range []*fakeEngine{
		{rehearsedPassErr: &Failure{Status: OutOfMemory}},
		{trainErr: &Failure{Status: OutOfMemory}},
		{rehearseErr: &Failure{Status: OutOfMemory}},
	} {
		s := play(t, Train, engine)
		s.sendTrain(&trainerv1.Train{Program: programOf(archive), Settings: settings(nil)}, sealed(t, archive))
		if fault := s.receive().GetFault(); fault.GetCode() != trainerv1.Fault_CODE_OUT_OF_MEMORY {
			t.Fatalf("got %v", fault)
		}
	}
}

func TestWeightsOfAnotherModelAreRefused(t *testing.T) {
	for name, weights := range map[string][]byte{
		"no safetensors":    []byte("pickled"),
		"another parameter": weightsFile(t, "v", []byte{1, 2, 3, 4}),
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t, Train, &fakeEngine{})
			train := &trainerv1.Train{Program: programOf(archive), Settings: settings(nil), HasInitialWeights: true}
			s.sendTrain(train, sealed(t, archive), sealed(t, weights))
			if fault := s.receive().GetFault(); fault.GetCode() != trainerv1.Fault_CODE_BAD_WEIGHTS {
				t.Fatalf("got %v", fault)
			}
		})
	}
}

// PRIVACY: once the records were announced, every failure looks the same.
func TestAfterTheDataEveryFaultIsBare(t *testing.T) {
	loud := &Failure{Status: OutOfMemory, Operator: "aten::embedding", Layer: "words", Reason: "index 4711 out of range"}
	full := make([]byte, 3*testRecordBytes)
	for _, test := range []struct {
		name    string
		engine  fakeEngine
		data    *trainerv1.Data
		records []byte
		seals   int
	}{
		{"a pass fails", fakeEngine{passErr: loud}, &trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}, full, requiredSeals},
		{"a step fails", fakeEngine{stepErr: loud}, &trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}, full, requiredSeals},
		{"more records than slots", fakeEngine{}, &trainerv1.Data{Records: 6, RecordBytes: testRecordBytes}, make([]byte, 6*testRecordBytes), requiredSeals},
		{"fewer bytes than records", fakeEngine{}, &trainerv1.Data{Records: 4, RecordBytes: testRecordBytes}, full, requiredSeals},
		{"records of another schema", fakeEngine{}, &trainerv1.Data{Records: 9, RecordBytes: 8}, full, requiredSeals},
		{"records that could change", fakeEngine{}, &trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}, full, unix.F_SEAL_SHRINK},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := play(t, Train, &test.engine)
			s.sendTrain(&trainerv1.Train{Program: programOf(archive), Settings: settings(nil)}, sealed(t, archive))
			s.receive()
			s.sendData(test.data, memoryFile(t, test.records, test.seals), memoryFile(t, nil, 0))
			frame := s.receive()
			for frame.GetProgress() != nil {
				frame = s.receive()
			}
			if !proto.Equal(frame.GetFault(), bareFault()) {
				t.Fatalf("got %v", frame)
			}
		})
	}
}

func TestAnOutputThatDoesNotFitIsRefusedBeforeTheCharge(t *testing.T) {
	process := &Process{OutputLimitBytes: 16}
	err := process.checkOutputFits(&fakeEngine{parameter: []byte{1, 2, 3, 4}})
	if fault := faultOf(err); fault.GetCode() != trainerv1.Fault_CODE_INCOMPATIBLE_MODEL {
		t.Fatalf("got %v", fault)
	}
}

func TestAServerThatGoesEndsTheProcess(t *testing.T) {
	s := play(t, Train, &fakeEngine{})
	s.conn.Close()
	if err := s.end(); err == nil {
		t.Fatal("no error")
	}
}
