// Command prober stands for the trainer in tests of the sandbox: the same constructor, the same filter, no engine. It prints one
// JSON value a line: the layers, what still works inside, then each attempt to break out.
package main

/*
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void* touch(void* argument) {
  char* memory = malloc(8 << 20);
  memset(memory, 1, 8 << 20);
  free(memory);
  return argument;
}

// late_thread does what libgomp does when a first large loop comes after the sandbox was closed.
static int late_thread(void) {
  pthread_t thread;
  int failed = pthread_create(&thread, NULL, touch, NULL);
  if (failed != 0) return failed;
  return pthread_join(thread, NULL);
}

// compiled does what oneDNN does: memory that is written, then run.
static int compiled(void) {
  unsigned char* code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return -1;
#ifdef __x86_64__
  memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6);
#else
  memcpy(code, "\x40\x05\x80\x52\xc0\x03\x5f\xd6", 8);
#endif
  if (mprotect(code, 4096, PROT_READ | PROT_EXEC) != 0) return -2;
  __builtin___clear_cache((char*)code, (char*)code + 8);
  return ((int (*)(void))code)();
}

static int hoard(size_t bytes) {
  void* memory = malloc(bytes);
  if (memory == NULL) return 0;
  free(memory);
  return 1;
}
*/
import "C"

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/sandbox"
	"github.com/bastionlab/bastionlab/server/internal/sandbox/confined"
	"golang.org/x/sys/unix"
)

// Works is what training needs after the sandbox was closed.
type Works struct {
	LateThread, Compiled      int
	Preempted, Random, Hoards bool
	Dumpable                  int // whether another process of the same user may look into this one
	GPU                       GPU
}

func main() {
	parent, err := strconv.Atoi(os.Args[4])
	if err != nil {
		panic(err)
	}
	out := json.NewEncoder(os.Stdout)
	tell := func(value any) {
		if err := out.Encode(value); err != nil {
			panic(err)
		}
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		panic(err)
	}
	gpu := openGPU()
	var landlock sandbox.LandlockState
	landlock.ABI, landlock.Err = confined.Landlock()
	tell(sandbox.Close(landlock))
	_, random := rand.Read(make([]byte, 4096))
	tell(Works{
		LateThread: int(C.late_thread()),
		Compiled:   int(C.compiled()),
		Preempted:  preempted(),
		Random:     random == nil,
		Hoards:     C.hoard(2<<30) == 1,
		Dumpable:   dumpable,
		GPU:        gpu.closed(),
	})
	sandbox.ProbeEach(parent, func(attempt sandbox.Attempt) { tell(attempt) })
}

// preempted keeps every processor busy with loops that yield only when a signal stops them.
func preempted() bool {
	for range 2 * runtime.GOMAXPROCS(0) {
		go func() {
			for {
			}
		}()
	}
	time.Sleep(50 * time.Millisecond)
	runtime.GC()
	return true
}
