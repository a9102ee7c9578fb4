"""The path under which some scripts import DistributedDataParallel. Invariant: the same class.

Read next: __init__.py.
"""

from . import DistributedDataParallel as DistributedDataParallel
