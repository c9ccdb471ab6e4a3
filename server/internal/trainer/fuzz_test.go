package trainer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/seam"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// boundedEngine is the fake one; a run that the frames made very long ends like one whose engine failed.
type boundedEngine struct {
	*fakeEngine
	calls int
}

const mostCalls = 300

func (e *boundedEngine) Build(graph *trainerv1.Graph, tensors []safetensors.Tensor, allowed []string) (Program, error) {
	if len(tensors) == 0 {
		return nil, &Failure{Status: IncompatibleModel, Reason: "no tensors"}
	}
	if _, err := e.fakeEngine.Build(graph, tensors, allowed); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *boundedEngine) Rehearse(passSize int64) error {
	// As the real one: a pass of so many slots does not fit into any memory.
	if passSize > 64 {
		return &Failure{Status: OutOfMemory}
	}
	return e.fakeEngine.Rehearse(passSize)
}

func (e *boundedEngine) Train(training Training) (Trainer, error) {
	if _, err := e.fakeEngine.Train(training); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *boundedEngine) Pass(records []byte, count int64, slots []int64, seeds []uint64) (bool, error) {
	if e.calls++; e.calls > mostCalls {
		return false, errors.New("too long for a test")
	}
	return e.fakeEngine.Pass(records, count, slots, seeds)
}

func (e *boundedEngine) Step(random io.Reader) error {
	if e.calls++; e.calls > mostCalls {
		return errors.New("too long for a test")
	}
	return e.fakeEngine.Step(random)
}

// fuzzedFile makes a descriptor of the kind that a byte names.
func fuzzedFile(t *testing.T, kind byte, content []byte) *os.File {
	t.Helper()
	switch kind % 8 {
	case 0, 1:
		return sealed(t, content)
	case 2:
		return memoryFile(t, content, 0)
	case 3:
		return memoryFile(t, content, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	case 4:
		return sealed(t, nil)
	}
	path := map[byte]string{5: "/dev/null", 6: "/proc/self/exe", 7: "/"}[kind%8]
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// truthful has a frame announce what its first payload really is, so that changed payloads come past the comparison of digests.
func truthful(frame *trainerv1.ToTrainer, content []byte) {
	digest := sha256.Sum256(content)
	if intake := frame.GetIntake(); intake != nil {
		intake.ArchiveSha256, intake.ArchiveBytes = digest[:], int64(len(content))
	}
	if train := frame.GetTrain(); train != nil && train.GetProgram() != nil {
		train.Program.PayloadSha256, train.Program.PayloadBytes = digest[:], int64(len(content))
	}
}

// answers are what a process said before it ended.
type answers struct {
	taken, prepared, finished, faults int
	afterData                         []*trainerv1.FromTrainer
}

const (
	fuzzedRecords = 3
	mostSlots     = 64
)

// FuzzFrames gives a process frames and payloads as no server sends them: it ends by itself with a fault or a result, never by a panic,
// and what it says once it was given records is what a process with records may say.
func FuzzFrames(f *testing.F) {
	payload := payloadOf(f, nil)
	marshal := func(frame *trainerv1.ToTrainer) []byte {
		content, err := proto.Marshal(frame)
		if err != nil {
			f.Fatal(err)
		}
		return content
	}
	intake := marshal(&trainerv1.ToTrainer{Fds: 2, Frame: &trainerv1.ToTrainer_Intake{Intake: intakeOf(archive)}})
	train := func(change func(*trainerv1.Settings)) []byte {
		return marshal(&trainerv1.ToTrainer{Fds: 1, Frame: &trainerv1.ToTrainer_Train{Train: &trainerv1.Train{Program: programOf(payload), Settings: settings(change)}}})
	}
	resumed := marshal(&trainerv1.ToTrainer{Fds: 2, Frame: &trainerv1.ToTrainer_Train{Train: &trainerv1.Train{
		Program: programOf(payload), Settings: settings(nil), HasInitialWeights: true,
	}}})
	data := marshal(&trainerv1.ToTrainer{Fds: 2, Frame: &trainerv1.ToTrainer_Data{Data: &trainerv1.Data{Records: fuzzedRecords, RecordBytes: testRecordBytes}}})
	const first, second = 2, 2 // descriptors of each frame
	for flags := range byte(2) {
		f.Add(byte(0), intake, data, archive, []byte{0, 2}, first, second, flags)
		f.Add(byte(1), train(nil), data, payload, []byte{0, 0, 0, 2}, 1, second, flags)
		f.Add(byte(1), resumed, data, payload, []byte{0, 4, 0, 2}, 2, second, flags)
		f.Add(byte(1), train(func(s *trainerv1.Settings) { s.Slots, s.IncludeAll, s.InclusionThreshold = 1<<40, false, 1 }), data, payload, []byte{0, 0, 0, 2}, 1, second, flags)
		f.Add(byte(1), train(func(s *trainerv1.Settings) { s.PassSize = 1 << 62 }), data, payload, []byte{0, 0, 0, 2}, 1, second, flags)
		f.Add(byte(1), data, train(nil), payload, []byte{5, 6, 7, 2}, 2, 1, flags)
	}
	f.Fuzz(func(t *testing.T, role byte, firstFrame, secondFrame, content, kinds []byte, firstFiles, secondFiles int, flags byte) {
		if len(firstFrame)+len(secondFrame)+len(content) > 1<<16 {
			return
		}
		roles := []Role{Intake, Train, Role("another")}
		engine := &boundedEngine{fakeEngine: &fakeEngine{}}
		at := 0
		files := func(count int, content []byte) []*os.File {
			var all []*os.File
			for range uint(count) % (seam.MaxDescriptors + 1) {
				kind := byte(0)
				if at < len(kinds) {
					kind = kinds[at]
				}
				at++
				all = append(all, fuzzedFile(t, kind, content))
			}
			return all
		}
		given := files(firstFiles, content)
		records := files(secondFiles, make([]byte, fuzzedRecords*testRecordBytes))
		said, ended := talk(t, roles[int(role)%len(roles)], engine, flags&1 == 1, content, firstFrame, given, secondFrame, records)
		if !ended {
			t.Fatal("the process goes on")
		}
		checkAnswers(t, said, engine)
	})
}

func checkAnswers(t *testing.T, said answers, engine *boundedEngine) {
	t.Helper()
	if said.finished+said.faults+said.taken > 1 || said.prepared > 1 || said.finished > said.prepared {
		t.Fatalf("it said too much: %+v", said)
	}
	for _, frame := range said.afterData {
		// PRIVACY: with records, progress, an end, or one fault that says nothing.
		if frame.GetFault() != nil && !proto.Equal(frame.GetFault(), bareFault()) || frame.GetFault() == nil && frame.GetProgress() == nil && frame.GetFinished() == nil {
			t.Fatalf("with records it said %v", frame)
		}
	}
	if engine.readings != 0 {
		t.Fatal("an archive's tensors are still held")
	}
	// The first trainer was for the rehearsal. Each step of the second was noised, and none like another.
	seen := map[string]bool{}
	for _, noise := range engine.noise {
		if seen[string(noise)] {
			t.Fatal("two steps have the same noise")
		}
		seen[string(noise)] = true
	}
}

// talk plays the server: it sends two frames, hears all that comes, and hangs up.
func talk(t *testing.T, role Role, engine Engine, honest bool, content, first []byte, files []*os.File, second []byte, records []*os.File) (answers, bool) {
	t.Helper()
	operators, err := program.ParseTable("aten::linear parameters it is one product\naten::steal forbidden it reads across records")
	if err != nil {
		t.Fatal(err)
	}
	near, far, err := seam.Pair()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := seam.NewConn(far)
	if err != nil {
		t.Fatal(err)
	}
	process := &Process{Seam: near, Engine: engine, Operators: operators, OutputLimitBytes: testOutputLimit}
	ended := make(chan error, 1)
	go func() {
		ended <- process.Run(role)
		near.Close()
	}()
	var said answers
	for i, frame := range [][]byte{first, second} {
		if err := sendFuzzed(conn, far, frame, [][]*os.File{files, records}[i], honest && i == 0, content); err != nil {
			break // it has gone, or nothing can be sent
		}
		hear(conn, &said, i == 1 && said.prepared > 0)
		if said.prepared == 0 {
			break
		}
	}
	conn.Close()
	select {
	case <-ended:
		return said, true
	case <-time.After(8 * time.Second):
		return said, false
	}
}

// sendFuzzed sends a message with as many descriptors as it then announces, and what is no message as it is.
func sendFuzzed(conn *seam.Conn, socket *os.File, content []byte, files []*os.File, honest bool, payload []byte) error {
	var frame trainerv1.ToTrainer
	if proto.Unmarshal(content, &frame) != nil {
		_, err := socket.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...))
		return err
	}
	if honest {
		truthful(&frame, payload)
	}
	// A process asked to sample from so many slots does so for as long: that is the server's to know.
	if settings := frame.GetTrain().GetSettings(); settings != nil {
		settings.Slots = min(settings.Slots, mostSlots)
	}
	frame.Fds = uint32(len(files))
	return conn.Send(&frame, files...)
}

// hear takes what comes until the process waits or ends.
func hear(conn *seam.Conn, said *answers, withData bool) {
	for {
		var frame trainerv1.FromTrainer
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Receive(&frame); err != nil {
			return
		}
		if withData {
			said.afterData = append(said.afterData, &frame)
		}
		switch {
		case frame.GetHello() != nil || frame.GetProgress() != nil:
			continue
		case frame.GetPrepared() != nil:
			said.prepared++
		case frame.GetFault() != nil:
			said.faults++
		case frame.GetIntakeDone() != nil:
			said.taken++
		case frame.GetFinished() != nil:
			said.finished++
		}
		return
	}
}
