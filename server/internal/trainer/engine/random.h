// What is noised, with noise that comes from a Go reader, named by a cgo handle.
#ifndef BASTIONLAB_RANDOM_H_
#define BASTIONLAB_RANDOM_H_

#include "bastionlab_engine.h"

bl_status bl_step_with_go_random(bl_trainer* trainer, uintptr_t reader, bl_error* err);
bl_status bl_release_with_go_random(bl_evaluator* evaluator, uintptr_t reader, int64_t* out, bl_error* err);

#endif
