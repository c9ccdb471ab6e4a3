package trainer

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

var archive = []byte("an archive")

func settings(change func(*trainerv1.Settings)) *trainerv1.Settings {
	s := &trainerv1.Settings{
		Private: true, MaxGradNorm: 2, NoiseMultiplier: 3, GridExponent: 20, Eta: 0.5, IncludeAll: true, Slots: 5, Steps: 4, EpochEnds: []int64{2, 4},
		BatchSize: 5, PassSize: 2, Optimizer: &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Sgd{Sgd: &bastionlabv1.SGD{Lr: 1}}},
	}
	if change != nil {
		change(s)
	}
	return s
}

// end waits for the process: what it wrote down may be read only then.
func (s *server) end() error { return <-s.ended }

func content(t *testing.T, file *os.File) []byte {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestIntakeWritesWhatTheEngineUnderstood(t *testing.T) {
	engine := &fakeEngine{}
	s := play(t, Intake, engine)
	output := memoryFile(t, nil, 0)
	s.sendIntake(intakeOf(archive), sealed(t, archive), output)
	done := s.receive().GetIntakeDone()
	if len(done.GetReport().GetOperators()) != 1 {
		t.Fatalf("got %v", done)
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	// The schema and the loss are those that were asked for.
	if written := content(t, output); !bytes.Equal(written, payloadOf(t, nil)) || done.GetProgramBytes() != int64(len(written)) {
		t.Errorf("%d bytes announced, written %q", done.GetProgramBytes(), written)
	}
	if !bytes.Equal(engine.read, archive) || !slices.Equal(engine.allowed, []string{"aten::linear", "aten::mode"}) || !slices.Equal(engine.rehearsed, []int64{2}) {
		t.Errorf("engine: %+v", engine)
	}
	if engine.built == nil || !proto.Equal(engine.built.Graph, testProgram().Graph) || !reflect.DeepEqual(engine.built.Tensors, testProgram().Tensors) {
		t.Errorf("what was tried is not what was written: %v", engine.built)
	}
	if engine.readings != 0 {
		t.Error("the archive's tensors are still held")
	}
}

func TestIntakeFaults(t *testing.T) {
	incompatible := &Failure{Status: IncompatibleModel, Operator: "aten::batch_norm", Layer: "bn", Reason: "it mixes records"}
	large := testProgram()
	large.Tensors[0].Shape, large.Tensors[0].Data = []int64{testOutputLimit / 4}, make([]byte, testOutputLimit)
	long := testProgram()
	long.Graph.Steps = slices.Repeat(long.Graph.Steps, 200_001)
	another := &trainerv1.Fault{Code: trainerv1.Fault_CODE_DIGEST_MISMATCH, Reason: "the archive's bytes are not those that were announced"}
	size, err := program.Size(large.Graph, large.Tensors)
	if err != nil {
		t.Fatal(err)
	}
	large.Graph.Schema, large.Graph.Loss = testSchema(), "cross_entropy"
	for _, test := range []struct {
		name   string
		engine fakeEngine
		change func(*trainerv1.Intake)
		seals  int
		want   *trainerv1.Fault
	}{
		{"the engine's reasons are passed on", fakeEngine{readErr: incompatible}, nil, requiredSeals,
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Operator: "aten::batch_norm", Layer: "bn", Reason: "it mixes records"}},
		{"a reason that quotes bytes of the archive", fakeEngine{readErr: &Failure{BadArchive, "a\xffb", "\xc3", "expected ident but found '\xe2\x82"}}, nil, requiredSeals,
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_BAD_ARCHIVE, Operator: "a?b", Layer: "?", Reason: "expected ident but found '?"}},
		{"no archive", fakeEngine{readErr: &Failure{Status: BadArchive}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_BAD_ARCHIVE}},
		{"it does not go into a graph", fakeEngine{graphErr: &Failure{Status: Internal}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_INTERNAL}},
		{"its tensors cannot be had", fakeEngine{tensorsErr: &Failure{Status: OutOfMemory}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_OUT_OF_MEMORY}},
		{"more constants than fit", fakeEngine{unrolled: &large}, nil, requiredSeals,
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Reason: fmt.Sprintf("its constants take %d bytes, far more than its archive", size)}},
		{"more steps than fit", fakeEngine{unrolled: &long}, nil, requiredSeals,
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Reason: "unrolled, it has more steps, operands or tensors than a program may have"}},
		{"it is not built", fakeEngine{buildErr: incompatible}, nil, requiredSeals,
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Operator: "aten::batch_norm", Layer: "bn", Reason: "it mixes records"}},
		{"it does not run", fakeEngine{rehearseErr: &Failure{Status: ForwardFailed}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_FORWARD_FAILED}},
		{"label and loss", fakeEngine{rehearseErr: &Failure{Status: LossMismatch}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_LOSS_MISMATCH}},
		{"memory", fakeEngine{rehearseErr: &Failure{Status: OutOfMemory}}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_OUT_OF_MEMORY}},
		{"an unexpected error says nothing", fakeEngine{readErr: errors.New("at 0x1234")}, nil, requiredSeals, &trainerv1.Fault{Code: trainerv1.Fault_CODE_INTERNAL}},
		{"another digest", fakeEngine{}, func(i *trainerv1.Intake) { i.ArchiveSha256[0] ^= 1 }, requiredSeals, another},
		{"another size", fakeEngine{}, func(i *trainerv1.Intake) { i.ArchiveBytes++ }, requiredSeals, another},
		{"a payload that could be changed after its check", fakeEngine{}, nil, unix.F_SEAL_SHRINK, &trainerv1.Fault{Code: trainerv1.Fault_CODE_BAD_REQUEST, Reason: "a payload is not sealed"}},
		{"a payload that could shrink away", fakeEngine{}, nil, unix.F_SEAL_WRITE, &trainerv1.Fault{Code: trainerv1.Fault_CODE_BAD_REQUEST, Reason: "a payload is not sealed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := play(t, Intake, &test.engine)
			intake := intakeOf(archive)
			if test.change != nil {
				test.change(intake)
			}
			output := memoryFile(t, nil, 0)
			s.sendIntake(intake, memoryFile(t, archive, test.seals), output)
			if fault := s.receive().GetFault(); !proto.Equal(fault, test.want) {
				t.Fatalf("got %v, want %v", fault, test.want)
			}
			if err := s.end(); err == nil {
				t.Error("the process takes its fault for a success")
			}
			if test.want.Code == trainerv1.Fault_CODE_DIGEST_MISMATCH && test.engine.read != nil {
				t.Error("bytes of another digest were parsed")
			}
			if test.engine.unrolled != nil && len(content(t, output)) != 0 {
				t.Error("what does not fit was written in part")
			}
			if test.engine.readings != 0 {
				t.Error("the archive's tensors are still held")
			}
		})
	}
}

func TestAnIntakeWithoutAnOutputIsNone(t *testing.T) {
	s := play(t, Intake, &fakeEngine{})
	s.sendIntake(intakeOf(archive), sealed(t, archive))
	if fault := s.receive().GetFault(); fault.GetCode() != trainerv1.Fault_CODE_BAD_REQUEST {
		t.Fatalf("got %v", fault)
	}
}

func TestTrainingRunsAllSteps(t *testing.T) {
	engine := &fakeEngine{}
	s := play(t, Train, engine)
	payload := payloadOf(t, nil)
	train := &trainerv1.Train{Program: programOf(payload), Settings: settings(nil), HasInitialWeights: true}
	s.sendTrain(train, sealed(t, payload), sealed(t, weightsFile(t, "w", []byte{9, 8, 7, 6})))
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
		written := content(t, output)
		if size := frame.GetFinished().GetOutputBytes(); size != int64(len(written)) {
			t.Fatalf("%d bytes announced, %d written", size, len(written))
		}
		tensors, err := safetensors.Decode(written)
		if err != nil || len(tensors) != 1 || !bytes.Equal(tensors[0].Data, []byte{9, 8, 7, 6}) {
			t.Fatalf("weights: %v, %v", tensors, err)
		}
		break
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(engine.rehearsed, []int64{2}) || engine.training.NoiseStddev < 9 || engine.training.NoiseStddev > 9.0000001 || engine.training.ClippingNorm != 2 || engine.training.Normalizer != 5 {
		t.Errorf("engine: %+v", engine)
	}
	if engine.read != nil || engine.built == nil || !proto.Equal(engine.built.Graph, testProgram().Graph) || !bytes.Equal(engine.built.Tensors[0].Data, []byte{1, 2, 3, 4}) {
		t.Errorf("it was built from %v", engine.built)
	}
	if len(told) != 4 || engine.steps != 4 {
		t.Errorf("%d steps, told %v", engine.steps, told)
	}
	// Five declared slots, three of them filled, in any order, two a pass, four steps.
	for step := range slices.Chunk(engine.passes, 3) {
		together := slices.Sorted(slices.Values(slices.Concat(step...)))
		if len(step) != 3 || len(step[0]) != 2 || len(step[1]) != 2 || !slices.Equal(together, []int64{-1, -1, 0, 1, 2}) {
			t.Errorf("passes of a step: %v", step)
		}
	}
	if len(engine.passes) != 12 {
		t.Errorf("passes: %v", engine.passes)
	}
	drawn := map[uint64]bool{}
	for i, slots := range engine.passes {
		for j, slot := range slots {
			if slot >= 0 && drawn[engine.seeds[i][j]] {
				t.Error("two records or steps draw the same")
			}
			drawn[engine.seeds[i][j]] = true
		}
	}
	for i := range engine.noise {
		for j := range i {
			if bytes.Equal(engine.noise[i], engine.noise[j]) {
				t.Error("two steps share their noise")
			}
		}
	}
}

// PRIVACY: whoever does not fail stays in its slot with its draws, beside the same others.
func TestAPassThatFailsIsMadeAgainWithoutTheRecordsThatFail(t *testing.T) {
	engine, payload := &fakeEngine{passFails: true, failsOn: 1}, payloadOf(t, nil)
	s := play(t, Train, engine)
	s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: settings(nil)}, sealed(t, payload))
	s.receive()
	s.sendData(&trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}, sealed(t, make([]byte, 3*testRecordBytes)), memoryFile(t, nil, 0))
	for s.receive().GetFinished() == nil {
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	var probed []repetition
	var again [][]int64
	for i, slots := range engine.passes {
		kept := slices.Clone(slots)
		for j, slot := range slots {
			if slot != emptySlot {
				probed = append(probed, repetition{slot, engine.seeds[i][j]})
			}
			if slot == engine.failsOn {
				kept[j] = emptySlot
			}
		}
		again = append(again, kept)
	}
	if len(probed) != 3*4 || !slices.Equal(engine.probed, probed) {
		t.Errorf("probed %v, want %v", engine.probed, probed)
	}
	if !slices.EqualFunc(engine.again, again, slices.Equal) || !slices.EqualFunc(engine.againSeeds, engine.seeds, slices.Equal) {
		t.Errorf("again %v with %v, want %v with %v", engine.again, engine.againSeeds, again, engine.seeds)
	}
}

func TestARecordThatIsAloneInAPassIsNotProbed(t *testing.T) {
	engine, payload := &fakeEngine{passFails: true}, payloadOf(t, nil)
	s := play(t, Train, engine)
	constant := settings(func(s *trainerv1.Settings) { s.PassSize, s.PassesPerStep, s.Exact = 1, 7, true })
	constant.Slots = 7
	s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: constant}, sealed(t, payload))
	s.receive()
	s.sendData(&trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}, sealed(t, make([]byte, 3*testRecordBytes)), memoryFile(t, nil, 0))
	for s.receive().GetFinished() == nil {
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if len(engine.probed)+len(engine.again) > 0 {
		t.Errorf("probed %v, again %v", engine.probed, engine.again)
	}
	if got := len(engine.passes); got != 7*4 {
		t.Errorf("%d passes in four steps of constant time, want 7 in each", got)
	}
}

// PRIVACY: one mean per epoch, and none where none was asked for.
func TestTheLossOfAnEpochIsTheMeanOfItsSteps(t *testing.T) {
	for _, bound := range []float64{0, 2} {
		engine, payload := &fakeEngine{}, payloadOf(t, nil)
		s := play(t, Train, engine)
		s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: settings(func(s *trainerv1.Settings) { s.LossBound = bound })}, sealed(t, payload))
		s.receive()
		s.sendData(&trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}, sealed(t, make([]byte, 3*testRecordBytes)), memoryFile(t, nil, 0))
		told := map[int64]float64{}
		for frame := s.receive(); frame.GetFinished() == nil; frame = s.receive() {
			if progress := frame.GetProgress(); progress.Loss != nil {
				told[progress.GetStepsDone()] = progress.GetLoss()
			}
		}
		// Four steps with the losses 1, 2, 3 and 4 in two epochs.
		if want := map[int64]float64{2: 1.5, 4: 3.5}; bound > 0 && !maps.Equal(told, want) || bound == 0 && len(told) > 0 {
			t.Errorf("bound %v: told %v", bound, told)
		}
		if engine.training.LossBound != bound {
			t.Errorf("the engine's bound is %v", engine.training.LossBound)
		}
	}
}

// An empty sample is still one noised step.
func TestAStepWithoutARecordIsNoisedLikeAnyOther(t *testing.T) {
	engine := &fakeEngine{}
	s := play(t, Train, engine)
	rare := settings(func(s *trainerv1.Settings) { s.IncludeAll, s.InclusionThreshold = false, 1 })
	payload := payloadOf(t, nil)
	s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: rare}, sealed(t, payload))
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
		{"losses below zero", func(x *trainerv1.Train) { x.Settings.LossBound = -1 }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"losses without a bound", func(x *trainerv1.Train) { x.Settings.LossBound = math.Inf(1) }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"losses of no number", func(x *trainerv1.Train) { x.Settings.LossBound = math.NaN() }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"never a sample", func(x *trainerv1.Train) { x.Settings.IncludeAll = false }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"no optimizer", func(x *trainerv1.Train) { x.Settings.Optimizer = nil }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"epochs out of order", func(x *trainerv1.Train) { x.Settings.EpochEnds = []int64{3, 2, 4} }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"epochs that end early", func(x *trainerv1.Train) { x.Settings.EpochEnds = []int64{2} }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"a device that this trainer does not compute on", func(x *trainerv1.Train) { x.Settings.Device = "cuda" }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"weights that are missing", func(x *trainerv1.Train) { x.HasInitialWeights = true }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"a schema without a layout", func(x *trainerv1.Train) { x.Program.Schema.Label = nil }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"another program", func(x *trainerv1.Train) { x.Program.PayloadSha256[3] ^= 1 }, trainerv1.Fault_CODE_DIGEST_MISMATCH},
		{"another size of program", func(x *trainerv1.Train) { x.Program.PayloadBytes++ }, trainerv1.Fault_CODE_DIGEST_MISMATCH},
		{"a program for another schema", func(x *trainerv1.Train) { x.Program.Schema.Inputs[0].Shape = []int64{5} }, trainerv1.Fault_CODE_DIGEST_MISMATCH},
		{"a program for another loss", func(x *trainerv1.Train) { x.Program.Loss = "l1" }, trainerv1.Fault_CODE_DIGEST_MISMATCH},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload := payloadOf(t, nil)
			train := &trainerv1.Train{Program: programOf(payload), Settings: settings(nil)}
			test.change(train)
			engine := &fakeEngine{}
			s := play(t, Train, engine)
			s.sendTrain(train, sealed(t, payload))
			if fault := s.receive().GetFault(); fault.GetCode() != test.want {
				t.Fatalf("got %v, want %v", fault, test.want)
			}
			if _ = s.end(); engine.built != nil {
				t.Error("it was built all the same")
			}
		})
	}
}

// SECURITY: the trainer stands by its own judgement, whatever digest the server gives.
func TestAProgramIsJudgedAgainBeforeTheData(t *testing.T) {
	changed := payloadOf(t, nil)
	changed[len(changed)-1] ^= 1
	step := func(change func(*trainerv1.Step)) []byte {
		return payloadOf(t, func(c *program.Canonical) { change(c.Graph.Steps[0]) })
	}
	for _, test := range []struct {
		name               string
		announced, payload []byte
		want               *trainerv1.Fault
	}{
		{"a byte was changed after the judgement", payloadOf(t, nil), changed,
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_DIGEST_MISMATCH, Reason: "the program's bytes are not those that were announced"}},
		{"an operator that is forbidden", nil, step(func(s *trainerv1.Step) { s.Operator = "aten::steal" }),
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Operator: "aten::steal", Layer: "head", Reason: "it reads across records"}},
		{"an operator that nobody knows", nil, step(func(s *trainerv1.Step) { s.Operator = "aten::unknown" }),
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Operator: "aten::unknown", Layer: "head",
				Reason: "it is not among the operators that are known to keep records apart"}},
		{"a value that there is not", nil, step(func(s *trainerv1.Step) { s.Operands[0].Kind = &trainerv1.Operand_Value{Value: 2} }),
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_DIGEST_MISMATCH,
				Reason: "the program is none that this trainer takes: program: the graph is unsound: step 0: it refers to a value that is not there yet"}},
		{"an archive", nil, []byte("PK\x03\x04"),
			&trainerv1.Fault{Code: trainerv1.Fault_CODE_DIGEST_MISMATCH, Reason: "the program is none that this trainer takes: program: malformed: 4 bytes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.announced == nil {
				test.announced = test.payload
			}
			engine := &fakeEngine{}
			s := play(t, Train, engine)
			s.sendTrain(&trainerv1.Train{Program: programOf(test.announced), Settings: settings(nil)}, sealed(t, test.payload))
			if fault := s.receive().GetFault(); !proto.Equal(fault, test.want) {
				t.Fatalf("got %v, want %v", fault, test.want)
			}
			if err := s.end(); err == nil || engine.built != nil {
				t.Errorf("%v; built %v", err, engine.built)
			}
		})
	}
}

// SECURITY: nor does it take the server's word that no record can stop the device.
func TestAProgramIsJudgedForTheDeviceBeforeTheData(t *testing.T) {
	payload := payloadOf(t, func(c *program.Canonical) { c.Graph.Steps[0].Operator = "aten::mode" })
	for device, taken := range map[string]bool{program.CPU: true, "cuda": false} {
		engine := &fakeEngine{device: device}
		s := play(t, Train, engine)
		s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: settings(func(x *trainerv1.Settings) { x.Device = device })}, sealed(t, payload))
		fault := s.receive().GetFault()
		if (fault == nil) != taken || (engine.built != nil) != taken {
			t.Errorf("on %s: %v, built %v", device, fault, engine.built)
		}
		if !taken && (fault.GetCode() != trainerv1.Fault_CODE_INCOMPATIBLE_MODEL || fault.GetOperator() != "aten::mode" || fault.GetLayer() != "head" || fault.GetReason() == "") {
			t.Errorf("on %s: %v", device, fault)
		}
	}
}

func TestWhatTheEngineDoesNotBuildIsRefusedBeforeTheData(t *testing.T) {
	payload := payloadOf(t, nil)
	s := play(t, Train, &fakeEngine{buildErr: &Failure{Status: IncompatibleModel, Operator: "aten::linear", Layer: "head", Reason: "it has no weight"}})
	s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: settings(nil)}, sealed(t, payload))
	want := &trainerv1.Fault{Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Operator: "aten::linear", Layer: "head", Reason: "it has no weight"}
	if fault := s.receive().GetFault(); !proto.Equal(fault, want) {
		t.Fatalf("got %v", fault)
	}
}

// The optimizer's state is allocated in a first step: what does not fit beside it must not be found out when the run was charged.
func TestWhatDoesNotFitIntoAStepIsRefusedBeforeTheCharge(t *testing.T) {
	for _, engine := range []*fakeEngine{
		{rehearsedPassErr: &Failure{Status: OutOfMemory}},
		{trainErr: &Failure{Status: OutOfMemory}},
		{rehearseErr: &Failure{Status: OutOfMemory}},
	} {
		s, payload := play(t, Train, engine), payloadOf(t, nil)
		s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: settings(nil)}, sealed(t, payload))
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
			s, payload := play(t, Train, &fakeEngine{}), payloadOf(t, nil)
			train := &trainerv1.Train{Program: programOf(payload), Settings: settings(nil), HasInitialWeights: true}
			s.sendTrain(train, sealed(t, payload), sealed(t, weights))
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
			s, payload := play(t, Train, &test.engine), payloadOf(t, nil)
			s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: settings(nil)}, sealed(t, payload))
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
