//go:build linux

package supervisor_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
	"google.golang.org/protobuf/proto"
)

// These tests run the trainer that `make` has built, sandbox, libtorch and all.

const builtTrainer = "../../../bin/bastionlab-trainer"

func realTrainer(t *testing.T) *supervisor.Launcher {
	t.Helper()
	path := builtTrainer
	if other := os.Getenv("BASTIONLAB_TEST_TRAINER"); other != "" {
		path = other
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no trainer: make builds it (%v)", err)
	}
	l, err := supervisor.New(supervisor.Config{
		Path: path, Threads: 2, MemoryLimitBytes: 4 << 30, StallWindow: time.Minute,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheRealSandboxDeniesEveryAttempt(t *testing.T) {
	l := realTrainer(t)
	begin := time.Now()
	report, err := l.Probe(t.Context(), supervisor.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("libtorch %s, probed in %v", report.TorchVersion, time.Since(begin))
	for _, layer := range report.Layers {
		t.Logf("%-14s %v  %s", layer.GetName(), layer.GetActive(), layer.GetDetail())
	}
	for _, attempt := range report.Attempts {
		t.Logf("%-20s %s", attempt.GetCall(), attempt.GetDetail())
		if !attempt.GetDenied() {
			t.Errorf("%s: %s", attempt.GetCall(), attempt.GetDetail())
		}
	}
	missing := report.Missing()
	if i := slices.Index(missing, supervisor.Namespaces); i >= 0 {
		t.Log("this host grants no namespaces of one's own")
		missing = slices.Delete(missing, i, i+1)
	}
	if len(missing) > 0 {
		t.Errorf("missing: %v", missing)
	}
}

// model is an archive with what it is to be read for.
type model struct {
	archive *os.File
	intake  *trainerv1.Intake
	record  func(i int) []byte
}

func sealedCopy(t *testing.T, content []byte) *os.File {
	t.Helper()
	file, err := storage.NewMemfd("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := storage.SealMemfd(file); err != nil {
		t.Fatal(err)
	}
	return file
}

func loadModel(t *testing.T, name string, input *bastionlabv1.TensorSpec, record func(i int) []byte) model {
	t.Helper()
	archive, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(archive)
	return model{
		archive: sealedCopy(t, archive), record: record,
		intake: &trainerv1.Intake{
			ArchiveSha256: digest[:], ArchiveBytes: int64(len(archive)), Loss: "cross_entropy",
			Schema: &bastionlabv1.Schema{
				Inputs: []*bastionlabv1.TensorSpec{input},
				Label:  &bastionlabv1.TensorSpec{Name: "label", Dtype: bastionlabv1.DType_DTYPE_I64},
			},
		},
	}
}

// takenIn is a canonical program as the server keeps it.
type takenIn struct {
	payload []byte
	program *trainerv1.Program
	report  *bastionlabv1.CapabilityReport
}

// takeIn does with a model what the server does: it has the archive read, looks at the output when the process has ended, and judges it.
func takeIn(t *testing.T, l *supervisor.Launcher, m model) (takenIn, error) {
	t.Helper()
	output, err := storage.NewMemfd("program")
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	done, err := l.Intake(t.Context(), m.intake, m.archive, output)
	if err != nil {
		return takenIn{}, err
	}
	if err := storage.SealMemfd(output); err != nil {
		t.Fatal(err)
	}
	payload, err := io.ReadAll(output)
	if err != nil || int64(len(payload)) != done.GetProgramBytes() {
		t.Fatalf("%d bytes, announced %d, %v", len(payload), done.GetProgramBytes(), err)
	}
	canonical, err := program.Decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	operators, err := program.Operators()
	if err != nil {
		t.Fatal(err)
	}
	if err := canonical.Judge(operators, m.intake.GetSchema(), m.intake.GetLoss()); err != nil {
		t.Fatal(err)
	}
	report, err := canonical.Report(done.GetReport())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(payload)
	return takenIn{payload, &trainerv1.Program{
		PayloadSha256: digest[:], PayloadBytes: int64(len(payload)), Schema: m.intake.GetSchema(), Loss: m.intake.GetLoss(),
	}, report}, nil
}

func mustTakeIn(t *testing.T, l *supervisor.Launcher, m model) takenIn {
	t.Helper()
	taken, err := takeIn(t, l, m)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

var features = &bastionlabv1.TensorSpec{Name: "x", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{4}}

// featureRecord has its label in its first feature, so that there is something to learn.
func featureRecord(i int) []byte {
	record := make([]byte, 0, 24)
	for j := range 4 {
		value := float32(0)
		if j == 0 {
			value = float32(2*(i%2) - 1)
		}
		record = binary.LittleEndian.AppendUint32(record, math.Float32bits(value))
	}
	return binary.LittleEndian.AppendUint64(record, uint64(i%2))
}

func linear(t *testing.T) model { return loadModel(t, "linear.pt", features, featureRecord) }

// words uses what is set up late: kernels compiled for their shapes, more threads, dropout's generator.
func words(t *testing.T) model {
	tokens := &bastionlabv1.TensorSpec{Name: "tokens", Dtype: bastionlabv1.DType_DTYPE_I64, Shape: []int64{12}}
	return loadModel(t, "words.pt", tokens, func(i int) []byte {
		var record []byte
		for j := range 12 {
			record = binary.LittleEndian.AppendUint64(record, uint64((i*7+j*3)%50))
		}
		return binary.LittleEndian.AppendUint64(record, uint64(i%2))
	})
}

func TestTheRealIntakeJudges(t *testing.T) {
	l := realTrainer(t)
	t.Run("a model that can be trained", func(t *testing.T) {
		taken := mustTakeIn(t, l, words(t))
		if len(taken.report.GetOperators()) == 0 || len(taken.report.GetParameters()) == 0 || len(taken.report.GetOutputs()) == 0 {
			t.Errorf("report: %v", taken.report)
		}
		t.Logf("%d bytes: %v", len(taken.payload), taken.report)
	})
	// One model has one digest: who uploads it again gets the program that was judged before.
	t.Run("twice the same", func(t *testing.T) {
		if m := words(t); !bytes.Equal(mustTakeIn(t, l, m).payload, mustTakeIn(t, l, m).payload) {
			t.Error("the same archive gives two programs")
		}
	})
	t.Run("statistics over the batch", func(t *testing.T) {
		m := loadModel(t, "batchnorm.pt", features, featureRecord)
		_, err := takeIn(t, l, m)
		var refused *refusal.Error
		if !errors.As(err, &refused) || refused.Kind != refusal.IncompatibleModel || refused.Model == nil || refused.Model.Operator == "" {
			t.Fatalf("got %v", err)
		}
		t.Log(refused)
	})
	t.Run("no archive", func(t *testing.T) {
		m := linear(t)
		rubbish := []byte("PK\x03\x04 and nothing behind it")
		digest := sha256.Sum256(rubbish)
		m.archive, m.intake.ArchiveSha256, m.intake.ArchiveBytes = sealedCopy(t, rubbish), digest[:], int64(len(rubbish))
		_, err := takeIn(t, l, m)
		if refusal.KindOf(err) != refusal.InvalidArgument {
			t.Fatalf("got %v", err)
		}
		t.Log(err)
	})
	t.Run("a schema that it does not fit", func(t *testing.T) {
		m := loadModel(t, "linear.pt", &bastionlabv1.TensorSpec{Name: "x", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{5}}, nil)
		_, err := takeIn(t, l, m)
		if refusal.KindOf(err) != refusal.IncompatibleModel {
			t.Fatalf("got %v", err)
		}
		t.Log(err)
	})
}

const trainedRecords, declaredSlots = 60, 64

func settings(steps int64) *trainerv1.Settings {
	return &trainerv1.Settings{
		Private: true, MaxGradNorm: 1, NoiseMultiplier: 0.5, InclusionThreshold: 1 << 62, Slots: declaredSlots, Steps: steps,
		EpochEnds: []int64{steps / 2, steps}, BatchSize: 16, PassSize: 6, GridExponent: 26, Eta: 0.016,
		Optimizer: &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Sgd{Sgd: &bastionlabv1.SGD{Lr: 0.5}}},
	}
}

// trainReal trains m from what its intake wrote and returns the weights as a safetensors file.
func trainReal(t *testing.T, l *supervisor.Launcher, m model, steps int64, initial []byte) []byte {
	t.Helper()
	taken := mustTakeIn(t, l, m)
	request := &trainerv1.Train{Program: taken.program, Settings: settings(steps), HasInitialWeights: initial != nil}
	var initialFile *os.File
	if initial != nil {
		initialFile = sealedCopy(t, initial)
	}
	begin := time.Now()
	trainer, err := l.Prepare(t.Context(), request, sealedCopy(t, taken.payload), initialFile)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	prepared := time.Since(begin)
	made := attemptReal(t, trainer, m, steps, nil)
	if want := min(40, int(steps)); made.marks != want {
		t.Errorf("%d marks, want %d", made.marks, want)
	}
	t.Logf("prepared in %v, trained in %v", prepared, time.Since(begin)-prepared)
	return made.weights
}

func decode(t *testing.T, weights []byte) map[string][]float64 {
	t.Helper()
	tensors, err := safetensors.Decode(weights)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{}
	for _, tensor := range tensors {
		for at := 0; at < len(tensor.Data); at += 4 {
			value := float64(math.Float32frombits(binary.LittleEndian.Uint32(tensor.Data[at:])))
			if math.IsNaN(value) || math.IsInf(value, 0) {
				t.Fatalf("%s is not finite", tensor.Name)
			}
			values[tensor.Name] = append(values[tensor.Name], value)
		}
	}
	return values
}

func TestTheRealTrainerLearns(t *testing.T) {
	l := realTrainer(t)
	m := linear(t)
	weights := trainReal(t, l, m, 60, nil)
	values := decode(t, weights)
	if len(values["weight"]) != 8 || len(values["bias"]) != 2 {
		t.Fatalf("parameters: %v", values)
	}
	// The first feature is the label: it must push class 1 up and class 0 down.
	if w := values["weight"]; w[4]-w[0] < 1 {
		t.Errorf("nothing was learnt: %v", w)
	}
	// The same again, from where it ended: the noise is another, the weights go on.
	again := trainReal(t, l, m, 2, weights)
	if bytes.Equal(weights, again) {
		t.Error("two more steps changed nothing")
	}
	if w := decode(t, again)["weight"]; w[4]-w[0] < 0.5 {
		t.Errorf("the second run did not begin where the first ended: %v", w)
	}
	// PRIVACY: the same run twice must not have the same noise.
	if bytes.Equal(trainReal(t, l, m, 2, weights), again) {
		t.Error("two runs share their noise")
	}
}

// Kernels that are compiled late, threads that are made late, dropout: all of it inside the closed sandbox.
func TestTheRealSandboxLetsAModelTrain(t *testing.T) {
	values := decode(t, trainReal(t, realTrainer(t), words(t), 40, nil))
	if len(values) != 13 {
		t.Errorf("%d parameters", len(values))
	}
}

// What a model may ask for at worst is refused before any charge: more memory than is granted.
func TestAPassThatDoesNotFitIsRefusedBeforeTheData(t *testing.T) {
	l := realTrainer(t)
	taken := mustTakeIn(t, l, words(t))
	request := &trainerv1.Train{Program: taken.program, Settings: settings(4)}
	request.Settings.PassSize = 50_000_000
	_, err := l.Prepare(t.Context(), request, sealedCopy(t, taken.payload), nil)
	if refusal.KindOf(err) != refusal.TrainingFailed {
		t.Fatalf("got %v", err)
	}
	t.Log(err)
}

// SECURITY: who trains takes neither an archive nor another program than the one that was judged.
func TestTheRealTrainerTakesTheJudgedProgramOnly(t *testing.T) {
	l := realTrainer(t)
	m := linear(t)
	taken := mustTakeIn(t, l, m)
	changed := bytes.Clone(taken.payload)
	changed[len(changed)-1] ^= 1
	archive, err := os.ReadFile("testdata/linear.pt")
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string][]byte{"changed": changed, "an archive": archive} {
		request := &trainerv1.Train{Program: taken.program, Settings: settings(4)}
		if _, err := l.Prepare(t.Context(), request, sealedCopy(t, payload), nil); refusal.KindOf(err) != refusal.TrainingFailed {
			t.Errorf("%s: %v", name, err)
		}
	}
	digest := sha256.Sum256(archive)
	request := &trainerv1.Train{Program: proto.CloneOf(taken.program), Settings: settings(4)}
	request.Program.PayloadSha256, request.Program.PayloadBytes = digest[:], int64(len(archive))
	if _, err := l.Prepare(t.Context(), request, sealedCopy(t, archive), nil); refusal.KindOf(err) != refusal.TrainingFailed {
		t.Errorf("an archive under its own digest: %v", err)
	}
}

func TestTheReleasedTrainerKnowsNoReplay(t *testing.T) {
	realTrainer(t)
	content, err := os.ReadFile(builtTrainer)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"BASTIONLAB_REPLAY", "BASTIONLAB_SANDBOX_WITHOUT", "replaysWithoutNoise"} {
		if bytes.Contains(content, []byte(word)) {
			t.Errorf("it contains %s", word)
		}
	}
}
