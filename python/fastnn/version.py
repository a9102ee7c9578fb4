"""The version, kept in this one place: setup reads `release`, scripts compare `__version__`.

`__version__` names the PyTorch release whose behaviour fastnn follows, then fastnn's own release.
"""

release: str = "0.1.0"
__version__: str = "2.13.0+fastnn.0.1.0"

# What scripts probe under torch.version.
cuda: str | None = None
hip: str | None = None
xpu: str | None = None
debug: bool = False
git_version: str = "unknown"
