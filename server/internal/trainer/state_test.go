package trainer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"slices"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"google.golang.org/protobuf/proto"
)

var testRun = bytes.Repeat([]byte{7}, runBytes)

// keeper is what a server does with states.
type keeper struct {
	file   *os.File // the next one is written into it
	states []keptState
}

type keptState struct {
	steps   int64
	content []byte
}

func (s *server) keep(announced *trainerv1.State) {
	s.t.Helper()
	written := content(s.t, s.keeper.file)
	if int64(len(written)) != announced.GetStateBytes() {
		s.t.Fatalf("a state of %d bytes is announced as %d", len(written), announced.GetStateBytes())
	}
	s.keeper.states = append(s.keeper.states, keptState{announced.GetStepsDone(), written})
	kept := &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_StateKept{StateKept: &trainerv1.StateKept{}}}
	if announced.GetStepsDone() >= 2 { // of epochs that end after 2 and 4 steps, the last begins
		s.send(kept)
		return
	}
	s.keeper.file = memoryFile(s.t, nil, 0)
	s.send(kept, s.keeper.file)
}

// half is a run of two epochs of two steps, in which a slot is sampled every second time.
func half(s *trainerv1.Settings) {
	s.IncludeAll, s.InclusionThreshold, s.Slots, s.PassSize = false, 1<<63, 40, 40
}

// begin brings a process to where it waits for the data.
func begin(t *testing.T, engine *fakeEngine, change func(*trainerv1.Settings)) *server {
	t.Helper()
	s, payload := play(t, Train, engine), payloadOf(t, nil)
	s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: settings(change)}, sealed(t, payload))
	if s.receive().GetPrepared() == nil {
		t.Fatal("not prepared")
	}
	return s
}

const filled = 40

func (s *server) giveData(resumed *keptState) {
	s.t.Helper()
	data := &trainerv1.Data{Records: filled, RecordBytes: testRecordBytes}
	records, output := sealed(s.t, make([]byte, filled*testRecordBytes)), memoryFile(s.t, nil, 0)
	if resumed == nil {
		s.sendData(data, records, output)
		return
	}
	digest := sha256.Sum256(resumed.content)
	data.ResumedSha256, data.ResumedBytes, data.ResumedSteps = digest[:], int64(len(resumed.content)), resumed.steps
	s.sendData(data, records, output, sealed(s.t, resumed.content))
}

func (s *server) untilFinished() {
	s.t.Helper()
	for {
		frame := s.receive()
		if frame.GetFault() != nil {
			s.t.Fatalf("got %v", frame)
		}
		if frame.GetFinished() != nil {
			break
		}
	}
	if err := s.end(); err != nil {
		s.t.Fatal(err)
	}
}

func numbers(t *testing.T, state keptState, name string) []int64 {
	t.Helper()
	tensors, err := safetensors.Decode(state.content)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range tensors {
		if tensor.Name == name {
			var found []int64
			for i := 0; i < len(tensor.Data); i += 8 {
				found = append(found, int64(binary.LittleEndian.Uint64(tensor.Data[i:])))
			}
			return found
		}
	}
	t.Fatalf("the state has no %s", name)
	return nil
}

func TestAnEpochBeginsWhenItsStateIsKept(t *testing.T) {
	engine := &fakeEngine{}
	s := begin(t, engine, half)
	s.giveData(nil)
	for epoch, passes := range []int{0, 2} {
		frame := s.receiveAny()
		for frame.GetProgress() != nil {
			frame = s.receiveAny()
		}
		if frame.GetState().GetStepsDone() != int64(2*epoch) {
			t.Fatalf("got %v", frame)
		}
		// It waits now: nothing is computed between a state and the word that it is kept.
		if len(engine.passes) != passes || engine.steps != 2*epoch {
			t.Errorf("epoch %d: %d passes, %d steps before the state was kept", epoch, len(engine.passes), engine.steps)
		}
		s.keep(frame.GetState())
	}
	s.untilFinished()
	for epoch, state := range s.keeper.states {
		kept := numbers(t, state, samplesTensor)
		first, second := inOrder(engine.passes[2*epoch]), inOrder(engine.passes[2*epoch+1])
		want := slices.Concat([]int64{int64(len(first)), int64(len(second))}, first, second)
		if !slices.Equal(kept[:len(want)], want) {
			t.Errorf("epoch %d: kept %v, trained on %v", epoch, kept[:len(want)], engine.passes[2*epoch:2*epoch+2])
		}
	}
}

// A sample is trained on in a random order.
func inOrder(sample []int64) []int64 { return slices.Sorted(slices.Values(sample)) }

func haveTheSame(one, other []int64) bool { return slices.Equal(inOrder(one), inOrder(other)) }

// PRIVACY: how much was sampled shows in no length.
func TestStatesAreOfOneLength(t *testing.T) {
	var length []int
	sampled := map[int64]bool{}
	for range 8 {
		s := begin(t, &fakeEngine{}, half)
		s.giveData(nil)
		s.untilFinished()
		kept := numbers(t, s.keeper.states[0], samplesTensor)
		sampled[kept[0]+kept[1]] = true
		if length = append(length, len(s.keeper.states[0].content)); length[0] != len(s.keeper.states[0].content) {
			t.Errorf("states of %v bytes", length)
		}
	}
	if len(sampled) < 2 {
		t.Error("chance was against this test: all runs sampled as much")
	}
}

// The whole point: an epoch that is repeated has the same samples, and other noise and other draws.
func TestAnAttemptGoesOnWithTheSameSamplesUnderFreshKeys(t *testing.T) {
	first := &fakeEngine{}
	s := begin(t, first, half)
	s.giveData(nil)
	s.untilFinished()
	for epoch, state := range s.keeper.states {
		second := &fakeEngine{}
		again := begin(t, second, half)
		again.giveData(&state)
		if epoch == 0 && len(again.keeper.states) != 0 {
			t.Error("the epoch that is repeated is written down again")
		}
		again.untilFinished()
		if second.steps != 4-2*epoch {
			t.Errorf("from epoch %d it makes %d steps", epoch, second.steps)
		}
		if !slices.EqualFunc(second.passes[:2], first.passes[2*epoch:2*epoch+2], haveTheSame) {
			t.Errorf("epoch %d is repeated on %v, was on %v", epoch, second.passes[:2], first.passes[2*epoch:2*epoch+2])
		}
		for _, noise := range second.noise {
			if slices.ContainsFunc(first.noise, func(before []byte) bool { return bytes.Equal(before, noise) }) {
				t.Error("noise is used twice")
			}
		}
		drawn := slices.Concat(first.seeds...)
		for _, seed := range slices.Concat(second.seeds...) {
			if slices.Contains(drawn, seed) {
				t.Error("a record's draws are used twice")
			}
		}
	}
}

func TestAnAttemptGoesOnWithParametersMomentsAndProgress(t *testing.T) {
	first := &fakeEngine{}
	s := begin(t, first, half)
	s.giveData(nil)
	s.untilFinished()
	state := s.keeper.states[1]
	second := &fakeEngine{stepErr: &Failure{Status: Internal}} // so that what it begins with is still there
	again := begin(t, second, half)
	again.giveData(&state)
	for again.receive().GetFault() == nil {
	}
	_ = again.end()
	tensors, err := safetensors.Decode(state.content)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range tensors {
		if tensor.Name == parameterTag+"w" && !bytes.Equal(second.parameter, tensor.Data) {
			t.Errorf("parameter %v, kept %v", second.parameter, tensor.Data)
		}
	}
	if len(second.passes) != 1 || !haveTheSame(second.passes[0], first.passes[2]) {
		t.Errorf("it began with %v", second.passes)
	}
	third := begin(t, &fakeEngine{}, half)
	third.giveData(&state)
	if told := third.receive().GetProgress(); told.GetStepsDone() != 3 || told.GetEpochsDone() != 1 {
		t.Errorf("it tells %v first", told)
	}
}

func TestAllSlotsInEveryStepNeedNoSamples(t *testing.T) {
	engine := &fakeEngine{}
	all := func(s *trainerv1.Settings) { s.Slots, s.PassSize = 40, 40 }
	s := begin(t, engine, all)
	s.giveData(nil)
	s.untilFinished()
	if size := len(s.keeper.states[0].content); size > 1000 {
		t.Errorf("a state of %d bytes", size)
	}
	again := begin(t, &fakeEngine{}, all)
	again.giveData(&s.keeper.states[1])
	again.untilFinished()
}

// changed is a state with one tensor replaced, or left out where the new one has no name.
func changed(t *testing.T, state keptState, name string, with safetensors.Tensor) keptState {
	t.Helper()
	tensors, err := safetensors.Decode(state.content)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(tensors, func(tensor safetensors.Tensor) bool { return tensor.Name == name })
	switch {
	case i < 0:
		tensors = append(tensors, with)
	case with.Name == "":
		tensors = slices.Delete(tensors, i, i+1)
	default:
		tensors[i] = with
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, tensors); err != nil {
		t.Fatal(err)
	}
	return keptState{state.steps, file.Bytes()}
}

func list(name string, numbers ...int64) safetensors.Tensor {
	var data []byte
	for _, number := range numbers {
		data = binary.LittleEndian.AppendUint64(data, uint64(number))
	}
	return safetensors.Tensor{Name: name, DType: bastionlabv1.DType_DTYPE_I64, Shape: []int64{int64(len(numbers))}, Data: data}
}

func floats(name string, count int64) safetensors.Tensor {
	return safetensors.Tensor{Name: name, DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{count}, Data: make([]byte, 4*count)}
}

func TestAStateThatIsNoneOfThisRunIsRefused(t *testing.T) {
	s := begin(t, &fakeEngine{}, half)
	s.giveData(nil)
	s.untilFinished()
	good := s.keeper.states[1]
	samples := func(first ...int64) func(keptState) keptState {
		return func(k keptState) keptState {
			all := make([]int64, len(numbers(t, k, samplesTensor)))
			copy(all, first)
			return changed(t, k, samplesTensor, list(samplesTensor, all...))
		}
	}
	without := func(name string) func(keptState) keptState {
		return func(k keptState) keptState { return changed(t, k, name, safetensors.Tensor{}) }
	}
	with := func(name string, tensor safetensors.Tensor) func(keptState) keptState {
		return func(k keptState) keptState { return changed(t, k, name, tensor) }
	}
	other := safetensors.Tensor{Name: runTensor, DType: bastionlabv1.DType_DTYPE_U8, Shape: []int64{runBytes}, Data: make([]byte, runBytes)}
	for name, test := range map[string]struct {
		change func(keptState) keptState
		fine   bool
	}{
		"as it was":                    {func(k keptState) keptState { return k }, true},
		"other samples, well formed":   {samples(1, 2, 3, 0, 39), true},
		"of another run":               {with(runTensor, other), false},
		"of no run":                    {without(runTensor), false},
		"of other steps than told":     {func(k keptState) keptState { k.steps = 0; return k }, false},
		"of steps between epochs":      {func(k keptState) keptState { k.steps = 3; return changed(t, k, stepsTensor, one(stepsTensor, 3)) }, false},
		"after the last epoch":         {func(k keptState) keptState { k.steps = 4; return changed(t, k, stepsTensor, one(stepsTensor, 4)) }, false},
		"a slot beyond the last":       {samples(1, 2, 3, 0, 40), false},
		"a slot below the first":       {samples(1, 2, 3, -1, 39), false},
		"slots out of order":           {samples(1, 2, 3, 39, 0), false},
		"a slot twice":                 {samples(1, 2, 3, 39, 39), false},
		"fewer sampled than there are": {samples(1, 1, 3, 0, 39), false},
		"more sampled than there are":  {samples(1, 1<<40, 3, 0, 39), false},
		"a negative size":              {samples(-1, 2, 3, 0, 39), false},
		"samples that are shorter":     {with(samplesTensor, list(samplesTensor, 1, 2, 3, 0, 39)), false},
		"without samples":              {without(samplesTensor), false},
		"without a parameter":          {without(parameterTag + "w"), false},
		"with a parameter of another":  {with(parameterTag+"v", floats(parameterTag+"v", 1)), false},
		"without a moment":             {without(optimizerTag + "exp_avg.w"), false},
		"with a moment of another":     {with(optimizerTag+"exp_avg.v", floats(optimizerTag+"exp_avg.v", 1)), false},
		"with something else":          {with("record", floats("record", 1)), false},
		"no file of tensors":           {func(k keptState) keptState { k.content = []byte("rubbish"); return k }, false},
		"cut":                          {func(k keptState) keptState { k.content = k.content[:len(k.content)-1]; return k }, false},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &fakeEngine{}
			again := begin(t, engine, half)
			state := test.change(good)
			again.giveData(&state)
			frame := again.receive()
			for frame.GetProgress() != nil {
				frame = again.receive()
			}
			if test.fine != (frame.GetFinished() != nil) {
				t.Fatalf("got %v", frame)
			}
			if !test.fine && !proto.Equal(frame.GetFault(), bareFault()) {
				t.Errorf("it says %v", frame)
			}
			if _ = again.end(); !test.fine && len(engine.passes) > 0 {
				t.Error("it trained all the same")
			}
		})
	}
}

func one(name string, number int64) safetensors.Tensor {
	tensor := list(name, number)
	tensor.Shape = nil // a number, not a list of one
	return tensor
}

func TestAStateOfOtherBytesThanToldIsRefused(t *testing.T) {
	s := begin(t, &fakeEngine{}, half)
	s.giveData(nil)
	s.untilFinished()
	state := s.keeper.states[0]
	digest := sha256.Sum256(state.content)
	tampered := slices.Clone(state.content)
	tampered[len(tampered)-1] ^= 1 // of the parameter: nothing else would notice
	again := begin(t, &fakeEngine{}, half)
	data := &trainerv1.Data{Records: filled, RecordBytes: testRecordBytes, ResumedSha256: digest[:], ResumedBytes: int64(len(tampered))}
	again.sendData(data, sealed(t, make([]byte, filled*testRecordBytes)), memoryFile(t, nil, 0), sealed(t, tampered))
	if frame := again.receive(); !proto.Equal(frame.GetFault(), bareFault()) {
		t.Errorf("got %v", frame)
	}
}

func TestAStateThatDoesNotFitIsRefusedBeforeTheCharge(t *testing.T) {
	process := &Process{OutputLimitBytes: 20_000}
	engine := &fakeEngine{parameter: make([]byte, 4), moment: make([]byte, 4)}
	if err := process.checkStateFits(engine, settings(half)); err != nil {
		t.Errorf("a small one: %v", err)
	}
	process.OutputLimitBytes = 16_000
	if fault := faultOf(process.checkStateFits(engine, settings(half))); fault.GetCode() != trainerv1.Fault_CODE_INCOMPATIBLE_MODEL {
		t.Errorf("got %v", fault)
	}
}
