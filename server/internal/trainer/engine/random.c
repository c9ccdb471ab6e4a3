#include "random.h"

#include "_cgo_export.h"

// A handle is an integer; the engine's context is a pointer to where it lies, so that no integer is ever taken for a pointer.
static void fill(void* context, uint8_t* out, size_t n) { fillRandom(*(uintptr_t*)context, out, n); }

bl_status bl_step_with_go_random(bl_trainer* trainer, uintptr_t reader, bl_error* err) {
  return bl_trainer_step(trainer, fill, &reader, err);
}

bl_status bl_release_with_go_random(bl_evaluator* evaluator, uintptr_t reader, int64_t* out, bl_error* err) {
  return bl_evaluator_release(evaluator, fill, &reader, out, err);
}
