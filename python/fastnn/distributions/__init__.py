"""fastnn.distributions: Bernoulli, Categorical, Normal, Uniform.

Invariant: samples draw from the default generator as PyTorch's do; log_prob, entropy and rsample are differentiable.
Does not: have the other distributions, constraints or transforms. Read next: distribution.py.
"""

from .bernoulli import Bernoulli as Bernoulli
from .categorical import Categorical as Categorical
from .distribution import Distribution as Distribution
from .kl import kl_divergence as kl_divergence
from .normal import Normal as Normal
from .uniform import Uniform as Uniform

__all__ = ["Bernoulli", "Categorical", "Distribution", "Normal", "Uniform", "kl_divergence"]
