package trainer

import (
	"bytes"
	"slices"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"google.golang.org/protobuf/proto"
)

func testSettings(change func(*trainerv1.TestSettings)) *trainerv1.TestSettings {
	s := &trainerv1.TestSettings{Private: true, NoiseMultiplier: 3, Slots: 5, Metric: "cross_entropy", LossBound: 2}
	if change != nil {
		change(s)
	}
	return s
}

func TestATestMeasuresEverySlotAndGivesOneNumber(t *testing.T) {
	engine, payload := &fakeEngine{}, payloadOf(t, nil)
	s := play(t, Test, engine)
	s.sendTest(&trainerv1.Test{Program: programOf(payload), Settings: testSettings(nil), HasWeights: true},
		sealed(t, payload), sealed(t, weightsFile(t, "w", []byte{9, 8, 7, 6})))
	if s.receive().GetPrepared() == nil {
		t.Fatal("not prepared")
	}
	s.sendRecords(&trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}, sealed(t, make([]byte, 3*testRecordBytes)))
	if tested := s.receive().GetTested(); tested.GetSum() != 1000 {
		t.Errorf("got %v", tested)
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if want := (Evaluation{Metric: "cross_entropy", Bound: 2, Private: true, NoiseStddev: noiseStddev(3, 1)}); engine.evaluation != want {
		t.Errorf("measured %+v", engine.evaluation)
	}
	if !bytes.Equal(engine.parameter, []byte{9, 8, 7, 6}) {
		t.Errorf("weights %v", engine.parameter)
	}
	// Five declared slots, three of them filled, each alone.
	if want := [][]int64{{0}, {1}, {2}, {-1}, {-1}}; !slices.EqualFunc(engine.passes, want, slices.Equal) {
		t.Errorf("slots %v", engine.passes)
	}
	if engine.seeds[0][0] == engine.seeds[1][0] || len(engine.noise) != 1 || slices.Equal(engine.noise[0], make([]byte, 16)) {
		t.Errorf("seeds %v, noise %v", engine.seeds, engine.noise)
	}
}

func TestTestFaultsBeforeTheData(t *testing.T) {
	mismatch := &Failure{Status: LossMismatch, Reason: "the output has another shape"}
	for _, test := range []struct {
		name   string
		engine fakeEngine
		change func(*trainerv1.Test)
		want   trainerv1.Fault_Code
	}{
		{"no settings", fakeEngine{}, func(x *trainerv1.Test) { x.Settings = nil }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"no slots", fakeEngine{}, func(x *trainerv1.Test) { x.Settings.Slots = 0 }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"no metric", fakeEngine{}, func(x *trainerv1.Test) { x.Settings.Metric = "" }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"private without noise", fakeEngine{}, func(x *trainerv1.Test) { x.Settings.NoiseMultiplier = 0 }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"weights that are missing", fakeEngine{}, func(x *trainerv1.Test) { x.HasWeights = true }, trainerv1.Fault_CODE_BAD_REQUEST},
		{"another program", fakeEngine{}, func(x *trainerv1.Test) { x.Program.PayloadSha256[3] ^= 1 }, trainerv1.Fault_CODE_DIGEST_MISMATCH},
		{"labels that do not fit the metric", fakeEngine{evaluateErr: mismatch}, func(*trainerv1.Test) {}, trainerv1.Fault_CODE_LOSS_MISMATCH},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, payload := play(t, Test, &test.engine), payloadOf(t, nil)
			wanted := &trainerv1.Test{Program: programOf(payload), Settings: testSettings(nil)}
			test.change(wanted)
			s.sendTest(wanted, sealed(t, payload))
			if fault := s.receive().GetFault(); fault.GetCode() != test.want {
				t.Errorf("got %v", fault)
			}
		})
	}
}

// PRIVACY: once the records were announced, every failure looks the same.
func TestAfterTheDataEveryFaultOfATestIsBare(t *testing.T) {
	loud := &Failure{Status: OutOfMemory, Operator: "aten::embedding", Layer: "words", Reason: "index 4711 out of range"}
	for name, test := range map[string]struct {
		engine fakeEngine
		data   *trainerv1.Data
	}{
		"a record fails":              {fakeEngine{passErr: loud}, &trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}},
		"the sum is not given away":   {fakeEngine{stepErr: loud}, &trainerv1.Data{Records: 3, RecordBytes: testRecordBytes}},
		"fewer bytes than records":    {fakeEngine{}, &trainerv1.Data{Records: 4, RecordBytes: testRecordBytes}},
		"records of another schema":   {fakeEngine{}, &trainerv1.Data{Records: 9, RecordBytes: 8}},
		"something else than records": {fakeEngine{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, payload := play(t, Test, &test.engine), payloadOf(t, nil)
			s.sendTest(&trainerv1.Test{Program: programOf(payload), Settings: testSettings(nil)}, sealed(t, payload))
			s.receive()
			if test.data == nil {
				s.sendTest(&trainerv1.Test{}, sealed(t, payload))
			} else {
				s.sendRecords(test.data, sealed(t, make([]byte, 3*testRecordBytes)))
			}
			if frame := s.receive(); !proto.Equal(frame.GetFault(), bareFault()) {
				t.Errorf("got %v", frame)
			}
		})
	}
}
