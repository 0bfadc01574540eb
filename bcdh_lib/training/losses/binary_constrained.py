"""Our loss: distance between binary codes and quantization error in one energy, minimised exactly over the codes.

    E(u, v; s) = min over a, b in {-1,+1}^L of  l_s(d_H(a, b)) + lambda/2 (||u - a||^2 + ||v - b||^2)

l_1 is non-decreasing (default d), l_0 non-increasing (default max(0, m - d), margin m bits). Our reading of the abstract of
arXiv 1802.07437; docs/method.md derives the code step and the forms.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from bcdh_lib.core.settings import Section
from bcdh_lib.training.losses.code_step import code_step, shared_code_step
from bcdh_lib.training.losses.distance_losses import DISTANCE_LOSSES
from bcdh_lib.training.losses.pairwise import PairwiseLoss, ends, quantization_error, sgn, sign_distance
from bcdh_lib.training.losses.smooth_form import expected_distance, smooth_distance, soft_quantization


class BinaryConstrained(PairwiseLoss):
    """The energy in one of its forms.

    exact: E. By the envelope theorem its gradient is lambda (u - a*), lambda (v - b*).
    smooth: E_tau, the same energy at a temperature. expected: E[l_s] in place of its -tau log E[exp(-l_s / tau)].
    shared: E with one code a photo for all its pairs of the batch. straight_through: the codes are the signs, and the gradient
    of l_s passes through them as if they were not there.

    In each, the quantization error of the signs (at a temperature: tau q) counts quantization_share times; 1 is the energy.
    """

    class Settings(Section):
        quantization_weight: Annotated[float, Field(gt=0)]  # lambda
        margin: Annotated[float, Field(gt=0, le=1)]  # m, as a share of the code length
        distance_loss: Literal["linear", "hinge", "squared", "logistic", "chance"] = "hinge"
        form: Literal["exact", "smooth", "expected", "shared", "straight_through"] = "exact"
        quantization_share: Annotated[float, Field(ge=0)] = 1.0
        inverse_temperature: Annotated[float, Field(gt=0)] = 1.0  # 1 / tau in the last round
        annealing: Annotated[float, Field(gt=0, le=1)] = 1.0  # share of 1 / tau in the first round

    share_done = 1.0

    def advance(self, share: float) -> None:
        self.share_done = share

    @property
    def temperature(self) -> float:
        """tau: in the first round 1 / (annealing inverse_temperature), in the last 1 / inverse_temperature, geometric between."""
        return 1 / (self.settings.inverse_temperature * self.settings.annealing ** (1 - self.share_done))

    def distance_loss(self, distance: Tensor, similar: Tensor) -> Tensor:
        """l_s of distances in bits."""
        return DISTANCE_LOSSES[self.settings.distance_loss](distance, similar, self.settings.margin * self.bits, self.bits)

    def forward(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        if self.settings.form in ("exact", "shared"):
            return self._at_codes(outputs, pairs, similar)
        if self.settings.form == "straight_through":
            return self._at_signs(outputs, pairs, similar)
        return self._at_temperature(outputs, pairs, similar)

    def _at_codes(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        u, v = ends(outputs, pairs)
        weight = self.settings.quantization_weight
        if self.settings.form == "shared":
            a, b = ends(shared_code_step(outputs.detach(), pairs, similar, self.distance_loss, weight), pairs)
        else:
            a, b = code_step(u.detach(), v.detach(), similar, self.distance_loss, weight)
        distance = (a != b).sum(1, keepdim=True).to(u.dtype)
        energy = self.distance_loss(distance, similar[:, None]).squeeze(1) + weight / 2 * quantization_error(u, v, a, b)
        if self.settings.quantization_share == 1:
            return energy
        return energy - (1 - self.settings.quantization_share) * weight / 2 * quantization_error(u, v, sgn(u), sgn(v))

    def _at_signs(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        u, v = ends(outputs, pairs)
        weight = self.settings.quantization_share * self.settings.quantization_weight
        distance = self.distance_loss(sign_distance(outputs, pairs), similar)
        return distance + weight / 2 * quantization_error(u, v, sgn(u), sgn(v))

    def _at_temperature(self, outputs: Tensor, pairs: Tensor, similar: Tensor) -> Tensor:
        u, v = ends(outputs, pairs)
        weight, temperature = self.settings.quantization_weight, self.temperature
        distance = smooth_distance if self.settings.form == "smooth" else expected_distance
        quantization = soft_quantization(u, v, weight, temperature)
        value = distance(u, v, similar, self.distance_loss, weight, temperature)
        return value + self.settings.quantization_share * quantization
