//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/archivefuzz"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

const (
	trainedRecords = 5
	trainedSteps   = 2
)

func trainOf(sample archivefuzz.Sample, payload []byte, r *rand.Rand) *trainerv1.Train {
	digest := sha256.Sum256(payload)
	optimizer := &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Sgd{Sgd: &bastionlabv1.SGD{Lr: 0.1}}}
	if r.IntN(2) == 0 {
		optimizer = &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Adamw{Adamw: &bastionlabv1.Adam{Lr: 0.1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}}}
	}
	return &trainerv1.Train{
		Program: &trainerv1.Program{PayloadSha256: digest[:], PayloadBytes: int64(len(payload)), Schema: sample.Schema, Loss: sample.Loss},
		Settings: &trainerv1.Settings{
			Private: true, MaxGradNorm: 1, NoiseMultiplier: 1, IncludeAll: true, Slots: trainedRecords, Steps: trainedSteps,
			EpochEnds: []int64{trainedSteps}, BatchSize: trainedRecords, PassSize: 1 + r.Int64N(4), Optimizer: optimizer, GridExponent: 26, Eta: 0.016,
		},
	}
}

// dataOf announces records to a run that has no name: nobody goes on with it.
func dataOf(records []byte) *trainerv1.Data {
	const nameBytes = 32
	return &trainerv1.Data{Records: trainedRecords, RecordBytes: int64(len(records)) / trainedRecords, Run: make([]byte, nameBytes)}
}

// train has an admitted program trained on odd records, by a process that parsed archives before: that is not what it is held to here.
func (f *fuzzer) train(sample archivefuzz.Sample, result inspection, number uint64) {
	r := rand.New(rand.NewPCG(number, 7))
	request, content := trainOf(sample, result.payload, r), recordsOf(sample.Schema, r)
	phase, fault, err := f.child.train(request, result, content)
	switch {
	case err != nil:
		end := f.child.endedBy(err)
		f.journal.count(stage("in " + phase + ": " + end.how))
		if end.hung {
			f.journal.observe("hung in "+phase, sample, end.words)
			return
		}
		f.journal.defect("an admitted program ended its process in "+phase+": "+end.how, sample, end.words)
	case fault != nil && phase == "training":
		f.journal.count("fault in training")
		f.journal.defect("a fault that may depend on records", sample, fmt.Sprint(fault))
	case fault != nil:
		f.journal.count("refused in " + stage(phase))
		f.journal.observe(fmt.Sprintf("admitted, but refused in %s: %v", phase, fault.GetCode()), sample, fmt.Sprint(fault))
	default:
		f.journal.count("trained")
	}
}

// train returns in which phase it ended: "preparation" or "training".
func (c *child) train(request *trainerv1.Train, result inspection, records []byte) (phase string, fault *trainerv1.Fault, err error) {
	phase = "preparation"
	payload, err := sealed(result.payload)
	if err != nil {
		return phase, nil, err
	}
	defer payload.Close()
	data, err := sealed(records)
	if err != nil {
		return phase, nil, err
	}
	defer data.Close()
	output, err := storage.NewMemfd("fuzz")
	if err != nil {
		return phase, nil, err
	}
	defer output.Close()
	if err := c.begin('t'); err != nil {
		return phase, nil, err
	}
	if err := c.conn.Send(&trainerv1.ToTrainer{Fds: 1, Frame: &trainerv1.ToTrainer_Train{Train: request}}, payload); err != nil {
		return phase, nil, err
	}
	frame, err := c.receive()
	if err != nil || frame.GetPrepared() == nil {
		return phase, frame.GetFault(), err
	}
	phase = "training"
	state, err := storage.NewMemfd("fuzz")
	if err != nil {
		return phase, nil, err
	}
	defer state.Close()
	if err := c.conn.Send(&trainerv1.ToTrainer{Fds: 3, Frame: &trainerv1.ToTrainer_Data{Data: dataOf(records)}}, data, output, state); err != nil {
		return phase, nil, err
	}
	for {
		frame, err := c.receive()
		if err != nil || frame.GetFault() != nil {
			return phase, frame.GetFault(), err
		}
		if finished := frame.GetFinished(); finished != nil {
			return phase, nil, checkWeights(io.NewSectionReader(output, 0, finished.GetOutputBytes()), finished.GetOutputBytes(), result)
		}
		switch {
		case frame.GetState() != nil: // of the one epoch that there is: it is the last
			kept := &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_StateKept{StateKept: &trainerv1.StateKept{}}}
			if err := c.conn.Send(kept); err != nil {
				return phase, nil, err
			}
		case frame.GetProgress() == nil:
			return phase, nil, errors.New("neither a state nor progress nor an end")
		}
	}
}

// checkWeights compares the output with the trainable parameters of the program.
func checkWeights(output io.ReaderAt, size int64, result inspection) error {
	tensors, _, err := safetensors.Scan(output, size)
	if err != nil {
		return err
	}
	trainable := 0
	for _, parameter := range result.report.GetParameters() {
		if !parameter.GetTrainable() {
			continue
		}
		trainable++
		if !slices.ContainsFunc(tensors, func(t safetensors.Tensor) bool {
			return t.Name == parameter.GetName() && t.DType == parameter.GetDtype() && slices.Equal(t.Shape, parameter.GetShape())
		}) {
			return fmt.Errorf("the output has no %s", parameter.GetName())
		}
	}
	if trainable != len(tensors) {
		return fmt.Errorf("%d tensors for %d parameters", len(tensors), trainable)
	}
	return nil
}

// recordsOf are records that a schema allows, as odd as a data set may hold.
func recordsOf(schema *bastionlabv1.Schema, r *rand.Rand) []byte {
	var all bytes.Buffer
	for range trainedRecords {
		odd := r.IntN(3) == 0
		for _, spec := range schema.GetInputs() {
			writeTensor(&all, spec, r, odd, false)
		}
		writeTensor(&all, schema.GetLabel(), r, odd, true)
	}
	return all.Bytes()
}

func writeTensor(to *bytes.Buffer, spec *bastionlabv1.TensorSpec, r *rand.Rand, odd, label bool) {
	size, _ := safetensors.SizeBytes(spec.GetDtype(), spec.GetShape())
	item := safetensors.ItemBytes(spec.GetDtype())
	for range size / item {
		var bits uint64
		switch spec.GetDtype() {
		case bastionlabv1.DType_DTYPE_F32:
			bits = uint64(math.Float32bits(float32(number(r, odd))))
		case bastionlabv1.DType_DTYPE_F64:
			bits = math.Float64bits(number(r, odd))
		case bastionlabv1.DType_DTYPE_BF16:
			bits = uint64(math.Float32bits(float32(number(r, odd))) >> 16)
		case bastionlabv1.DType_DTYPE_F16:
			bits = uint64(r.Uint32()) // any of them
		case bastionlabv1.DType_DTYPE_BOOL:
			bits = uint64(r.IntN(2))
		default:
			bits = uint64(r.IntN(3))
			if odd && r.IntN(3) == 0 {
				odds := []int64{-1, -2, 4, 7, 127, -128, 255, 32767, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64, 1 << 40}
				bits = uint64(odds[r.IntN(len(odds))])
			}
		}
		to.Write(binary.LittleEndian.AppendUint64(nil, bits)[:item])
	}
}

func number(r *rand.Rand, odd bool) float64 {
	if odd && r.IntN(3) == 0 {
		odds := []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1e-45, 1e-310, 3e38, -3e38, 1e19, -1e19, 1e308, 2147483648, -1}
		return odds[r.IntN(len(odds))]
	}
	return r.NormFloat64()
}
