package ledger

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bastionlab/bastionlab/server/internal/ledger/fsck"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// injected are the system calls that are made to fail, or to be the last: all with which ledger and database write, lock and name files.
var injected = []string{"write", "pwrite64", "fsync", "fdatasync", "ftruncate", "openat", "flock", "fcntl", "unlink", "unlinkat", "renameat", "renameat2"}

const helperMovements = "BASTIONLAB_HELPER_MOVEMENTS"

// TestHelperMovements is this test binary, started again under strace: it makes the script's movements on a real disk, with the mark in the
// real database, and tells each one that was acknowledged.
func TestHelperMovements(t *testing.T) {
	dir := os.Getenv(helperMovements)
	if dir == "" {
		t.Skip("only a helper")
	}
	runtime.LockOSThread() // strace counts the calls of each thread
	store, err := storage.Open(t.Context(), dir, storage.File)
	if err != nil {
		t.Fatal(err)
	}
	l, err := open(dir, store.LedgerMark(), testWriter(), osDisk{}, clock)
	if err != nil {
		t.Fatal(err)
	}
	for i, movement := range script {
		err := movement.move(l)
		if err != nil { // of a full disk it is told to try again; else none may be acknowledged any more
			err = movement.move(l)
		}
		if err == nil {
			unix.Writev(1, [][]byte{fmt.Appendf(nil, "acknowledged %d\n", i)}) // which is none of the calls that fail
		}
	}
}

// Each system call fails, as it does on a broken disk or on a full one, or is the one at whose entry the process is killed. Nothing that
// was acknowledged is lost, nothing is there twice, and a check of the raw file finds nothing.
func TestWhateverSystemCallFailsOrIsTheLastNothingAcknowledgedIsLost(t *testing.T) {
	if raceDetected {
		t.Skip("the race detector makes each of the many processes slow, and none of them has a second thread of ours")
	}
	made, states := callsMade(t), states(t)
	stride, tried := 1, 0
	if os.Getenv("BASTIONLAB_ALL") == "" {
		stride = 9
	}
	for _, call := range injected {
		if made[call].last == 0 {
			continue // it is not made here
		}
		for _, way := range []string{"error=EIO", "error=ENOSPC", "signal=SIGKILL"} {
			if call == "fcntl" && way != "signal=SIGKILL" {
				continue // the database takes it for somebody else's lock, and waits ten seconds
			}
			// Another remainder for each, so that the sample does not fall on the same place of every movement.
			for n := made[call].first + tried%stride; n <= made[call].last; n += stride {
				injection := fmt.Sprintf("%s:%s:when=%d", call, way, n)
				dir := preparedDirectory(t)
				acknowledged, _ := movementsUnderStrace(t, dir, "-e", "inject="+injection)
				wantNothingLost(t, injection, dir, states, acknowledged)
				tried++
			}
		}
	}
	t.Logf("%d injections into %v", tried, made)
	if tried < len(script) {
		t.Errorf("only %d calls were found", tried)
	}
}

// callRange are the numbers of a system call from the first that the helper makes on the directory.
type callRange struct{ first, last int }

var tracedCall = regexp.MustCompile(`^(\d+)\s+([a-z0-9]+)\(`)

// callsMade are the system calls of the helper, as far as they come after the first one that names its directory.
func callsMade(t *testing.T) map[string]callRange {
	t.Helper()
	dir := preparedDirectory(t)
	acknowledged, trace := movementsUnderStrace(t, dir)
	if acknowledged != len(script) {
		t.Fatalf("%d movements were acknowledged without any fault:\n%s", acknowledged, trace)
	}
	thread := regexp.MustCompile(`(?m)^(\d+)\s+openat\(.*` + regexp.QuoteMeta(filepath.Join(dir, FileName)))
	which := thread.FindSubmatch(trace)
	if which == nil {
		t.Fatalf("the ledger was never opened:\n%s", trace)
	}
	found, begun := map[string]callRange{}, false
	for _, line := range strings.Split(string(trace), "\n") {
		call := tracedCall.FindStringSubmatch(line)
		if call == nil || call[1] != string(which[1]) {
			continue
		}
		begun = begun || strings.Contains(line, dir)
		r := found[call[2]]
		r.last++
		if !begun {
			r.first = r.last
		}
		found[call[2]] = r
	}
	for name, r := range found {
		found[name] = callRange{r.first + 1, r.last}
	}
	return found
}

// preparedDirectory has a database, and no ledger yet: what is tried begins with that.
func preparedDirectory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	store, err := storage.Open(t.Context(), dir, storage.File)
	if err != nil {
		t.Fatal(err)
	}
	must(t, store.Close())
	return dir
}

// movementsUnderStrace runs the helper, and returns how many movements it was told to be acknowledged, in order, and the trace.
func movementsUnderStrace(t *testing.T, dir string, options ...string) (acknowledged int, trace []byte) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: faults of real system calls are not tried")
	}
	traceFile := filepath.Join(t.TempDir(), "trace")
	arguments := append([]string{"-f", "-o", traceFile, "-e", "trace=" + strings.Join(injected, ",")}, options...)
	helper := exec.Command(strace, append(arguments, os.Args[0], "-test.run=^TestHelperMovements$")...)
	helper.Env = append(os.Environ(), helperMovements+"="+dir, "GOMAXPROCS=1")
	var said bytes.Buffer
	helper.Stdout, helper.Stderr = &said, &said
	err = helper.Run() // with an error where it was killed
	trace, readErr := os.ReadFile(traceFile)
	if (readErr != nil || len(trace) == 0) && len(options) == 0 {
		t.Skipf("strace may not trace here: faults of real system calls are not tried: %v, %v\n%s", err, readErr, said.Bytes())
	}
	must(t, readErr)
	for _, line := range strings.Split(said.String(), "\n") {
		var i int
		if n, _ := fmt.Sscanf(line, "acknowledged %d", &i); n == 1 {
			if i != acknowledged {
				t.Fatalf("%v: movement %d was acknowledged after one that was not:\n%s", options, i, said.Bytes())
			}
			acknowledged++
		}
	}
	return acknowledged, trace
}

// wantNothingLost starts on what is left, as the next server does.
func wantNothingLost(t *testing.T, what, dir string, states []books, acknowledged int) {
	t.Helper()
	store, err := storage.Open(t.Context(), dir, storage.File)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer store.Close()
	wantSoundOn(t, what, dir, store.LedgerMark())
	l, err := open(dir, store.LedgerMark(), testWriter(), osDisk{}, clock)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer l.Close()
	if !reflect.DeepEqual(l.books, states[acknowledged]) && (acknowledged == len(script) || !reflect.DeepEqual(l.books, states[acknowledged+1])) {
		t.Fatalf("%s: %d movements were acknowledged, and the books are %+v", what, acknowledged, l.books)
	}
	must(t, opened(l, "next", "owner", 0, testDelta, testDeclared))
	wantSoundOn(t, what+", opened", dir, store.LedgerMark())
}

func wantSoundOn(t *testing.T, what, dir string, mark storage.LedgerMark) {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, FileName))
	if errors.Is(err, os.ErrNotExist) {
		return // it died before there was one
	}
	must(t, err)
	defer file.Close()
	expected := fsck.Expected{Key: testWriter().Key.Public().(ed25519.PublicKey), Marked: true}
	expected.Records, expected.Bytes, expected.Chain, err = mark.Acknowledged()
	must(t, err)
	report, err := fsck.Check(file, expected)
	if err != nil || len(report.Findings) > 0 {
		t.Fatalf("%s: the check found %+v, %v", what, report.Findings, err)
	}
}
