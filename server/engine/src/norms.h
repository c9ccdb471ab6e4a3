// Norms turns what was recorded of a pass into one factor per slot.
#pragma once

#include <optional>

#include "frame.h"

namespace bastionlab {

// min(1, C / |G_b|) over all parameters together, in float64; zero for a slot that does not count, and for a record whose gradient
// is not finite. Smaller than that where the gradient is what remains of parts that are many times larger. Without a clipping norm
// the factor is one or zero.  // [B] float64
at::Tensor clip_factors(const Measured& measured, const std::vector<at::Tensor>& parameters,
                        const at::Tensor& counts /* [B] bool */, std::optional<double> clipping_norm);

// The gradients of a pass of one record, by parameter, in float64. Empties what was measured.
std::vector<at::Tensor> written_out(Measured& measured, const std::vector<at::Tensor>& parameters);

// |G| over all of them together.
double norm_of(const std::vector<at::Tensor>& gradients);

// Joins the uses of each parameter that have one form: a weight used at every step of a recurrent layer is used once at more
// positions. What is still in too many forms is written out.
void join_uses(Measured& measured, const std::vector<at::Tensor>& parameters, int64_t slots);

}  // namespace bastionlab
