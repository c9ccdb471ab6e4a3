package seam

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// ends gives a Conn and the bare socket of its other side.
func ends(t testing.TB) (*Conn, *os.File) {
	t.Helper()
	conn, far, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); far.Close() })
	return conn, far
}

// conns gives both sides as Conns.
func conns(t testing.TB) (*Conn, *Conn) {
	t.Helper()
	near, far := ends(t)
	other, err := NewConn(far)
	if err != nil {
		t.Fatal(err)
	}
	return near, other
}

func memfd(t testing.TB, content string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "memfd")
	t.Cleanup(func() { file.Close() })
	if _, err := file.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return file
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func train(fds uint32) *trainerv1.ToTrainer {
	return &trainerv1.ToTrainer{Fds: fds, Frame: &trainerv1.ToTrainer_Train{Train: &trainerv1.Train{HasInitialWeights: true}}}
}

func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
}

func TestFramesArriveInOrderWithTheirDescriptors(t *testing.T) {
	near, far := conns(t)
	first, second := memfd(t, "program"), memfd(t, "weights")
	if err := near.Send(train(2), first, second); err != nil {
		t.Fatal(err)
	}
	if err := near.Send(train(0)); err != nil {
		t.Fatal(err)
	}
	var got trainerv1.ToTrainer
	files, err := far.Receive(&got)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&got, train(2)) || len(files) != 2 {
		t.Fatalf("got %v with %d descriptors", &got, len(files))
	}
	for i, want := range []string{"program", "weights"} {
		content := make([]byte, len(want))
		if _, err := files[i].ReadAt(content, 0); err != nil || string(content) != want {
			t.Errorf("descriptor %d holds %q, %v; want %q", i, content, err, want)
		}
		flags, err := unix.FcntlInt(files[i].Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d would be inherited by a child: flags %d, %v", i, flags, err)
		}
		files[i].Close()
	}
	if files, err := far.Receive(&got); err != nil || len(files) != 0 {
		t.Fatalf("second frame: %v, %d descriptors", err, len(files))
	}
}

func TestFrameOfTheLargestSizePasses(t *testing.T) {
	near, far := conns(t)
	reason := strings.Repeat("x", MaxFrameBytes-16)
	big := &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Fault{Fault: &trainerv1.Fault{Reason: reason}}}
	sent := make(chan error, 1)
	go func() { sent <- near.Send(big) }()
	var got trainerv1.FromTrainer
	if _, err := far.Receive(&got); err != nil || !proto.Equal(&got, big) {
		t.Fatalf("receive: %v", err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func TestSendRefusesWhatTheOtherSideWouldRefuse(t *testing.T) {
	near, _ := conns(t)
	file := memfd(t, "")
	long := &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Fault{Fault: &trainerv1.Fault{Reason: strings.Repeat("x", MaxFrameBytes)}}}
	for _, test := range []struct {
		name    string
		message proto.Message
		files   []*os.File
		want    error
	}{
		{"fewer descriptors than announced", train(2), []*os.File{file}, ErrDescriptors},
		{"more descriptors than announced", train(0), []*os.File{file}, ErrDescriptors},
		{"more descriptors than a frame may carry", train(5), []*os.File{file, file, file, file, file}, ErrDescriptors},
		{"descriptors towards the server", &trainerv1.FromTrainer{}, []*os.File{file}, ErrDescriptors},
		{"an empty message", &trainerv1.ToTrainer{}, nil, ErrLength},
		{"more than 1 MiB", long, nil, ErrLength},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := near.Send(test.message, test.files...); !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestBadFramesAreTypedErrors(t *testing.T) {
	good, err := proto.Marshal(train(0))
	if err != nil {
		t.Fatal(err)
	}
	announcing, err := proto.Marshal(train(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"end of stream", nil, io.EOF},
		{"end within the length", []byte{0, 0}, ErrTruncated},
		{"end after the length", []byte{0, 0, 0, 9}, ErrTruncated},
		{"end within the message", frame(good)[:6], ErrTruncated},
		{"length zero", []byte{0, 0, 0, 0}, ErrLength},
		{"length just above the bound", []byte{0, 0x10, 0, 1}, ErrLength},
		{"length of 4 GiB", []byte{0xff, 0xff, 0xff, 0xff}, ErrLength},
		{"no protobuf", frame([]byte{0xff, 0xff, 0xff}), ErrMalformed},
		{"announced descriptor that did not come", frame(announcing), ErrDescriptors},
	} {
		t.Run(test.name, func(t *testing.T) {
			near, far := ends(t)
			if _, err := far.Write(test.bytes); err != nil {
				t.Fatal(err)
			}
			far.Close()
			var got trainerv1.ToTrainer
			if _, err := near.Receive(&got); !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
		})
	}
}

// Surplus descriptors are the way in which one process could fill the other's table, or slip it a file to write to.
func TestDescriptorsThatWereNotAnnouncedAreClosed(t *testing.T) {
	announcing := func(count uint32) []byte {
		message, err := proto.Marshal(train(count))
		if err != nil {
			t.Fatal(err)
		}
		return frame(message)
	}
	for _, test := range []struct {
		name  string
		bytes []byte
		send  int
	}{
		{"none announced", announcing(0), 1},
		{"one announced", announcing(1), 2},
		{"more than a frame may carry", announcing(4), 5},
		{"far more than a frame may carry", announcing(4), 64},
		{"all of them announced, but more than a frame may carry", announcing(5), 5},
		{"as many announced as the kernel leaves of them", announcing(5), 64},
		{"with a hostile length", []byte{0xff, 0xff, 0xff, 0xff}, 2},
		{"with no protobuf", frame([]byte{0xff}), 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			near, far := ends(t)
			file := memfd(t, "")
			fds := make([]int, test.send)
			for i := range fds {
				fds[i] = int(file.Fd())
			}
			if err := unix.Sendmsg(int(far.Fd()), test.bytes, unix.UnixRights(fds...), nil, 0); err != nil {
				t.Fatal(err)
			}
			before := openDescriptors(t)
			var got trainerv1.ToTrainer
			files, err := near.Receive(&got)
			if err == nil || files != nil {
				t.Fatalf("accepted, with %d descriptors", len(files))
			}
			if after := openDescriptors(t); after != before {
				t.Fatalf("%d descriptors are open, %d before", after, before)
			}
		})
	}
}

func TestDeadlineEndsAWait(t *testing.T) {
	near, _ := conns(t)
	time.AfterFunc(10*time.Millisecond, func() { near.SetDeadline(time.Now()) })
	if _, err := near.Receive(&trainerv1.ToTrainer{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestInheritedTakesAStreamSocketOnly(t *testing.T) {
	if _, err := Inherited(int(memfd(t, "").Fd())); err == nil {
		t.Error("a memfd was taken for a seam")
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	if _, err := Inherited(fds[0]); err == nil {
		t.Error("a datagram socket was taken for a seam")
	}
}

// FuzzReceive feeds arbitrary streams with arbitrary descriptors: no panic, no loop, no descriptor left behind, and what is accepted is
// exactly what a sender could have sent.
func FuzzReceive(f *testing.F) {
	for _, count := range []uint32{0, 1, 4} {
		message, err := proto.Marshal(train(count))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame(message), uint8(count))
	}
	f.Add([]byte{0, 0, 0, 0}, uint8(0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1}, uint8(5))
	file := memfd(f, "")
	f.Fuzz(func(t *testing.T, stream []byte, count uint8) {
		if len(stream) == 0 || len(stream) > 4096 {
			return
		}
		near, far := ends(t)
		fds := make([]int, count%8)
		for i := range fds {
			fds[i] = int(file.Fd())
		}
		if err := unix.Sendmsg(int(far.Fd()), stream, unix.UnixRights(fds...), nil, 0); err != nil {
			t.Fatal(err)
		}
		far.Close()
		before := openDescriptors(t)
		var got trainerv1.ToTrainer
		files, err := near.Receive(&got)
		for _, file := range files {
			file.Close()
		}
		if err == nil && (len(files) != len(fds) || len(fds) != int(got.GetFds())) {
			t.Fatalf("%d descriptors sent, %d announced, %d received", len(fds), got.GetFds(), len(files))
		}
		if err == nil && !bytes.HasPrefix(stream, binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(stream))) {
			t.Fatal("accepted a frame without a length")
		}
		if after := openDescriptors(t); after != before {
			t.Fatalf("%d descriptors are open, %d before", after, before)
		}
	})
}
