// Failure is the one exception of the engine's own making; the ABI turns it into a status and a bl_error.
#pragma once

#include <exception>
#include <string>

#include "bastionlab_engine.h"

namespace bastionlab {

// Its texts are about the model, made from the archive and the schema alone.
// PRIVACY: nothing is thrown as a Failure once records are being computed; see pass.cpp.
struct Failure : std::exception {
  Failure(bl_status status, std::string reason, std::string op = "", std::string layer = "")
      : status(status), op(std::move(op)), layer(std::move(layer)), reason(std::move(reason)) {}
  const char* what() const noexcept override { return reason.c_str(); }

  bl_status status;
  std::string op, layer, reason;
};

// The first line of a libtorch message, without a stack trace and without machine paths.
std::string first_line(const std::string& text);

// From here on what libtorch says of a failure of its own is a reason.
void quote_libtorch() noexcept;

// Whether an exception is about memory, which shapes decide and records do not.
bool is_out_of_memory(const std::exception& e);

// Runs f and turns whatever it throws into a status; the boundary that no exception crosses.
bl_status current_exception_status(bl_error* err) noexcept;
void clear(bl_error* err) noexcept;

template <class F>
bl_status guarded(bl_error* err, F&& f) noexcept {
  clear(err);
  try {
    f();
    return BL_OK;
  } catch (...) {
    return current_exception_status(err);
  }
}

}  // namespace bastionlab
