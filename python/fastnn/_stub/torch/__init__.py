"""What `import torch` finds in processes started by one that runs under fastnn: installs the alias and steps aside.

Invariant: afterwards sys.modules["torch"] is fastnn, which the import system then returns. Does not: exist for other
processes; this folder is on PYTHONPATH only where _alias.install_as_torch put it. Read next: ../../_alias.py.
"""

import sys

del sys.modules["torch"]  # this module, so that the alias does not take it for PyTorch

from fastnn._alias import install_as_torch  # noqa: E402

install_as_torch()
