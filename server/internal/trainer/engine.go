package trainer

import (
	"io"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// Engine is libtorch, as far as a trainer needs it. Package engine binds the real one. All calls come from one OS thread.
type Engine interface {
	ABI() int32
	TorchVersion() string
	Device() string // that programs compute on
	// Read understands an archive and judges it. An error is a *Failure.
	Read(archive []byte, schema *bastionlabv1.Schema, allowed []string) (Reading, error)
	// Build makes a program of a graph, judged anew. The tensors' data must stay until the program is closed; it is never written to. An
	// error is a *Failure.
	Build(graph *trainerv1.Graph, tensors []safetensors.Tensor, allowed []string) (Program, error)
}

// Reading is what was understood of an archive. The graph has neither schema nor loss; the tensors' data is valid until Close.
type Reading interface {
	Graph() (*trainerv1.Graph, error)
	Tensors() ([]safetensors.Tensor, error)
	Close()
}

// Program is a model that can be trained.
type Program interface {
	Rehearse(passSize int64) error
	Report() (*bastionlabv1.CapabilityReport, error)
	Train(Training) (Trainer, error)
	Evaluate(Evaluation) (Evaluator, error)
	Close()
}

// Training is how the steps of a run are made.
type Training struct {
	PassSize     int64
	Private      bool
	Exact        bool  // else certified
	GridExponent int32 // sums are integers in units of ClippingNorm * 2^-GridExponent
	ClippingNorm float64
	NoiseStddev  float64
	Normalizer   float64
	LossBound    float64 // B: losses clamped to [0, B] are released beside the gradients; 0: none
	Optimizer    *bastionlabv1.Optimizer
}

// Trainer holds the parameters of a run.
type Trainer interface {
	// Pass adds the clipped gradients of some records to the step's sum. records holds count of them; a slot of -1 is empty.
	// seeds has one number for each slot: all that the model draws at random for the record comes from it.
	// Where the model fails on a slot nobody has counted: each record of the pass is to be probed, and the pass made again.
	Pass(records []byte, count int64, slots []int64, seeds []uint64) (failed bool, err error)
	// Probe says whether the model fails on a record, which is in a pass with nothing but copies of itself. It adds nothing.
	Probe(records []byte, count, slot int64, seed uint64) (failed bool, err error)
	// Again makes a pass that failed once more, with -1 for the records that fail.
	Again(records []byte, count int64, slots []int64, seeds []uint64) error
	// Step adds noise made from random to the sum, updates the parameters and begins the next sum.
	Step(random io.Reader) error
	// Loss is the mean loss per record of the last step, with its noise; 0 where none is released.
	Loss() float64
	// Parameters are valid until the trainer computes again.
	Parameters() ([]safetensors.Tensor, error)
	SetParameter(safetensors.Tensor) error
	// State is what the optimizer remembers between two steps, and is valid as long.
	State() ([]safetensors.Tensor, error)
	SetState(safetensors.Tensor) error
	Close()
}

// Evaluation is what a test measures.
type Evaluation struct {
	Metric      string  // "accuracy", or a loss
	Bound       float64 // a loss is clamped to [0, Bound] and divided by it
	Private     bool
	NoiseStddev float64 // of the sum, in units of the largest value of a record
}

// Evaluator sums up a metric over records.
type Evaluator interface {
	ParameterCount() int
	SetParameter(safetensors.Tensor) error
	// Add adds the value of one record, which is alone in its pass. A slot of -1 is empty, and counts zero like a record on which the model
	// fails.
	Add(records []byte, count, slot int64, seed uint64) error
	// Release gives the sum with noise made from random, in units of 2^-30. Once.
	Release(random io.Reader) (int64, error)
	Close()
}

// Status is why the engine refused. The numbers are those of the C interface.
type Status int

// Statuses of the engine.
const (
	InvalidArgument   Status = 1
	BadArchive        Status = 2
	IncompatibleModel Status = 3
	ForwardFailed     Status = 4
	LossMismatch      Status = 5
	OutOfMemory       Status = 6
	Internal          Status = 7
)

// Failure is the engine's refusal: about the model, never about records.
type Failure struct {
	Status                  Status
	Operator, Layer, Reason string
}

func (f *Failure) Error() string {
	text := f.Reason
	if f.Operator != "" {
		text = f.Operator + ": " + text
	}
	if f.Layer != "" {
		text = f.Layer + ": " + text
	}
	return text
}
